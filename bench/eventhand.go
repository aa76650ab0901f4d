package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

const handExchange = "bench.event.hand"

// handFanout is publisher and subscribers by hand: a connection for each of the two, as RabbitMQ advises, and a channel for each subscriber.
type handFanout struct {
	out, in  *amqp.Connection
	ch       *amqp.Channel // of out
	confirms chan amqp.Confirmation
	arrived  *arrivals
	failed   chan error
	running  sync.WaitGroup
}

func handEvents(ctx context.Context, url string, _ int) (_ contender, err error) {
	h := &handFanout{arrived: newArrivals(), failed: make(chan error, subscribers)}
	if h.out, err = amqp.Dial(url); err != nil {
		return nil, err
	}
	if h.in, err = amqp.Dial(url); err != nil {
		return nil, errors.Join(err, h.out.Close())
	}
	if err := h.begin(ctx); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// begin returns when all subscribers have worked an event.
func (h *handFanout) begin(ctx context.Context) (err error) {
	if h.ch, err = h.out.Channel(); err != nil {
		return err
	}
	if err := h.ch.Confirm(false); err != nil {
		return err
	}
	h.confirms = h.ch.NotifyPublish(make(chan amqp.Confirmation, eventWindow))
	if err := h.ch.ExchangeDeclare(handExchange, "fanout", true, false, false, false, nil); err != nil {
		return err
	}
	for i := range subscribers {
		if err := h.subscribe(fmt.Sprint(handExchange, ".", i)); err != nil {
			return err
		}
	}
	return h.run(ctx, 1)
}

func (h *handFanout) subscribe(queue string) error {
	ch, err := h.in.Channel()
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return err
	}
	if _, err := ch.QueuePurge(queue, false); err != nil {
		return err
	}
	if err := ch.QueueBind(queue, "", handExchange, false, nil); err != nil {
		return err
	}
	if err := ch.Qos(eventPrefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	h.running.Go(func() {
		for d := range deliveries {
			if err := h.work(d); err != nil {
				h.failed <- err
				return
			}
		}
	})
	return nil
}

func (h *handFanout) work(d amqp.Delivery) error {
	var a args
	if err := json.Unmarshal(d.Body, &a); err != nil {
		return err
	}
	h.arrived.one()
	return d.Ack(false)
}

func (h *handFanout) run(ctx context.Context, n int) error {
	h.arrived.expect(n)
	open := 0
	for range n {
		if open == eventWindow {
			if err := h.confirmed(); err != nil {
				return err
			}
			open--
		}
		if err := h.publish(ctx); err != nil {
			return err
		}
		open++
	}
	for ; open > 0; open-- {
		if err := h.confirmed(); err != nil {
			return err
		}
	}
	return h.arrived.wait(ctx, h.failed)
}

func (h *handFanout) publish(ctx context.Context) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	m := amqp.Publishing{ContentType: "application/json", DeliveryMode: amqp.Persistent, Type: "bench", MessageId: id.String(), Timestamp: time.Now(), Body: body}
	return h.ch.PublishWithContext(ctx, handExchange, "", false, false, m)
}

// confirmed waits for the next confirm.
func (h *handFanout) confirmed() error {
	if c, open := <-h.confirms; !open || !c.Ack {
		return errors.New("not confirmed")
	}
	return nil
}

func (h *handFanout) close() error {
	err := errors.Join(h.out.Close(), h.in.Close())
	h.running.Wait()
	return err
}
