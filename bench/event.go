package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// The measurement of events: one publisher, and so many durable subscriptions that each take all of them, in one process.
const (
	subscribers   = 8
	eventPrefetch = 100
	eventWindow   = 1000 // unconfirmed events of the publisher by hand
	eventPatience = 2 * time.Minute
)

// eventRows is what -event measures: a job is an event, which is done when all subscribers have worked it.
var eventRows = []row{
	{"an event to 8, 1000 in one call", 5000, handEvents, ourEvents(1000)},
	{"an event to 8, 5000 in one call", 5000, handEvents, ourEvents(5000)},
}

func measureEvents(ctx context.Context, url string, rounds int) error {
	fmt.Println(head)
	for _, r := range eventRows {
		line, err := compare(ctx, url, r, rounds)
		if err != nil {
			return err
		}
		fmt.Println(line)
	}
	return nil
}

// arrivals counts down what all subscribers together have worked.
type arrivals struct {
	left atomic.Int64
	all  chan struct{} // has room for one
}

func newArrivals() *arrivals { return &arrivals{all: make(chan struct{}, 1)} }

// expect says that n events are about to be published. Nothing may be under way.
func (a *arrivals) expect(n int) { a.left.Store(int64(n) * subscribers) }

func (a *arrivals) one() {
	if a.left.Add(-1) == 0 {
		a.all <- struct{}{}
	}
}

// wait returns when all are there, or a subscriber has failed.
func (a *arrivals) wait(ctx context.Context, failed <-chan error) error {
	timer := time.NewTimer(eventPatience)
	defer timer.Stop()
	select {
	case <-a.all:
		return nil
	case err := <-failed:
		return fmt.Errorf("subscriber: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errors.New("not all events have come")
	}
}
