package contest

import (
	"context"
	"errors"
)

// enqueue measures callers that each wait for the confirm of their job.
func enqueue(ctx context.Context, r *round) error {
	e, err := as[Enqueuer](r.client)
	if err != nil {
		return err
	}
	for range r.work.Callers { // connections, buffers and prepared statements
		if err := e.Enqueue(ctx, r.args()); err != nil {
			return err
		}
	}
	if err := r.meter.start(ctx); err != nil {
		return err
	}
	if err := r.enqueueWaiting(ctx, e); err != nil {
		return err
	}
	r.meter.stop(r.work.Jobs)
	return r.verify(ctx, r.work.Callers+r.work.Jobs)
}

// batch measures one caller who has all jobs at hand.
func batch(ctx context.Context, r *round) error {
	b, err := as[Batcher](r.client)
	if err != nil {
		return err
	}
	const first = 10
	if err := b.EnqueueMany(ctx, first, r.args); err != nil {
		return err
	}
	if err := r.meter.start(ctx); err != nil {
		return err
	}
	if err := b.EnqueueMany(ctx, r.work.Jobs, r.args); err != nil {
		return err
	}
	r.meter.stop(r.work.Jobs)
	return r.verify(ctx, first+r.work.Jobs)
}

// verify works off what was enqueued and counts it, in a short run.
func (r *round) verify(ctx context.Context, n int) (err error) {
	if !r.given.Short {
		return nil
	}
	c := r.expect(n)
	s, err := r.begin(ctx, c.handle)
	if err != nil {
		return err
	}
	if err := s.await(ctx, c); err != nil {
		return errors.Join(err, s.end())
	}
	return errors.Join(s.end(), c.check())
}
