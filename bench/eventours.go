package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

var benched = event.Define[args]("bench.event.errand")

// ourFanout is the same by errand: one worker with all subscriptions.
type ourFanout struct {
	conn    *broker.Conn
	p       *producer.Producer
	batch   int
	arrived *arrivals
	failed  chan error
	stop    context.CancelFunc
	running sync.WaitGroup
}

// ourEvents publishes batch events by one call.
func ourEvents(batch int) func(context.Context, string, int) (contender, error) {
	return func(ctx context.Context, url string, _ int) (contender, error) {
		conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
		if err != nil {
			return nil, err
		}
		o := &ourFanout{conn: conn, p: producer.New(conn, producer.Config{}), batch: batch, arrived: newArrivals(), failed: make(chan error, 1)}
		ctx2, stop := context.WithCancel(ctx)
		o.stop = stop
		if err := o.begin(ctx2, url); err != nil {
			return nil, errors.Join(err, o.close())
		}
		return o, nil
	}
}

// begin returns when all subscribers have worked an event.
func (o *ourFanout) begin(ctx context.Context, url string) error {
	w := worker.New(o.conn, worker.Config{Concurrency: eventPrefetch, Logger: quiet})
	for i := range subscribers {
		name := fmt.Sprint(benched.Name(), ".", i)
		event.Subscribe(w, benched, event.Durable(name), func(context.Context, args) error {
			o.arrived.one()
			return nil
		})
	}
	if err := w.Declare(ctx); err != nil {
		return err
	}
	for _, name := range w.Queues() {
		if err := purge(url, name); err != nil {
			return err
		}
	}
	o.running.Go(func() {
		if err := w.Run(ctx); err != nil {
			o.failed <- err
		}
	})
	return o.run(ctx, 1)
}

func (o *ourFanout) run(ctx context.Context, n int) error {
	o.arrived.expect(n)
	for n > 0 {
		events := make([]job.Job, min(o.batch, n))
		for i := range events {
			events[i] = benched.New(payload)
		}
		if err := o.p.Enqueue(ctx, events...); err != nil {
			return err
		}
		n -= len(events)
	}
	return o.arrived.wait(ctx, o.failed)
}

func (o *ourFanout) close() error {
	o.stop()
	o.running.Wait()
	return o.conn.Close()
}
