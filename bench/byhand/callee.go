package byhand

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/bench/contest"
)

// serve answers calls until ctx ends: one goroutine, which decodes, encodes, replies and acks
// each. The queue is like errand's.
func serve(ctx context.Context, url string, careful bool, ready func()) (err error) {
	conn, err := connect(url, careful)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(callQueue, true, false, false, false, amqp.Table{"x-queue-type": "classic"}); err != nil {
		return err
	}
	if err := ch.Qos(contest.CallSlots, 0, false); err != nil {
		return err
	}
	requests, err := ch.Consume(callQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	acks := acker(single{ch})
	if careful {
		acks = newMultiple(ch, contest.CallSlots)
	}
	defer func() { err = errors.Join(err, acks.close()) }()
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, open := <-requests:
			if !open {
				return errors.New("connection lost")
			}
			if err := answer(ctx, ch, &d); err != nil {
				return err
			}
			if err := acks.done(d.DeliveryTag); err != nil {
				return err
			}
		}
	}
}

func answer(ctx context.Context, ch *amqp.Channel, d *amqp.Delivery) error {
	var a contest.Args
	if err := json.Unmarshal(d.Body, &a); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return ch.PublishWithContext(ctx, "", d.ReplyTo, false, false, amqp.Publishing{
		ContentType:   d.ContentType,
		DeliveryMode:  amqp.Transient,
		CorrelationId: d.CorrelationId,
		Body:          body,
	})
}
