package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
)

// settle answers the delivery of a handler that came to err. What follows is always in this
// order: first a confirmed copy of the job where it belongs, then the ack of the old one. A
// crash between the two leaves a duplicate, never a loss.
func (r *run) settle(err error) {
	p := r.pool
	p.complain(r, err)
	if err == nil {
		if r.ack() {
			r.became(Done, nil)
		}
		return
	}
	if cause := context.Cause(r.delivery.Context()); cause != nil {
		// No matter what the handler says: either it isn't ours to answer any more, or the
		// handler was cut off.
		r.giveBack(cause)
		return
	}
	if snooze, ok := errors.AsType[*snoozeError](err); ok && topology.HasRetries(p.options...) {
		if r.later(snooze.delay, r.job) {
			r.became(Snoozed, err)
		}
		return
	}
	if _, ok := errors.AsType[*malformedError](err); ok {
		r.putAside(job.Malformed, err)
		return
	}
	delay, again, panicked := r.decide(err)
	if panicked != nil {
		err = panicked
		p.complain(r, err)
	}
	switch {
	case retry.IsPermanent(err):
		r.putAside(job.Permanent, err)
	case !again:
		r.putAside(job.Exhausted, err)
	case !topology.HasRetries(p.options...):
		r.putAside(job.NoRetry, err)
	default:
		r.tryAgain(delay, err)
	}
}

// decide asks the policy, which may be the user's own. One that panics gives up: nobody
// else would recover, and the worker would die of the job again and again.
func (r *run) decide(err error) (delay time.Duration, again bool, panicked error) {
	defer func() {
		if v := recover(); v != nil {
			panicked = &PanicError{Value: fmt.Sprintf("in the retry policy: %v, about: %v", v, err), Stack: debug.Stack()}
		}
	}()
	delay, again = retry.Decide(r.reg.retry, r.job.Attempt, err)
	return delay, again, nil
}

// complain logs what must not go unseen whatever becomes of the job.
func (p *pool) complain(r *run, err error) {
	panicked, ok := errors.AsType[*PanicError](err)
	if ok {
		p.w.stats.panicked.Add(1)
		p.log.Error("handler panicked", "kind", r.job.Kind, "job", r.job.ID, "attempt", r.job.Attempt,
			"err", err, "stack", string(panicked.Stack))
	}
}

// tryAgain sends the next attempt.
func (r *run) tryAgain(delay time.Duration, err error) {
	next := r.job
	next.Attempt++
	next.Crashes = 0             // it has answered
	next.NotBefore = time.Time{} // the ladder's delay is all there is to wait for
	next.Failure = &job.Failure{Error: err.Error(), At: time.Now()}
	if r.later(delay, next) {
		r.became(Retried, err)
		r.pool.log.Warn("job failed, will be retried", "kind", r.job.Kind, "job", r.job.ID,
			"attempt", r.job.Attempt, "err", err, "delay", delay)
	}
}

// later sends j to run after delay, rounded to what the ladder serves cheaply. A delay that
// is longer than the ladder goes round again, which NotBefore tells.
func (r *run) later(delay time.Duration, j job.Job) bool {
	if delay > topology.MaxDelay {
		j.NotBefore = time.Now().Add(delay)
	}
	return r.again(topology.RoundRetry(delay), j)
}

// again sends j to run after delay, and acks the delivery. If that can't be done, because a
// level of the ladder is missing and may not be declared, say, the job is put aside.
func (r *run) again(delay time.Duration, j job.Job) bool {
	err := r.pool.w.sender.SendAfter(r.delivery.Context(), delay, j)
	if err == nil {
		return r.ack()
	}
	if cause := r.ended(err); cause != nil {
		r.giveBack(cause)
		return false
	}
	if j.Failure != nil {
		err = fmt.Errorf("%s; and it could not be sent again: %w", j.Failure.Error, err)
	}
	r.putAside(job.NoRetry, err)
	return false
}

// ended is why nothing can be sent for this delivery any more, or nil if err has another
// reason.
func (r *run) ended(err error) error {
	if cause := context.Cause(r.delivery.Context()); cause != nil {
		return cause
	}
	if errors.Is(err, broker.ErrClosed) {
		return err // the connection that deliveries come on lives a moment longer, that is all
	}
	return nil
}

// putAside sends the job to the dead-letter queue, and acks the delivery.
func (r *run) putAside(reason job.Reason, err error) {
	if topology.IsTemporary(r.pool.options...) {
		r.drop(reason, err)
		return
	}
	dead := r.job
	dead.Failure = &job.Failure{Error: err.Error(), At: time.Now(), Reason: reason}
	if err := r.pool.w.sender.SendDead(r.delivery.Context(), dead); err != nil {
		r.noCopy(dead, err)
		return
	}
	if r.ack() {
		r.became(Dead, err)
		r.pool.log.Error("job put aside", "kind", r.job.Kind, "job", r.job.ID,
			"attempt", r.job.Attempt, "reason", string(reason), "err", err)
	}
}

// drop is for a temporary queue, whose messages are worked at most once.
func (r *run) drop(reason job.Reason, err error) {
	if r.ack() {
		r.became(Dropped, err)
		r.pool.log.Error("job dropped", "kind", r.job.Kind, "job", r.job.ID, "reason", string(reason), "err", err)
	}
}

// pauseNoCopy keeps a job that can't be copied and can't be dead-lettered from going round
// in a hot loop.
const pauseNoCopy = 5 * time.Second

// noCopy is for a job whose copy for the dead-letter queue could not be published, of err.
func (r *run) noCopy(dead job.Job, err error) {
	p := r.pool
	if cause := r.ended(err); cause != nil {
		r.giveBack(cause)
		return
	}
	p.log.Error("job could not be copied", "kind", r.job.Kind, "job", r.job.ID, "err", err)
	if !topology.IsExisting(p.options...) {
		// RabbitMQ moves the original where its copy should have gone; only the reason is lost.
		if r.delivery.DeadLetter() == nil {
			r.became(Dead, err)
		}
		return
	}
	// That queue may have no place for dead letters. Headers may be larger than we may send;
	// the rest of the job is worth more than they are.
	dead.Headers = nil
	ctx := r.delivery.Context()
	if p.w.sender.SendDead(ctx, dead) == nil {
		if r.ack() {
			r.became(Dead, err)
		}
		return
	}
	timer := time.NewTimer(pauseNoCopy)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	r.giveBack(err)
}

// giveBack returns the job to its queue, unless it is lost already.
func (r *run) giveBack(cause error) {
	p := r.pool
	if r.delivery.Requeue() == nil {
		r.became(Requeued, cause)
		p.log.Info("job given back", "kind", r.job.Kind, "job", r.job.ID, "cause", cause)
		return
	}
	r.lost()
}

// ack says that the job is done with. It returns false if the delivery is lost: then another
// worker has the job, too.
func (r *run) ack() bool {
	if err := r.delivery.Ack(); err != nil {
		r.lost()
		return false
	}
	if p := r.pool; p.log.Enabled(context.Background(), slog.LevelDebug) {
		p.log.Debug("job answered", "kind", r.job.Kind, "job", r.job.ID, "attempt", r.job.Attempt)
	}
	return true
}

func (r *run) lost() {
	p := r.pool
	r.became(Lost, broker.ErrDeliveryLost)
	p.log.Warn("delivery lost, another worker gets the job", "kind", r.job.Kind, "job", r.job.ID, "attempt", r.job.Attempt)
}
