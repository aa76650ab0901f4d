package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/errandq/errand/bench/contest"
)

func rivers() []contest.Contender {
	does := []contest.Kind{
		contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting, contest.Paced, contest.Delayed,
	}
	return []contest.Contender{
		{
			Name: "river", Server: postgreSQL, Does: does,
			About: "River's defaults (FetchCooldown 100 ms, FetchPollInterval 1 s), 100 workers, pgxpool's default of 4 connections; " +
				"batches by InsertManyFast, 10,000 in one call",
			Share: map[contest.Kind]float64{contest.Enqueue: 0.25, contest.Consume: 0.1, contest.Through: 0.1, contest.Waiting: 0.1},
			Open:  openRiver(riverSettings{workers: 100}),
		},
		{
			Name: "river-tuned", Server: postgreSQL, Does: does,
			About: "the same with FetchCooldown and FetchPollInterval 1 ms, 1000 workers where the work leaves it open, 32 connections",
			Share: map[contest.Kind]float64{contest.Enqueue: 0.25, contest.Consume: 0.5, contest.Through: 0.25, contest.Waiting: 0.25},
			Open:  openRiver(riverSettings{workers: 1000, connections: 32, fetch: time.Millisecond}),
		},
	}
}

// riverSettings are what differs. Zero values are the library's defaults.
type riverSettings struct {
	workers     int
	connections int32
	fetch       time.Duration
}

// riverArgs are the arguments of the job, and the kind that River asks for.
type riverArgs struct{ contest.Args }

// Kind implements [river.JobArgs].
func (riverArgs) Kind() string { return "bench" }

type riverClient struct {
	work     contest.Work
	settings riverSettings
	pool     *pgxpool.Pool
	inserts  *river.Client[pgx.Tx]
}

func openRiver(s riverSettings) func(context.Context, string, contest.Work) (contest.Client, error) {
	return func(ctx context.Context, url string, w contest.Work) (contest.Client, error) {
		config, err := pgxpool.ParseConfig(url)
		if err != nil {
			return nil, err
		}
		if s.connections > 0 {
			config.MaxConns = s.connections
		}
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		inserts, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			pool.Close()
			return nil, err
		}
		return &riverClient{w, s, pool, inserts}, nil
	}
}

// Close implements [contest.Client].
func (c *riverClient) Close() error {
	c.pool.Close()
	return nil
}

// Enqueue implements [contest.Enqueuer].
func (c *riverClient) Enqueue(ctx context.Context, a contest.Args) error {
	_, err := c.inserts.Insert(ctx, riverArgs{a}, nil)
	return err
}

// EnqueueIn implements [contest.Delayer].
func (c *riverClient) EnqueueIn(ctx context.Context, a contest.Args, d time.Duration) error {
	_, err := c.inserts.Insert(ctx, riverArgs{a}, &river.InsertOpts{ScheduledAt: time.Now().Add(d)})
	return err
}

// EnqueueMany implements [contest.Batcher].
func (c *riverClient) EnqueueMany(ctx context.Context, n int, next func() contest.Args) error {
	for n > 0 {
		jobs := make([]river.InsertManyParams, min(c.work.Group, n))
		for i := range jobs {
			jobs[i].Args = riverArgs{next()}
		}
		if _, err := c.inserts.InsertManyFast(ctx, jobs); err != nil {
			return err
		}
		n -= len(jobs)
	}
	return nil
}

// Work implements [contest.Worker].
func (c *riverClient) Work(ctx context.Context, handle func(contest.Args)) error {
	handlers := c.work.Handlers
	if handlers == 0 {
		handlers = c.settings.workers
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(_ context.Context, j *river.Job[riverArgs]) error {
		handle(j.Args.Args)
		return nil
	}))
	client, err := river.NewClient(riverpgxv5.New(c.pool), &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: handlers}},
		FetchCooldown:     c.settings.fetch,
		FetchPollInterval: c.settings.fetch,
		Workers:           workers,
		Logger:            slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	select {
	case <-client.Stopped():
		return errors.New("the client has stopped")
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return client.Stop(stopping)
}
