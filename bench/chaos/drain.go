package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
)

// Bounds of the end.
const (
	finishLimit = time.Minute // a child's, for what it has begun
	// Nothing has happened for so long: nothing will. When a node was isolated, RabbitMQ's own
	// move of delayed jobs from queue to queue was seen to rest for more than a minute, and what is
	// not confirmed it tries again after three.
	stillness = 200 * time.Second
)

// drain ends the run in order: first those who send, then, when all is worked, those who
// work. What is left then is what is counted.
func (h *harness) drain(ctx context.Context) error {
	h.say("no more faults; draining")
	h.book.Produce(time.Now(), false)
	if err := h.finish(role.Producer, role.Caller); err != nil {
		h.fail(err)
	}
	if err := h.settle(ctx); err != nil {
		return err
	}
	h.soak.last(ctx)
	if err := h.finish(role.Worker, role.Server); err != nil {
		h.fail(err)
	}
	if err := h.stopFollowing(); err != nil {
		return err
	}
	return h.queues.settle(h.book)
}

func (h *harness) finish(roles ...string) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, name := range roles {
		for _, c := range h.of(name) {
			all.Go(func() {
				err := c.finish(finishLimit)
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// settle waits until every job is worked and no queue holds any, or nothing happens any more.
func (h *harness) settle(ctx context.Context) error {
	began, empty := time.Now(), 0
	for {
		if err := role.Sleep(ctx, 300*time.Millisecond); err != nil {
			return err
		}
		n, err := h.queues.ready(waiting())
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		// Jobs that run are not counted as ready, so it must last for a while.
		if n == 0 && h.book.Open() == 0 && time.Since(h.book.Last()) > time.Second {
			empty++
		} else {
			empty = 0
		}
		if empty >= 2 {
			h.say("drained in %.1f s", time.Since(began).Seconds())
			return nil
		}
		if quiet := time.Since(h.book.Last()); quiet > stillness && time.Since(began) > stillness {
			h.say("nothing has happened for %v, with %d jobs ready in queues and %d to be worked", quiet.Round(time.Second), n, h.book.Open())
			return nil
		}
	}
}
