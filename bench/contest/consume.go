package contest

import (
	"context"
	"errors"
)

// consume measures how a full queue is worked off.
func consume(ctx context.Context, r *round) error {
	b, err := as[Batcher](r.client)
	if err != nil {
		return err
	}
	if err := b.EnqueueMany(ctx, r.work.Jobs, r.args); err != nil {
		return err
	}
	c := r.expect(r.work.Jobs)
	if err := r.meter.start(ctx); err != nil {
		return err
	}
	s, err := r.begin(ctx, c.handle)
	if err != nil {
		return err
	}
	return r.finish(ctx, s, c)
}

// finish waits for the last job and ends the measurement.
func (r *round) finish(ctx context.Context, s *shift, c *receipt) error {
	err := s.await(ctx, c)
	r.meter.done()
	if err := errors.Join(err, s.end()); err != nil {
		return err
	}
	r.meter.stop(r.work.Jobs)
	return c.check()
}
