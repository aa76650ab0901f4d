package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// args are the arguments of the measured job, 256 bytes as JSON.
type args struct {
	OrderID string `json:"order_id"`
	Note    string `json:"note"`
}

var payload = args{OrderID: "order-000001", Note: strings.Repeat("x", 256-len(`{"order_id":"order-000001","note":""}`))}

const handQueue = "bench.hand"

// hand is a client as one writes it with the library's documentation at hand: one
// connection, one channel, confirms waited for.
type hand struct {
	conn *amqp.Connection
	ch   *amqp.Channel
	work func(ctx context.Context, h *hand, n int) error
}

func dialHand(url string, work func(context.Context, *hand, int) error) (*hand, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := ch.QueueDeclare(handQueue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if _, err := ch.QueuePurge(handQueue, false); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &hand{conn, ch, work}, nil
}

func (h *hand) run(ctx context.Context, n int) error { return h.work(ctx, h, n) }
func (h *hand) close() error                         { return h.conn.Close() }

// publish sends one job with the same guarantees: typed arguments encoded, an ID, mandatory,
// persistent, confirmed.
func (h *hand) publish() (*amqp.DeferredConfirmation, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return h.ch.PublishWithDeferredConfirm("", handQueue, true, false, amqp.Publishing{
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

// pipeline publishes n jobs with at most window unconfirmed ones.
func (h *hand) pipeline(ctx context.Context, n, window int) error {
	open := make([]*amqp.DeferredConfirmation, 0, window)
	for range n {
		if len(open) == window {
			if err := wait(ctx, open[0]); err != nil {
				return err
			}
			open = open[1:]
		}
		c, err := h.publish()
		if err != nil {
			return err
		}
		open = append(open, c)
	}
	for _, c := range open {
		if err := wait(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// handEnqueue is callers goroutines, each with window unconfirmed jobs at most.
func handEnqueue(callers, window int) func(context.Context, string, int) (contender, error) {
	return func(_ context.Context, url string, _ int) (contender, error) {
		h, err := dialHand(url, func(ctx context.Context, h *hand, n int) error {
			return spread(callers, func() error { return h.pipeline(ctx, n/callers, window) })
		})
		if err != nil {
			return nil, err
		}
		return h, h.ch.Confirm(false)
	}
}

// spread runs f on n goroutines and joins their errors.
func spread(n int, f func() error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// handConsume takes n jobs off a full queue: decoded, acked one by one.
func handConsume(prefetch int) func(context.Context, string, int) (contender, error) {
	return func(ctx context.Context, url string, n int) (contender, error) {
		h, err := dialHand(url, func(_ context.Context, h *hand, n int) error { return h.consume(n) })
		if err != nil {
			return nil, err
		}
		if err := h.ch.Confirm(false); err != nil {
			return nil, err
		}
		if err := h.pipeline(ctx, n, 1000); err != nil {
			return nil, err
		}
		return h, h.ch.Qos(prefetch, 0, false)
	}
}

func (h *hand) consume(n int) error {
	deliveries, err := h.ch.Consume(handQueue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	for range n {
		d, ok := <-deliveries
		if !ok {
			return errors.New("connection lost")
		}
		var a args
		if err := json.Unmarshal(d.Body, &a); err != nil {
			return fmt.Errorf("decode: %w", err)
		}
		if err := d.Ack(false); err != nil {
			return err
		}
	}
	return nil
}

// purge empties a queue.
func purge(url, queue string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueuePurge(queue, false)
	}
	return errors.Join(err, conn.Close())
}
