package contest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// callWarmUp is the part of a work's span for which calls are made before the measurement.
const callWarmUp = 4

// calls measures callers with one call at a time each, to a server in another process.
func calls(ctx context.Context, r *round) (err error) {
	c, err := as[Caller](r.client)
	if err != nil {
		return err
	}
	server, err := startCallServer(ctx, r.given)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if _, err := r.callFor(ctx, c, r.work.Span/callWarmUp); err != nil {
		return err
	}
	r.watch = stopwatch{}

	before, err := server.cpu()
	if err != nil {
		return err
	}
	if err := r.meter.start(ctx); err != nil {
		return err
	}
	n, err := r.callFor(ctx, c, r.work.Span)
	if err != nil {
		return err
	}
	r.meter.stop(n)
	after, err := server.cpu()
	if err != nil {
		return err
	}
	r.meter.sample.PeerCPU = microseconds(after-before) / float64(n)
	return nil
}

// callFor has all callers make calls for a span of time, one each at least, and returns how
// many they made.
func (r *round) callFor(ctx context.Context, c Caller, span time.Duration) (int, error) {
	var made atomic.Int64
	var failed atomic.Bool // one failure ends them all
	end := time.Now().Add(span)
	err := spread(r.work.Callers, 0, func(int) error {
		times := make([]time.Duration, 0, 1<<12)
		for now := time.Now(); (len(times) == 0 || now.Before(end)) && !failed.Load(); {
			if err := r.call(ctx, c); err != nil {
				failed.Store(true)
				return err
			}
			after := time.Now()
			times = append(times, after.Sub(now))
			now = after
		}
		r.watch.add(times...)
		made.Add(int64(len(times)))
		return nil
	})
	return int(made.Load()), err
}

func (r *round) call(ctx context.Context, c Caller) error {
	want := r.args()
	got, err := c.Call(ctx, want)
	if err == nil && got != want {
		err = fmt.Errorf("the response is %v, want the request", got)
	}
	return err
}
