package jobtest

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

// A Worked is a job that [Drain] has worked, and what has become of it.
type Worked struct {
	Job     job.Job
	Outcome worker.Outcome
	Err     error // the handler's, or what was wrong before it could be called
}

// Drain works what is due in the queues of w, one job after the other on the test's
// goroutine, until nothing is left, and returns it in that order. w must work on b and must
// not run. Jobs that are delayed or retried stay for later: in a testing/synctest bubble, let
// time pass by time.Sleep and drain again. The queues are declared first, so an early Drain
// subscribes a worker to events.
func Drain(tb testing.TB, b *Broker, w *worker.Worker) []Worked {
	tb.Helper()
	if err := w.Declare(tb.Context()); err != nil {
		tb.Fatalf("jobtest: %v", err)
	}
	var all []Worked
	for more := true; more; {
		more = false
		for _, queue := range w.Queues() {
			worked := drainQueue(tb, b, w, queue)
			all = append(all, worked...)
			more = more || len(worked) > 0 // its handlers may have enqueued for the others
		}
	}
	return all
}

func drainQueue(tb testing.TB, b *Broker, w *worker.Worker, queue string) (all []Worked) {
	tb.Helper()
	if !b.has(queue) {
		return nil // a temporary one
	}
	b.server.mu.Lock()
	b.server.settle()
	b.server.mu.Unlock()
	ctx := context.WithoutCancel(tb.Context()) // handlers outlive no Drain, and Drain waits for them
	c, err := b.open(ctx, ctx, subscription{broker.Subscription{Queue: queue, Prefetch: 1}, false})
	if err != nil {
		tb.Fatalf("jobtest: %v", err)
	}
	defer c.drain(broker.Subscription{}, broker.Receiver{}) //nolint:errcheck // it always returns nil
	for d := c.next(); d != nil; d = c.next() {
		j, _ := job.Parse(d.Message) // the worker finds out what is wrong with it
		result := w.Work(d)
		all = append(all, Worked{j.On(queue), result.Outcome, result.Err})
	}
	return all
}

func (b *Broker) has(queue string) bool {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	return b.server.queues[queue] != nil
}

// Run works one job by its handler in w: middleware, decoding, timeout and outcome, on the
// test's goroutine. It need not have been enqueued. What comes of it, a retry or a dead
// letter, is in w's broker.
func Run(tb testing.TB, w *worker.Worker, j job.Job) worker.Result {
	tb.Helper()
	if err := j.Err(); err != nil {
		tb.Fatalf("jobtest: Run: %v", err)
	}
	return w.Work(broker.NewDelivery(context.WithoutCancel(tb.Context()), j.Queue, j.Message(), &answered{}))
}

// answered takes any answer, once.
type answered struct{ once atomic.Bool }

// Answer implements [broker.Answerer].
func (a *answered) Answer(*broker.Delivery, broker.Verdict) error {
	if a.once.Swap(true) {
		return broker.ErrAnswered
	}
	return nil
}
