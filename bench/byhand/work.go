package byhand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/bench/contest"
)

// Work implements [contest.Worker].
func (c *client) Work(ctx context.Context, handle func(contest.Args)) error {
	conns := append([]*amqp.Connection{c.in}, c.more...)
	return each(len(conns), func(i int) error { return c.workOn(ctx, conns[i], handle) })
}

// each runs f n times at once and joins the errors.
func each(n int, f func(i int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// workOn consumes from all queues on one connection.
func (c *client) workOn(ctx context.Context, conn *amqp.Connection, handle func(contest.Args)) error {
	return each(len(c.queues), func(i int) error { return c.consume(ctx, conn, c.queues[i], handle) })
}

func (c *client) consume(ctx context.Context, conn *amqp.Connection, queue string, handle func(contest.Args)) (err error) {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ch.Close()) }()
	if err := ch.Qos(c.work.Prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, queue, false, false, false, false, nil)
	if err != nil {
		return err
	}
	acks := c.acker(ch)
	ended := make(chan error, 1)
	go func() {
		ended <- each(max(c.work.Handlers, 1), func(int) error { return loop(deliveries, acks, handle) })
	}()
	select {
	case err = <-ended:
		return errors.Join(errors.New("the deliveries have ended"), err, acks.close())
	case <-ctx.Done():
	}
	err = ch.Cancel(queue, false) // ends the deliveries
	return errors.Join(err, <-ended, acks.close())
}

func (c *client) acker(ch *amqp.Channel) acker {
	if c.careful {
		return newMultiple(ch, c.work.Prefetch)
	}
	return single{ch}
}

// loop runs one handler until there are no more deliveries.
func loop(deliveries <-chan amqp.Delivery, acks acker, handle func(contest.Args)) error {
	for d := range deliveries {
		var a contest.Args
		if err := json.Unmarshal(d.Body, &a); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		handle(a)
		if err := acks.done(d.DeliveryTag); err != nil {
			return err
		}
	}
	return nil
}
