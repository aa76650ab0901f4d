package broker

import (
	"context"
	"strconv"
	"time"
)

// A Delivery is a message that a queue has handed out. It is answered exactly once, with
// Ack, Requeue or DeadLetter; until then it counts against the prefetch. Its methods are
// safe for concurrent use.
type Delivery struct {
	Message
	// Queue is where it was taken from.
	Queue string
	// Redelivered says that the message was handed out before, to anybody.
	Redelivered bool
	// Deliveries is how often it was handed out before, as far as the server tells: classic
	// queues only tell whether, which counts as 1.
	Deliveries int

	ctx      context.Context
	answerer Answerer

	// The rest is kept here for acks, to spare it an allocation a delivery.
	tag        uint64
	prev, next *Delivery // in the list of unsent answers
	verdict    Verdict
}

// A Verdict is the answer to a delivery.
type Verdict uint8

// The answers.
const (
	Unanswered Verdict = iota
	Acked
	Requeued
	DeadLettered
)

// An Answerer takes the answers to the deliveries of a broker. Tests and other brokers make
// deliveries with one of their own, by [NewDelivery].
type Answerer interface {
	// Answer takes the first answer to d, or returns [ErrAnswered], or [ErrDeliveryLost] if
	// it is too late. It is safe for concurrent use.
	Answer(d *Delivery, v Verdict) error
}

// NewDelivery makes a delivery of m from queue, whose answer goes to a and whose context is
// ctx.
func NewDelivery(ctx context.Context, queue string, m Message, a Answerer) *Delivery {
	return &Delivery{Message: m, Queue: queue, ctx: ctx, answerer: a}
}

// Context ends when the delivery can no longer be answered, because its channel or its
// connection is gone: its cause is then an error that wraps [ErrDeliveryLost]. It also ends
// with Consume's own context, with that one's cause, and carries that one's values.
func (d *Delivery) Context() context.Context { return d.ctx }

// Ack tells the server that the message is done with. It returns when the answer is
// recorded; answers that are recorded together are sent together. A message whose answer
// did not reach the server before the connection, the channel or the consumer ended comes
// again.
//
// The error is [ErrDeliveryLost] or [ErrAnswered], and then nothing was sent.
func (d *Delivery) Ack() error { return d.answerer.Answer(d, Acked) }

// Requeue gives the message back to its queue, to be handed out again soon. Errors are
// those of Ack.
func (d *Delivery) Requeue() error { return d.answerer.Answer(d, Requeued) }

// DeadLetter rejects the message: the server moves it where the queue's dead letters go, or
// drops it if the queue names no such place. Errors are those of Ack.
func (d *Delivery) DeadLetter() error { return d.answerer.Answer(d, DeadLettered) }

// expiration reads the property of that name, milliseconds as text. What is no such number
// was not accepted by a server, and counts as none.
func expiration(ms string) time.Duration {
	if ms == "" {
		return 0
	}
	n, err := strconv.ParseUint(ms, 10, 32) // RabbitMQ's own limit
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// deliveries reads the counter that the server's version keeps: x-acquired-count counts
// every hand-out from 4.3, x-delivery-count does before.
func deliveries(headers map[string]any, redelivered bool) int {
	for _, header := range [...]string{"x-acquired-count", "x-delivery-count"} {
		switch n := headers[header].(type) {
		case int64:
			return int(n)
		case int32:
			return int(n)
		}
	}
	if redelivered {
		return 1
	}
	return 0
}
