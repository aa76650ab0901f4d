package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hibiken/asynq"

	"github.com/errandq/errand/bench/contest"
)

// asynqCallers is how many goroutines enqueue a batch: the library takes one job at a time.
const asynqCallers = 64

func asynqs() []contest.Contender {
	settings := "Concurrency as many as the work has handlers, else 100; TaskCheckInterval 5 ms and DelayedTaskCheckInterval 10 ms instead of 1 s and 5 s; " +
		"batches enqueued by 64 goroutines; Redis with appendonly yes, appendfsync "
	return []contest.Contender{
		asynqOn("asynq", redisEverySecond, 0.3, settings+"everysec, its default: a crash loses what was enqueued in the last second"),
		asynqOn("asynq-always", redisAlways, 0.1, settings+"always: what is enqueued is on disk, as with a confirm"),
	}
}

func asynqOn(name, server string, share float64, about string) contest.Contender {
	return contest.Contender{
		Name: name, Server: server, About: about,
		Does: []contest.Kind{
			contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting, contest.Paced, contest.Delayed,
		},
		Share: map[contest.Kind]float64{contest.Consume: share, contest.Through: share, contest.Waiting: share},
		Open:  openAsynq,
	}
}

type asynqClient struct {
	work   contest.Work
	redis  asynq.RedisConnOpt
	client *asynq.Client
}

func openAsynq(_ context.Context, url string, w contest.Work) (contest.Client, error) {
	redis, err := asynq.ParseRedisURI(url)
	if err != nil {
		return nil, err
	}
	c := &asynqClient{w, redis, asynq.NewClient(redis)}
	return c, c.client.Ping()
}

// Close implements [contest.Client].
func (c *asynqClient) Close() error { return c.client.Close() }

// Enqueue implements [contest.Enqueuer].
func (c *asynqClient) Enqueue(ctx context.Context, a contest.Args) error { return c.enqueue(ctx, a) }

// EnqueueIn implements [contest.Delayer].
func (c *asynqClient) EnqueueIn(ctx context.Context, a contest.Args, d time.Duration) error {
	return c.enqueue(ctx, a, asynq.ProcessIn(d))
}

func (c *asynqClient) enqueue(ctx context.Context, a contest.Args, options ...asynq.Option) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	_, err = c.client.EnqueueContext(ctx, asynq.NewTask("bench", body), options...)
	return err
}

// EnqueueMany implements [contest.Batcher].
func (c *asynqClient) EnqueueMany(ctx context.Context, n int, next func() contest.Args) error {
	return inParallel(asynqCallers, n, func() error { return c.Enqueue(ctx, next()) })
}

// Work implements [contest.Worker].
func (c *asynqClient) Work(ctx context.Context, handle func(contest.Args)) error {
	handlers := c.work.Handlers
	if handlers == 0 {
		handlers = 100
	}
	server := asynq.NewServer(c.redis, asynq.Config{
		Concurrency:              handlers,
		TaskCheckInterval:        5 * time.Millisecond,
		DelayedTaskCheckInterval: 10 * time.Millisecond,
		Logger:                   mute{},
	})
	err := server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		var a contest.Args
		if err := json.Unmarshal(t.Payload(), &a); err != nil {
			return err
		}
		handle(a)
		return nil
	}))
	if err != nil {
		return err
	}
	<-ctx.Done()
	server.Shutdown()
	return nil
}
