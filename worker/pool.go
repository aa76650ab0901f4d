package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/internal/crew"
	"github.com/errandq/errand/topology"
)

// A pool works one queue.
type pool struct {
	w        *Worker
	queue    string
	options  []topology.Option // of all its kinds
	topology topology.Topology // what they declare
	kinds    map[string]*registration
	limits   Queue
	drain    <-chan struct{} // closed at shutdown; set by run
	slots    chan struct{}   // a running handler holds one, from its start to its very end
	crew     *crew.Crew[*run]
	log      *slog.Logger

	mu        sync.Mutex
	runs      map[*run]struct{} // that are not over
	lookTimer *time.Timer       // calls look; nil until it is needed
	nextLook  time.Time         // when; zero: it does not
	active    sync.WaitGroup    // one for each of runs
	stuck     atomic.Int64      // abandoned handlers that have not returned
}

func newPool(w *Worker, queue string, options []topology.Option) *pool {
	limits := w.cfg.limits(queue)
	return &pool{
		w:       w,
		queue:   queue,
		options: options,
		kinds:   map[string]*registration{},
		limits:  limits,
		slots:   make(chan struct{}, limits.Concurrency),
		crew:    crew.New((*run).work),
		log:     w.cfg.Logger.With("queue", queue),
		runs:    map[*run]struct{}{},
	}
}

// source is the queue's name, or empty if it has none until the server gives one.
func (p *pool) source() string {
	if topology.IsTemporary(p.options...) {
		return ""
	}
	return p.queue
}

// sameQueue reports whether options say the same of the queue as the pool's own.
func (p *pool) sameQueue(options []topology.Option) bool {
	return topology.IsExisting(options...) == topology.IsExisting(p.options...) &&
		topology.IsTemporary(options...) == topology.IsTemporary(p.options...) &&
		topology.HasRetries(options...) == topology.HasRetries(p.options...)
}

// unlimited is what a handler without a timeout counts as, towards RabbitMQ.
const unlimited = 7 * 24 * time.Hour

// run works the queue until drain is closed and everything is answered. ctx is what the
// handlers' contexts come from. If the queue can't be worked, run calls fail before it waits
// for what is running.
func (p *pool) run(ctx context.Context, drain <-chan struct{}, fail func()) error {
	p.drain = drain
	patience := p.w.cfg.cutOff() / 2
	err := p.w.broker.Consume(ctx, broker.Subscription{
		Queue:    p.source(),
		Prefetch: p.limits.Prefetch,
		Topology: p.topology,
		MaxTime:  p.maxTime(),
		Drain:    drain,
		Settle:   patience,
	}, p.deliver)
	if err != nil {
		err = fmt.Errorf("worker: %w", err)
		fail()
	}
	left := p.leave(ctx, patience)
	p.crew.End() // nothing is delivered any more
	p.endWatch()
	if left == 0 {
		p.crew.Wait()
	} else if err == nil {
		err = fmt.Errorf("worker: queue %q: %d handlers left running: %w", p.queue, left, ErrAbandoned)
	}
	return err
}

// maxTime is how long a delivery may stay unanswered: until one that waits for all before
// it, each taking its full time, has had its own.
func (p *pool) maxTime() time.Duration {
	longest := time.Duration(0)
	for _, r := range p.kinds {
		if r.timeout <= 0 {
			return unlimited
		}
		longest = max(longest, r.timeout)
	}
	turns := time.Duration(p.limits.Prefetch+p.limits.Concurrency-1) / time.Duration(p.limits.Concurrency)
	if longest > math.MaxInt64/turns-p.w.cfg.Grace {
		return unlimited // it would overflow
	}
	return turns * (longest + p.w.cfg.Grace)
}

// deliver starts a job as soon as there is a slot. Nothing else is received meanwhile.
func (p *pool) deliver(d *broker.Delivery) {
	select {
	case <-p.drain: // a free slot must not win against it
		p.refuse(d)
		return
	default:
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.drain:
		p.refuse(d)
		return
	case <-d.Context().Done():
		p.refuse(d)
		return
	}
	r := &run{pool: p, delivery: d}
	p.enter(r)
	p.crew.Add(r)
}

// enter begins the waiting for r.
func (p *pool) enter(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs[r] = struct{}{}
	p.active.Add(1)
}

// refuse gives back a job that was not started. If it is lost already it needs no more.
func (p *pool) refuse(d *broker.Delivery) {
	if d.Requeue() == nil {
		p.w.stats.requeued.Add(1)
	}
}

// over ends the waiting for r. It returns false if that has ended before.
func (p *pool) over(r *run) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.runs[r]; !there {
		return false
	}
	delete(p.runs, r)
	p.active.Done()
	return true
}

// leave waits for what is still running, and returns how many handlers it left behind: those
// that go on although their context, and the patience after it, has ended.
func (p *pool) leave(ctx context.Context, patience time.Duration) int64 {
	finished := make(chan struct{})
	go func() {
		p.active.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-finished:
		case <-timer.C:
			for _, r := range p.stillRunning() {
				if r.handling.Load() { // else it is waiting for the broker, which ctx ends
					r.abandon()
				}
			}
			<-finished
		}
	}
	return p.stuck.Load()
}

func (p *pool) stillRunning() []*run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.runs))
}
