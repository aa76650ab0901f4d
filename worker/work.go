package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// An Outcome is what has become of a delivery.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"    // its handler returned nil
	Retried Outcome = "retried" // it failed, and will be tried again
	Dead    Outcome = "dead"    // it was put aside
	Dropped Outcome = "dropped" // the same in a temporary queue, which has nowhere to put it
	Snoozed Outcome = "snoozed" // its handler wants it again later
	// Suspected: it was handed out too often without an answer, and sent away for a moment.
	Suspected Outcome = "suspected"
	Expired   Outcome = "expired"  // it was worthless when it came, and not run
	Requeued  Outcome = "requeued" // it was given back unfinished
	Lost      Outcome = "lost"     // what it came by ended: connection, channel or consumer
)

// A Result is the Outcome of a delivery, and why it is that.
type Result struct {
	Outcome Outcome
	Err     error // the handler's error, or what was wrong before it could be called
}

// Work works one delivery as Run would, on the caller's goroutine, and returns what has
// become of it. Tests work deliveries so, one by one. The delivery's queue must be one that
// the Worker has handlers for, or Work panics.
func (w *Worker) Work(d *broker.Delivery) Result {
	w.mu.Lock()
	p := w.pools[d.Queue]
	w.mu.Unlock()
	if p == nil {
		panic(fmt.Sprintf("worker: Work: no handlers for queue %q", d.Queue))
	}
	p.slots <- struct{}{}
	r := &run{pool: p, delivery: d, result: new(atomic.Pointer[Result])}
	p.enter(r)
	r.work()
	result := r.result.Load()
	if result == nil { // it was given up, and the answer is on its way
		return Result{Err: ErrAbandoned}
	}
	return *result
}

// Declare declares the queues that w has handlers for, with exchanges and bindings, and does
// not work them. Run does it by itself. A deployment may do it before the first publisher
// starts, so that subscriptions miss no event. It returns what Run would about handlers and
// declarations.
func (w *Worker) Declare(ctx context.Context) error {
	w.mu.Lock()
	err := errors.Join(w.errs...)
	var all topology.Topology
	for _, queue := range slices.Sorted(maps.Keys(w.pools)) {
		if p := w.pools[queue]; p.source() != "" {
			all = topology.Join(all, p.topology)
		}
	}
	w.mu.Unlock()
	if err == nil {
		err = w.broker.Declare(ctx, all)
	}
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// Queues are the queues that w has handlers for, sorted.
func (w *Worker) Queues() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.pools))
}

// became counts the outcome.
func (r *run) became(o Outcome, err error) {
	r.pool.w.stats.of(o).Add(1)
	if r.result != nil {
		r.result.Store(&Result{o, err})
	}
}
