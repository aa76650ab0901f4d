package contest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A round is one sample in the making.
type round struct {
	work   Work
	client Client
	given  assignment
	meter  meter
	watch  stopwatch
	clock  clock
	note   string
	next   atomic.Int64 // how many jobs were made
}

func newRound(c Client, a assignment) *round {
	return &round{
		work:   a.Work,
		client: c,
		given:  a,
		meter:  meter{server: a.ServerPID, hurry: a.Short},
		clock:  clock{began: time.Now()},
		note:   note(a.Work.Size),
	}
}

// args are those of the next job.
func (r *round) args() Args { return r.sentAt(r.clock.now()) }

func (r *round) sentAt(sent int64) Args {
	return Args{Number: firstNumber + r.next.Add(1) - 1, Sent: sent, Note: r.note}
}

// spread runs f on so many goroutines, each with its part of n, and joins their errors.
func spread(goroutines, n int, f func(part int) error) error {
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		part := n*(i+1)/goroutines - n*i/goroutines
		wg.Go(func() { errs[i] = f(part) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// enqueueWaiting has callers that wait for each of their jobs.
func (r *round) enqueueWaiting(ctx context.Context, e Enqueuer) error {
	return spread(r.work.Callers, r.work.Jobs, func(part int) error {
		for range part {
			if err := e.Enqueue(ctx, r.args()); err != nil {
				return err
			}
		}
		return nil
	})
}

// A receipt counts the jobs that come to the handler.
type receipt struct {
	r        *round
	want     int64
	late     lateness // what to time, if anything
	count    atomic.Int64
	numbers  atomic.Int64 // their sum
	wrong    atomic.Int64
	complete chan struct{} // closed with the last
}

func (r *round) expect(n int) *receipt {
	return &receipt{r: r, want: int64(n), complete: make(chan struct{})}
}

// handle is the handler of all contenders.
func (c *receipt) handle(a Args) {
	if len(a.Note) != len(c.r.note) || a.Sent < firstSent {
		c.wrong.Add(1)
	}
	if c.late != nil {
		if d, ok := c.late(a); ok {
			c.r.watch.add(d)
		}
	}
	c.numbers.Add(a.Number - firstNumber)
	if c.count.Add(1) == c.want {
		close(c.complete)
	}
}

// check returns an error if a job is lost, has come twice, or was not what was sent. The jobs
// are those from the first one on.
func (c *receipt) check() error {
	n := c.count.Load()
	switch {
	case c.wrong.Load() > 0:
		return fmt.Errorf("%d jobs came with other arguments than were sent", c.wrong.Load())
	case n != c.want:
		return fmt.Errorf("%d jobs came, want %d", n, c.want)
	case c.numbers.Load() != n*(n-1)/2:
		return errors.New("some jobs came twice, and others not at all")
	}
	return nil
}

// A shift is a worker at work.
type shift struct {
	stop  context.CancelFunc
	ended chan error
}

func (r *round) begin(ctx context.Context, handle func(Args)) (*shift, error) {
	w, err := as[Worker](r.client)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &shift{stop, make(chan error, 1)}
	go func() { s.ended <- w.Work(ctx, handle) }()
	return s, nil
}

// end returns when the worker has.
func (s *shift) end() error {
	s.stop()
	return <-s.ended
}

// await returns when all jobs have come, or the worker has ended, or ctx.
func (s *shift) await(ctx context.Context, c *receipt) error {
	select {
	case <-c.complete:
		return nil
	case err := <-s.ended:
		s.ended <- nil // for end
		return fmt.Errorf("the worker has ended: %w", err)
	case <-ctx.Done():
		return fmt.Errorf("%d of %d jobs came: %w", c.count.Load(), c.want, context.Cause(ctx))
	}
}
