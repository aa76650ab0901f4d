package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/bench/contest"
)

const topic = "bench"

// What watermill-tuned has.
const (
	watermillChannels      = 64
	watermillSubscriptions = 16
)

func watermills() []contest.Contender {
	does := []contest.Kind{contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting, contest.Paced}
	return []contest.Contender{
		{
			Name: "watermill", Server: contest.RabbitMQ, Does: does,
			About: "watermill-amqp NewDurableQueueConfig, which opens a channel for each publish and has a prefetch of 1, " +
				"and what the job asks for beside: ConfirmDelivery, a quorum queue",
			Share: map[contest.Kind]float64{
				contest.Enqueue: 0.25, contest.Batch: 0.05, contest.Consume: 0.1, contest.Through: 0.1, contest.Waiting: 0.1,
			},
			Open: openWatermill(func(c *amqp.Config, w *watermillClient) { w.publishers, w.subscriptions = 1, 1 }),
		},
		{
			Name: "watermill-tuned", Server: contest.RabbitMQ, Does: does,
			About: "the same with a pool of 64 channels, batches published by 64 goroutines, " +
				"16 subscriptions that share the prefetch (each handles one message at a time)",
			Share: map[contest.Kind]float64{contest.Batch: 0.5},
			Open: openWatermill(func(c *amqp.Config, w *watermillClient) {
				c.Publish.ChannelPoolSize = watermillChannels
				c.Consume.Qos.PrefetchCount = max(w.work.Prefetch/watermillSubscriptions, 1)
				w.publishers, w.subscriptions = watermillChannels, watermillSubscriptions
			}),
		},
	}
}

// A watermillClient has a connection for publishing, and one for the worker when it works.
type watermillClient struct {
	work          contest.Work
	config        amqp.Config
	publisher     *amqp.Publisher
	publishers    int
	subscriptions int
}

func openWatermill(set func(*amqp.Config, *watermillClient)) func(context.Context, string, contest.Work) (contest.Client, error) {
	return func(_ context.Context, url string, w contest.Work) (contest.Client, error) {
		c := &watermillClient{work: w, config: amqp.NewDurableQueueConfig(url)}
		c.config.Queue.Arguments = amqp091.Table{"x-queue-type": "quorum"}
		c.config.Publish.ConfirmDelivery = true
		set(&c.config, c)
		if err := c.declare(); err != nil {
			return nil, err
		}
		p, err := amqp.NewPublisher(c.config, watermill.NopLogger{})
		c.publisher = p
		return c, err
	}
}

// declare makes the queue, which the library leaves to subscribers.
func (c *watermillClient) declare() error {
	s, err := amqp.NewSubscriber(c.config, watermill.NopLogger{})
	if err != nil {
		return err
	}
	return errors.Join(s.SubscribeInitialize(topic), s.Close())
}

// Close implements [contest.Client].
func (c *watermillClient) Close() error { return c.publisher.Close() }

// Enqueue implements [contest.Enqueuer].
func (c *watermillClient) Enqueue(_ context.Context, a contest.Args) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return c.publisher.Publish(topic, message.NewMessage(watermill.NewUUID(), body))
}

// EnqueueMany implements [contest.Batcher].
func (c *watermillClient) EnqueueMany(ctx context.Context, n int, next func() contest.Args) error {
	return inParallel(c.publishers, n, func() error { return c.Enqueue(ctx, next()) })
}

// Work implements [contest.Worker].
func (c *watermillClient) Work(ctx context.Context, handle func(contest.Args)) error {
	s, err := amqp.NewSubscriber(c.config, watermill.NopLogger{})
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	var failed atomic.Pointer[error]
	for range c.subscriptions {
		messages, err := s.Subscribe(context.WithoutCancel(ctx), topic)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		running.Go(func() {
			if err := watermillLoop(messages, handle); err != nil {
				failed.Store(&err)
			}
		})
	}
	<-ctx.Done()
	err = s.Close()
	running.Wait()
	if e := failed.Load(); e != nil {
		err = errors.Join(err, *e)
	}
	return err
}

func watermillLoop(messages <-chan *message.Message, handle func(contest.Args)) error {
	for m := range messages {
		var a contest.Args
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			return err
		}
		handle(a)
		m.Ack()
	}
	return nil
}
