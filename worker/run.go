package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// A run is one delivery on its way through a handler.
type run struct {
	pool     *pool
	delivery *broker.Delivery
	job      job.Job
	reg      *registration
	began    time.Time // when it was taken up
	due      time.Time // when its handler is given up, zero if never; guarded by pool.mu

	result   *atomic.Pointer[Result] // nil unless somebody wants to know
	handling atomic.Bool             // the handler was called: job and reg don't change any more
	settled  atomic.Bool             // somebody has taken on the answer: the handler's end, or abandon
}

// work runs the job and answers the delivery, on a goroutine of the pool's crew.
func (r *run) work() {
	p := r.pool
	p.w.stats.running.Add(1)
	defer func() {
		p.w.stats.running.Add(-1)
		if !p.over(r) {
			p.stuck.Add(-1) // it was abandoned, and has come back
		}
		<-p.slots
	}()
	if r.accept() {
		r.handling.Store(true)
		err := errExited
		// Deferred, because a handler may end the goroutine: t.FailNow in a test does.
		defer func() {
			if r.settled.CompareAndSwap(false, true) {
				r.settle(err)
			}
		}()
		err = sound(r.call())
	}
}

// accept reads the job. It returns false if there is nothing to run, and has answered then.
func (r *run) accept() bool {
	p, m := r.pool, &r.delivery.Message
	if cause := context.Cause(r.delivery.Context()); cause != nil {
		r.giveBack(cause) // lost between its arrival and now
		return false
	}
	if m.Type == "" && topology.IsOthers(p.options...) && len(p.kinds) == 1 {
		// Whoever fills this queue knows nothing of kinds; there is no doubt which is meant.
		for kind := range p.kinds {
			m.Type = kind
		}
	}
	j, err := job.Parse(*m)
	r.job = j.On(p.queue, p.options...)
	if r.job.ID == "" {
		r.job.ID = job.NewID() // another one each time that it is delivered
		if err == nil && r.job.Group != nil {
			err = fmt.Errorf("%w: a member of a group has no ID, by which it would be counted", job.ErrMalformed)
		}
	}
	if m.Exchange != "" && !p.w.cfg.Namespace.Owns(m.Exchange) {
		// Its publisher may be anybody. Headers don't say where it was published, and an event is
		// no member of a group: it would have this worker enqueue whatever they name.
		r.job.Exchange, r.job.Key, r.job.Group = m.Exchange, m.Key, nil
	}
	if err != nil {
		r.putAside(job.Malformed, err)
		return false
	}
	r.began = time.Now()
	if r.job.Expired(r.began) {
		r.became(Expired, nil)
		p.log.Info("job expired", "kind", r.job.Kind, "job", r.job.ID, "expired", r.job.ExpiresAt)
		r.ack()
		return false
	}
	r.reg = p.kinds[r.job.Kind]
	if r.reg == nil {
		r.putAside(job.UnknownKind, fmt.Errorf("worker: no handler for kind %.100q on queue %q", r.job.Kind, p.queue))
		return false
	}
	if r.suspect() {
		return false
	}
	if wait := r.job.NotBefore.Sub(r.began); wait > 0 && topology.HasRetries(p.options...) {
		r.again(wait, r.job) // its delay is longer than one trip through the ladder
		return false
	}
	return true
}

// call runs the handler with its context, and turns a panic and a timeout into errors.
func (r *run) call() (err error) {
	var ctx context.Context
	if r.reg.timeout > 0 {
		timed := &jobContext{parent: r.delivery.Context(), deadline: r.began.Add(r.reg.timeout), job: &r.job}
		defer timed.end()
		r.pool.watch(r)
		ctx = timed
	} else {
		ctx = context.WithValue(r.delivery.Context(), jobKey{}, &r.job)
	}
	defer func() {
		// A nil value is no panic but runtime.Goexit, or nothing at all.
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	err = r.reg.handler(ctx, r.job)
	if err != nil && errors.Is(context.Cause(ctx), ErrTimeout) {
		err = fmt.Errorf("%w after %v: %w", ErrTimeout, r.reg.timeout, err)
	}
	return err
}

// sound is err, or a PanicError in its place if one of its methods panics: they are the
// handler's code too, and nobody recovers later. A nil pointer in an error is the usual one.
func sound(err error) (safe error) {
	defer func() {
		if v := recover(); v != nil {
			safe = &PanicError{Value: fmt.Sprintf("in a method of the error it returned: %v", v), Stack: debug.Stack()}
		}
	}()
	if err != nil {
		_ = err.Error()
		_ = errors.Is(err, errExited) // calls what there is of Unwrap and Is
	}
	return err
}
