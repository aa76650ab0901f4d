package contest

import (
	"context"
	"errors"
	"time"
)

// A lateness says of a job in the handler what to time, if anything.
type lateness = func(Args) (time.Duration, bool)

// paced measures the time from enqueueing to the handler at a given rate.
func paced(ctx context.Context, r *round) error {
	e, err := as[Enqueuer](r.client)
	if err != nil {
		return err
	}
	late := func(a Args) (time.Duration, bool) {
		return r.clock.since(a.Sent), a.Number >= firstNumber+warmUp
	}
	return r.meanwhile(ctx, late, func(ctx context.Context) error {
		return r.atRate(ctx, e.Enqueue)
	})
}

// delayed measures how much later than due jobs come.
func delayed(ctx context.Context, r *round) error {
	d, err := as[Delayer](r.client)
	if err != nil {
		return err
	}
	// The first one declares what delays need, and is not measured.
	late := func(a Args) (time.Duration, bool) {
		return r.clock.since(a.Sent) - r.work.Delay, a.Number > firstNumber+warmUp
	}
	r.work.Jobs++
	r.meter.sample.Hops = r.work.hops()
	return r.meanwhile(ctx, late, func(ctx context.Context) error {
		if err := d.EnqueueIn(ctx, r.args(), r.work.Delay); err != nil {
			return err
		}
		return r.atRate(ctx, func(ctx context.Context, a Args) error {
			return d.EnqueueIn(ctx, a, r.work.Delay)
		})
	})
}

// atRate hands jobs to the callers, so many a second. A job's time begins when it is handed
// over, so one that waits for a caller is late.
func (r *round) atRate(ctx context.Context, enqueue func(context.Context, Args) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	jobs := r.work.Jobs + warmUp - int(r.next.Load())
	handed := make(chan int64, jobs)
	ended := make(chan error, 1)
	go func() {
		ended <- spread(r.work.Callers, 0, func(int) error {
			for sent := range handed {
				if err := enqueue(ctx, r.sentAt(sent)); err != nil {
					cancel()
					return err
				}
			}
			return nil
		})
	}()
	err := r.hand(ctx, handed, jobs)
	close(handed)
	return errors.Join(err, <-ended)
}

func (r *round) hand(ctx context.Context, handed chan<- int64, jobs int) error {
	began := time.Now()
	for i := range jobs {
		at := began.Add(time.Duration(i) * time.Second / time.Duration(r.work.Rate))
		if wait := time.Until(at); wait > 0 {
			if err := sleep(ctx, wait); err != nil {
				return err
			}
		}
		handed <- r.clock.now()
	}
	return nil
}
