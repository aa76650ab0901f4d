package main

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// ours is the same work by errand, with its defaults.
type ours struct {
	conn *broker.Conn
	p    *producer.Producer
	work func(ctx context.Context, o *ours, n int) error
}

// quiet keeps the table readable.
var quiet = slog.New(slog.DiscardHandler)

func dialOurs(ctx context.Context, url string, work func(context.Context, *ours, int) error) (*ours, error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	return &ours{conn, producer.New(conn, producer.Config{}), work}, nil
}

func (o *ours) run(ctx context.Context, n int) error { return o.work(ctx, o, n) }
func (o *ours) close() error                         { return o.conn.Close() }

// fill enqueues n jobs of kind, batch at a time.
func (o *ours) fill(ctx context.Context, kind job.Kind[args], n, batch int) error {
	for n > 0 {
		jobs := make([]job.Job, min(batch, n))
		for i := range jobs {
			jobs[i] = kind.New(payload)
		}
		if err := o.p.Enqueue(ctx, jobs...); err != nil {
			return err
		}
		n -= len(jobs)
	}
	return nil
}

func ourEnqueue(callers, batch int) func(context.Context, string, int) (contender, error) {
	kind := job.Define[args]("bench", job.Queue("bench.enqueue"))
	return func(ctx context.Context, url string, _ int) (contender, error) {
		o, err := dialOurs(ctx, url, func(ctx context.Context, o *ours, n int) error {
			return spread(callers, func() error { return o.fill(ctx, kind, n/callers, batch) })
		})
		if err != nil {
			return nil, err
		}
		// The first job declares the queue, which is not what is measured; what the rounds
		// before have left in it would slow this one down.
		return o, errors.Join(o.fill(ctx, kind, 1, 1), purge(url, kind.Queue()))
	}
}

func ourConsume(prefetch int) func(context.Context, string, int) (contender, error) {
	kind := job.Define[args]("bench", job.Queue("bench.consume"))
	return func(ctx context.Context, url string, n int) (contender, error) {
		o, err := dialOurs(ctx, url, func(ctx context.Context, o *ours, n int) error {
			return o.consume(ctx, kind, n, worker.Config{Concurrency: prefetch, Logger: quiet})
		})
		if err != nil {
			return nil, err
		}
		return o, o.fill(ctx, kind, n, 10000)
	}
}

// consume works n jobs off.
func (o *ours) consume(ctx context.Context, kind job.Kind[args], n int, cfg worker.Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left := atomic.Int64{}
	left.Store(int64(n))
	w := worker.New(o.conn, cfg)
	worker.Handle(w, kind, func(context.Context, args) error {
		if left.Add(-1) == 0 {
			cancel()
		}
		return nil
	})
	if err := w.Run(ctx); err != nil {
		return err
	}
	if left.Load() > 0 {
		return errors.New("interrupted")
	}
	return nil
}
