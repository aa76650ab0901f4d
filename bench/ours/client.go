package ours

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/bench/contest"
	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// A Client enqueues and works the measured job.
type Client struct {
	work     contest.Work
	conn     *broker.Conn
	producer *producer.Producer
	kinds    []job.Kind[contest.Args] // which take turns
	more     []*broker.Conn           // of the workers beside the first
}

// Dial returns when there is a connection.
func Dial(ctx context.Context, url string, w contest.Work) (*Client, error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	c := &Client{work: w, conn: conn, producer: producer.New(conn, producer.Config{}), kinds: kindsOf(w)}
	for range w.Workers - 1 {
		conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.more = append(c.more, conn)
	}
	return c, nil
}

// kindsOf are as many kinds as the work has, or one for each of its queues.
func kindsOf(w contest.Work) []job.Kind[contest.Args] {
	var kinds []job.Kind[contest.Args]
	for i := range max(w.Kinds, w.Queues) {
		kinds = append(kinds, job.Define[contest.Args](fmt.Sprint("bench", i), job.Queue(fmt.Sprint("bench", i%w.Queues))))
	}
	return kinds
}

// kindOf is the kind of a job, by its number.
func (c *Client) kindOf(a contest.Args) job.Kind[contest.Args] {
	return c.kinds[int(a.Number)%len(c.kinds)]
}

// Close implements [contest.Client].
func (c *Client) Close() error {
	err := c.conn.Close()
	for _, conn := range c.more {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// Enqueue implements [contest.Enqueuer].
func (c *Client) Enqueue(ctx context.Context, a contest.Args) error {
	return c.producer.Enqueue(ctx, c.kindOf(a).New(a))
}

// EnqueueIn implements [contest.Delayer].
func (c *Client) EnqueueIn(ctx context.Context, a contest.Args, d time.Duration) error {
	return c.producer.Enqueue(ctx, c.kindOf(a).New(a, job.Delay(d)))
}

// EnqueueMany implements [contest.Batcher].
func (c *Client) EnqueueMany(ctx context.Context, n int, next func() contest.Args) error {
	for n > 0 {
		jobs := make([]job.Job, min(c.work.Group, n))
		for i := range jobs {
			a := next()
			jobs[i] = c.kindOf(a).New(a)
		}
		if err := c.producer.Enqueue(ctx, jobs...); err != nil {
			return err
		}
		n -= len(jobs)
	}
	return nil
}

// mostHandlers is how many handlers run where the work leaves it open.
const mostHandlers = 100

// Work implements [contest.Worker].
func (c *Client) Work(ctx context.Context, handle func(contest.Args)) error {
	handlers := c.work.Handlers
	if handlers == 0 {
		handlers = min(c.work.Prefetch, mostHandlers)
	}
	work := func(conn *broker.Conn) error {
		w := worker.New(conn, worker.Config{Concurrency: handlers, Prefetch: c.work.Prefetch, Logger: quiet})
		for _, kind := range c.kinds {
			worker.Handle(w, kind, func(_ context.Context, a contest.Args) error {
				handle(a)
				return nil
			})
		}
		return w.Run(ctx)
	}
	return c.onEach(work)
}

// onEach runs a worker on each connection.
func (c *Client) onEach(work func(*broker.Conn) error) error {
	conns := append([]*broker.Conn{c.conn}, c.more...)
	errs := make([]error, len(conns))
	var running sync.WaitGroup
	for i, conn := range conns {
		running.Go(func() { errs[i] = work(conn) })
	}
	running.Wait()
	return errors.Join(errs...)
}
