package worker_test

import (
	"context"
	"runtime"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A row is a line of the outcome table.
type row struct {
	name string
	kind job.Kind[args]          // none: render
	wire func(m *broker.Message) // what is special about the message
	does func(a *attempt) error  // the handler; nil: it must not be called

	runs   []int // attempts that the handler is called with, when nothing goes wrong
	before int   // how many of runs come before the first copy is made
	end    end
	dead   int // how many jobs are put aside
	reason job.Reason

	copies    bool          // the worker publishes a copy
	delay     time.Duration // before the copy is worked
	drops     bool          // it is acked although it is neither done nor copied
	deaf      bool          // it is acked although the handler has not returned
	givesBack bool          // its delivery is given back, so it makes no difference that it is lost
	temporary bool          // its queue is a connection's own
	crashes   int           // how many connections it has outlived before
	stops     moment        // when the worker shuts down; another one starts when it is over
	notBefore time.Duration // it must not run earlier

	takes time.Duration // until all is over, at most
	but   map[string]want
}

// An attempt is a call of a handler.
type attempt struct {
	ctx      context.Context
	job      job.Job
	delivery *handed
	trial    *trial
}

// works for a second, if it may.
func (a *attempt) works() {
	select {
	case <-time.After(time.Second):
	case <-a.ctx.Done():
	}
}

// succeeds is a handler's usual end.
func succeeds(a *attempt) error { a.works(); return nil }

// fails with err at the first attempt.
func fails(err error) func(*attempt) error {
	return func(a *attempt) error {
		if a.works(); a.job.Attempt == 1 {
			return err
		}
		return nil
	}
}

// once does what f does at the first attempt.
func once(f func(*attempt) error) func(*attempt) error {
	return func(a *attempt) error {
		if a.works(); a.job.Attempt == 1 {
			return f(a)
		}
		return nil
	}
}

func always(err error) func(*attempt) error {
	return func(a *attempt) error { a.works(); return err }
}

// header sets one of the message's headers.
func header(name string, value any) func(*broker.Message) {
	return func(m *broker.Message) { m.Headers = map[string]any{name: value} }
}

const (
	retryDelay = 4 * time.Second // of all rows whose handlers fail
	askedDelay = 9 * time.Second // of those that name one
	longTime   = time.Hour       // of a handler that ignores its context
)

// rows is the table of what can come of a job.
func rows() []row {
	return []row{
		{name: "nil", does: succeeds, runs: []int{1}, end: done},
		{name: "error", does: fails(errDisk), copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: done},
		{name: "error again and again", does: always(errDisk), copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: dead, dead: 1, reason: job.Exhausted},
		{name: "error of the last attempt", does: always(errDisk), wire: header("errand-attempt", 2), copies: true, runs: []int{2}, before: 1, end: dead, dead: 1, reason: job.Exhausted},
		{name: "permanent", does: always(retry.Permanent(errDisk)), copies: true, runs: []int{1}, before: 1, end: dead, dead: 1, reason: job.Permanent},
		{name: "after", does: fails(retry.After(askedDelay, errDisk)), copies: true, delay: askedDelay, runs: []int{1, 2}, before: 1, end: done},
		{name: "snooze", does: snoozes, copies: true, delay: askedDelay, runs: []int{1, 1}, before: 1, end: done},
		{name: "panic", does: once(func(*attempt) error { panic("out of paper") }), copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: done},
		{name: "goexit", does: once(func(*attempt) error { runtime.Goexit(); return nil }), copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: done},
		{name: "timeout", does: once(waitsForContext), copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: done, takes: 2 * time.Minute},
		{name: "ignores its context", does: once(ignores), deaf: true, copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: done, takes: longTime + 10*time.Second},
		shutdownRow(), shutdownWhileCopying(), deliveryLost(),
		{name: "unknown kind", wire: func(m *broker.Message) { m.Type = "nobody" }, copies: true, end: dead, dead: 1, reason: job.UnknownKind},
		{name: "malformed", wire: func(m *broker.Message) { m.Body = []byte(`{"n":"one"}`) }, copies: true, end: dead, dead: 1, reason: job.Malformed},
		{name: "malformed header", wire: header("errand-attempt", "many"), copies: true, end: dead, dead: 1, reason: job.Malformed},
		{name: "expired", wire: header("errand-expires-at", int64(1)), drops: true, end: dropped},
		{name: "suspect", does: succeeds, crashes: 3, copies: true, delay: time.Second, runs: []int{1}, end: done, takes: 20 * time.Second},
		{name: "crashed too often", wire: header("errand-crashes", int64(topology.CrashLimit)), crashes: 3, copies: true, end: dead, dead: 1, reason: job.Crashed},
		{name: "early", does: succeeds, wire: notYet, notBefore: 10 * time.Minute, copies: true, runs: []int{1}, end: done, takes: 15 * time.Minute},
		{name: "temporary queue", kind: passing, does: always(errDisk), drops: true, temporary: true, runs: []int{1}, end: dropped},
		existingRow(),
	}
}

func snoozes(a *attempt) error {
	if a.works(); a.delivery.delayed() {
		return nil
	}
	return worker.Snooze(askedDelay)
}

func waitsForContext(a *attempt) error {
	<-a.ctx.Done()
	return context.Cause(a.ctx)
}

func ignores(*attempt) error {
	time.Sleep(longTime)
	return nil
}

func notYet(m *broker.Message) {
	m.Headers = map[string]any{"errand-not-before": time.Now().Add(10 * time.Minute).UnixMilli()}
}

// shutdownRow is cut by the end of Grace, and worked by another worker.
func shutdownRow() row {
	does := func(a *attempt) error {
		if a.trial.second.Load() {
			return succeeds(a)
		}
		return waitsForContext(a)
	}
	return row{name: "shutdown past grace", does: does, stops: running, givesBack: true, runs: []int{1, 1}, end: done, takes: time.Minute}
}

// shutdownWhileCopying is a worker that ends when its copy is on the way.
func shutdownWhileCopying() row {
	return row{
		name: "shutdown during the copy", does: fails(errDisk), stops: copying, copies: true, delay: retryDelay, runs: []int{1, 2}, before: 1, end: done,
		but: map[string]want{
			"blocked before the copy": {runs: []int{1, 1, 2}, end: done, why: "the grace is shorter than the outage: given back, and another worker runs the attempt"},
			"blocked while it runs":   {runs: []int{1, 1, 2}, end: done, why: "the same"},
		},
	}
}

// deliveryLost loses its connection in the handler.
func deliveryLost() row {
	does := func(a *attempt) error {
		if a.trial.second.Swap(true) {
			return succeeds(a)
		}
		a.delivery.f.Cut()
		<-a.ctx.Done()
		return nil
	}
	return row{
		name: "delivery lost", does: does, runs: []int{1, 1}, end: done,
		but: map[string]want{
			"queue deleted while it runs": {runs: []int{1, 1}, end: gone, why: "the delivery that runs half a second later is the second"},
		},
	}
}

// existingRow is on a queue of others, to which nothing comes back.
func existingRow() row {
	return row{
		name: "existing queue", kind: foreign, does: always(errDisk), copies: true, runs: []int{1}, before: 1, end: dead, dead: 1, reason: job.NoRetry,
		but: map[string]want{
			"returned for a minute": {
				runs: []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, end: dead, dead: 1,
				why: "the queue may have no place for dead letters, so the job goes back to it, every six seconds",
			},
		},
	}
}
