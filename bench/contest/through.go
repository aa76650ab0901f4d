package contest

import (
	"context"
	"errors"
)

// through measures one caller with all jobs at hand, and a worker meanwhile.
func through(ctx context.Context, r *round) error {
	b, err := as[Batcher](r.client)
	if err != nil {
		return err
	}
	return r.meanwhile(ctx, nil, func(ctx context.Context) error {
		return b.EnqueueMany(ctx, r.work.Jobs, r.args)
	})
}

// waiting measures callers that wait for their jobs' confirms, and a worker meanwhile.
func waiting(ctx context.Context, r *round) error {
	e, err := as[Enqueuer](r.client)
	if err != nil {
		return err
	}
	return r.meanwhile(ctx, nil, func(ctx context.Context) error {
		return r.enqueueWaiting(ctx, e)
	})
}

// warmUp is how many jobs go through before the measurement begins.
const warmUp = 10

// meanwhile starts the worker, and measures how long it takes to enqueue and work all jobs.
// If late is set, it says of each job what to time.
func (r *round) meanwhile(ctx context.Context, late lateness, enqueue func(context.Context) error) (err error) {
	b, err := as[Batcher](r.client)
	if err != nil {
		return err
	}
	first, c := r.expect(warmUp), r.expect(warmUp+r.work.Jobs)
	c.late = late
	s, err := r.begin(ctx, func(a Args) {
		if a.Number < firstNumber+warmUp {
			first.handle(a)
		}
		c.handle(a)
	})
	if err != nil {
		return err
	}
	if err := errors.Join(b.EnqueueMany(ctx, warmUp, r.args), s.await(ctx, first)); err != nil {
		return errors.Join(err, s.end())
	}
	if err := r.meter.start(ctx); err != nil {
		return errors.Join(err, s.end())
	}
	if err := enqueue(ctx); err != nil {
		return errors.Join(err, s.end())
	}
	return r.finish(ctx, s, c)
}
