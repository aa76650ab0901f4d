package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	handCalls     = "bench.rpc.hand"
	directReplyTo = "amq.rabbitmq.reply-to"
)

// handCaller makes calls as one writes it with care: one connection, one channel for requests
// and replies, and a map of the calls that wait.
type handCaller struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	replyTo string
	last    atomic.Uint64
	gone    chan struct{} // closed when no more replies come

	mu      sync.Mutex
	waiting map[string]chan amqp.Delivery
}

func dialHandCaller(_ context.Context, url string) (caller, error) {
	return newHandCaller(url, func(ch *amqp.Channel) (string, error) {
		q, err := ch.QueueDeclare("", false, true, true, false, nil)
		return q.Name, err
	})
}

func dialHandDirect(_ context.Context, url string) (caller, error) {
	return newHandCaller(url, func(*amqp.Channel) (string, error) { return directReplyTo, nil })
}

func newHandCaller(url string, declare func(*amqp.Channel) (string, error)) (*handCaller, error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return nil, err
	}
	h := &handCaller{conn: conn, gone: make(chan struct{}), waiting: map[string]chan amqp.Delivery{}}
	if err := h.open(declare); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return h, nil
}

func (h *handCaller) open(declare func(*amqp.Channel) (string, error)) (err error) {
	if h.ch, err = h.conn.Channel(); err != nil {
		return err
	}
	if h.replyTo, err = declare(h.ch); err != nil {
		return err
	}
	replies, err := h.ch.Consume(h.replyTo, "", true, true, false, false, nil)
	if err != nil {
		return err
	}
	go h.receive(replies)
	return nil
}

func (h *handCaller) receive(replies <-chan amqp.Delivery) {
	defer close(h.gone)
	for d := range replies {
		h.mu.Lock()
		reply := h.waiting[d.CorrelationId]
		delete(h.waiting, d.CorrelationId)
		h.mu.Unlock()
		if reply != nil {
			reply <- d // has room for it
		}
	}
}

func (h *handCaller) call(ctx context.Context, a args) (got args, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := json.Marshal(a)
	if err != nil {
		return got, err
	}
	id := strconv.FormatUint(h.last.Add(1), 36)
	reply := make(chan amqp.Delivery, 1)
	h.mu.Lock()
	h.waiting[id] = reply
	h.mu.Unlock()
	err = h.ch.PublishWithContext(ctx, "", handCalls, false, false, amqp.Publishing{
		ContentType:   "application/json",
		DeliveryMode:  amqp.Transient,
		CorrelationId: id,
		ReplyTo:       h.replyTo,
		Body:          body,
	})
	if err != nil {
		h.forget(id)
		return got, err
	}
	select {
	case d := <-reply:
		err = json.Unmarshal(d.Body, &got)
		return got, err
	case <-ctx.Done():
		h.forget(id)
		return got, ctx.Err()
	case <-h.gone:
		h.forget(id)
		return got, errors.New("connection lost")
	}
}

func (h *handCaller) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, id)
}

func (h *handCaller) close() error {
	err := h.conn.Close()
	<-h.gone
	return err
}

// serveByHand answers calls until ctx ends: one goroutine, which decodes, encodes, replies and
// acks each. The queue is like errand's.
func serveByHand(ctx context.Context, url string, ready func()) (err error) {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(handCalls, true, false, false, false, amqp.Table{"x-queue-type": "classic"}); err != nil {
		return err
	}
	if err := ch.Qos(callSlots, 0, false); err != nil {
		return err
	}
	requests, err := ch.Consume(handCalls, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case d, open := <-requests:
			if !open {
				return errors.New("connection lost")
			}
			if err := answerByHand(ctx, ch, &d); err != nil {
				return err
			}
		}
	}
}

func answerByHand(ctx context.Context, ch *amqp.Channel, d *amqp.Delivery) error {
	var a args
	if err := json.Unmarshal(d.Body, &a); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	err = ch.PublishWithContext(ctx, "", d.ReplyTo, false, false, amqp.Publishing{
		ContentType:   d.ContentType,
		DeliveryMode:  amqp.Transient,
		CorrelationId: d.CorrelationId,
		Body:          body,
	})
	if err != nil {
		return err
	}
	return d.Ack(false)
}
