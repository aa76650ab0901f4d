package contest

import (
	"context"
	"errors"
	"runtime/debug"
)

// hold measures the memory of jobs whose handlers are all running at once.
func hold(ctx context.Context, r *round) error {
	b, err := as[Batcher](r.client)
	if err != nil {
		return err
	}
	if err := b.EnqueueMany(ctx, r.work.Jobs, r.args); err != nil {
		return err
	}
	if err := r.meter.start(ctx); err != nil {
		return err
	}
	before := resident()
	c, release := r.expect(r.work.Jobs), make(chan struct{})
	s, err := r.begin(ctx, func(a Args) {
		c.handle(a)
		select {
		case <-release:
		case <-ctx.Done():
		}
	})
	if err != nil {
		return err
	}
	err = s.await(ctx, c)
	r.meter.done()
	debug.FreeOSMemory()
	r.meter.sample.Held = float64(resident()-before) / (1 << 20) / float64(r.work.Jobs) * 1000
	close(release)
	if err := errors.Join(err, s.end()); err != nil {
		return err
	}
	r.meter.stop(r.work.Jobs)
	return c.check()
}
