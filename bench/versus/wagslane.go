package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/wagslane/go-rabbitmq"

	"github.com/errandq/errand/bench/contest"
)

func wagslane() contest.Contender {
	return contest.Contender{
		Name: "go-rabbitmq", Server: contest.RabbitMQ,
		About: "wagslane/go-rabbitmq, confirm mode, one connection for publishing and one for consuming, " +
			"batches with 1000 unconfirmed at most by PublishWithDeferredConfirmWithContext; " +
			"one handler at a time where the work leaves it open, which is its default",
		Does: []contest.Kind{contest.Enqueue, contest.Batch, contest.Consume, contest.Through, contest.Waiting, contest.Paced},
		Open: openWagslane,
	}
}

type wagslaneClient struct {
	work      contest.Work
	out, in   *rabbitmq.Conn
	publisher *rabbitmq.Publisher
}

func openWagslane(_ context.Context, url string, w contest.Work) (contest.Client, error) {
	if err := declareQuorum(url, topic); err != nil {
		return nil, err
	}
	quiet := rabbitmq.WithConnectionOptionsLogger(mute{})
	out, err := rabbitmq.NewConn(url, quiet)
	if err != nil {
		return nil, err
	}
	in, err := rabbitmq.NewConn(url, quiet)
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	p, err := rabbitmq.NewPublisher(out, rabbitmq.WithPublisherOptionsConfirm, rabbitmq.WithPublisherOptionsLogger(mute{}))
	if err != nil {
		return nil, errors.Join(err, out.Close(), in.Close())
	}
	return &wagslaneClient{w, out, in, p}, nil
}

// declareQuorum makes a quorum queue, which the library leaves to consumers.
func declareQuorum(url, queue string) error {
	conn, err := amqp091.Dial(url)
	if err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueueDeclare(queue, true, false, false, false, amqp091.Table{"x-queue-type": "quorum"})
	}
	return errors.Join(err, conn.Close())
}

// Close implements [contest.Client].
func (c *wagslaneClient) Close() error {
	c.publisher.Close()
	return errors.Join(c.out.Close(), c.in.Close())
}

func (c *wagslaneClient) publish(ctx context.Context, a contest.Args) (rabbitmq.PublisherConfirmation, error) {
	body, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return c.publisher.PublishWithDeferredConfirmWithContext(ctx, body, []string{topic},
		rabbitmq.WithPublishOptionsContentType("application/json"),
		rabbitmq.WithPublishOptionsPersistentDelivery,
		rabbitmq.WithPublishOptionsMandatory,
		rabbitmq.WithPublishOptionsMessageID(id.String()),
		rabbitmq.WithPublishOptionsType("bench"),
		rabbitmq.WithPublishOptionsTimestamp(time.Now()))
}

func waitConfirmed(ctx context.Context, confirms rabbitmq.PublisherConfirmation) error {
	for _, c := range confirms {
		if acked, err := c.WaitContext(ctx); err != nil || !acked {
			return errors.Join(errors.New("not confirmed"), err)
		}
	}
	return nil
}

// Enqueue implements [contest.Enqueuer].
func (c *wagslaneClient) Enqueue(ctx context.Context, a contest.Args) error {
	confirms, err := c.publish(ctx, a)
	if err != nil {
		return err
	}
	return waitConfirmed(ctx, confirms)
}

// EnqueueMany implements [contest.Batcher].
func (c *wagslaneClient) EnqueueMany(ctx context.Context, n int, next func() contest.Args) error {
	open := make([]rabbitmq.PublisherConfirmation, 0, c.work.Window)
	for range n {
		if len(open) == c.work.Window {
			if err := waitConfirmed(ctx, open[0]); err != nil {
				return err
			}
			open = open[1:]
		}
		confirms, err := c.publish(ctx, next())
		if err != nil {
			return err
		}
		open = append(open, confirms)
	}
	for _, confirms := range open {
		if err := waitConfirmed(ctx, confirms); err != nil {
			return err
		}
	}
	return nil
}

// Work implements [contest.Worker].
func (c *wagslaneClient) Work(ctx context.Context, handle func(contest.Args)) error {
	consumer, err := rabbitmq.NewConsumer(c.in, topic,
		rabbitmq.WithConsumerOptionsQueueDurable,
		rabbitmq.WithConsumerOptionsQueueQuorum,
		rabbitmq.WithConsumerOptionsQOSPrefetch(c.work.Prefetch),
		rabbitmq.WithConsumerOptionsConcurrency(max(c.work.Handlers, 1)),
		rabbitmq.WithConsumerOptionsLogger(mute{}))
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- consumer.Run(func(d rabbitmq.Delivery) rabbitmq.Action {
			var a contest.Args
			if err := json.Unmarshal(d.Body, &a); err != nil {
				return rabbitmq.NackDiscard
			}
			handle(a)
			return rabbitmq.Ack
		})
	}()
	select {
	case err = <-ended:
		return errors.Join(errors.New("the consumer has ended"), err)
	case <-ctx.Done():
	}
	consumer.Close()
	return <-ended
}

// mute is a logger of several libraries.
type mute struct{}

func (mute) Fatalf(string, ...any) {}
func (mute) Errorf(string, ...any) {}
func (mute) Warnf(string, ...any)  {}
func (mute) Infof(string, ...any)  {}
func (mute) Debugf(string, ...any) {}

func (mute) Fatal(...any) {}
func (mute) Error(...any) {}
func (mute) Warn(...any)  {}
func (mute) Info(...any)  {}
func (mute) Debug(...any) {}
