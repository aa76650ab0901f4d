package byhand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/bench/contest"
)

const delayQueue = "bench.delay"

// queue is the name of one of the work's queues.
func queue(i int) string { return fmt.Sprint("bench", i) }

// A client publishes jobs and works them.
type client struct {
	work    contest.Work
	careful bool
	queues  []string           // which take turns
	out, in *amqp.Connection   // the same unless careful
	more    []*amqp.Connection // of the workers beside the first
	ch      *amqp.Channel      // of out, for publishing
}

func dial(url string, w contest.Work, careful bool) (_ *client, err error) {
	c := &client{work: w, careful: careful}
	if c.out, err = connect(url, careful); err != nil {
		return nil, err
	}
	c.in = c.out
	if careful {
		if c.in, err = connect(url, careful); err != nil {
			return nil, errors.Join(err, c.out.Close())
		}
	}
	for range w.Workers - 1 {
		conn, err := connect(url, careful)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.more = append(c.more, conn)
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *client) prepare() (err error) {
	if c.ch, err = c.out.Channel(); err != nil {
		return err
	}
	if err := c.ch.Confirm(false); err != nil {
		return err
	}
	for i := range c.work.Queues {
		c.queues = append(c.queues, queue(i))
		if _, err := c.ch.QueueDeclare(queue(i), true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
			return err
		}
	}
	if c.work.Delay == 0 {
		return nil
	}
	_, err = c.ch.QueueDeclare(delayQueue, true, false, false, false, amqp.Table{
		"x-queue-type":              "quorum",
		"x-message-ttl":             c.work.Delay.Milliseconds(),
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": queue(0),
		"x-dead-letter-strategy":    "at-least-once",
		"x-overflow":                "reject-publish",
	})
	return err
}

// Close implements [contest.Client].
func (c *client) Close() error {
	err := c.out.Close()
	if c.in != c.out {
		err = errors.Join(err, c.in.Close())
	}
	for _, conn := range c.more {
		err = errors.Join(err, conn.Close())
	}
	return err
}

// publish sends one job with the guarantees of errand's: typed arguments encoded, an ID,
// mandatory, persistent, confirmed.
func (c *client) publish(to string, a contest.Args) (*amqp.DeferredConfirmation, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return c.ch.PublishWithDeferredConfirm("", to, true, false, amqp.Publishing{
		ContentType:  "application/json",
		DeliveryMode: amqp.Persistent,
		MessageId:    id.String(),
		Type:         "bench",
		Timestamp:    time.Now(),
		Body:         body,
	})
}

func wait(ctx context.Context, c *amqp.DeferredConfirmation) error {
	acked, err := c.WaitContext(ctx)
	if err == nil && !acked {
		err = errors.New("nacked")
	}
	return err
}

// queueOf is the queue of a job, by its number.
func (c *client) queueOf(a contest.Args) string { return c.queues[int(a.Number)%len(c.queues)] }

// Enqueue implements [contest.Enqueuer].
func (c *client) Enqueue(ctx context.Context, a contest.Args) error {
	confirm, err := c.publish(c.queueOf(a), a)
	if err != nil {
		return err
	}
	return wait(ctx, confirm)
}

// EnqueueIn implements [contest.Delayer]. The delay is that of the queue.
func (c *client) EnqueueIn(ctx context.Context, a contest.Args, _ time.Duration) error {
	confirm, err := c.publish(delayQueue, a)
	if err != nil {
		return err
	}
	return wait(ctx, confirm)
}

// EnqueueMany implements [contest.Batcher].
func (c *client) EnqueueMany(ctx context.Context, n int, next func() contest.Args) error {
	open := make([]*amqp.DeferredConfirmation, 0, c.work.Window)
	for range n {
		if len(open) == c.work.Window {
			if err := wait(ctx, open[0]); err != nil {
				return err
			}
			open = open[1:]
		}
		a := next()
		confirm, err := c.publish(c.queueOf(a), a)
		if err != nil {
			return err
		}
		open = append(open, confirm)
	}
	for _, confirm := range open {
		if err := wait(ctx, confirm); err != nil {
			return err
		}
	}
	return nil
}
