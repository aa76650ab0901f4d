package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
)

// A Converser opens channels that receive and send: calls and their replies go over them.
type Converser interface {
	// Converse is [Consumer.Consume] on a channel that can also send. begin gets each channel
	// when it is open, the first one and those after reconnects, before any message of it; what
	// it returns receives them. Converse is for messages whose loss somebody notices: what is
	// sent is not confirmed, and a channel that dies may take it along.
	Converse(ctx context.Context, s Subscription, begin func(Channel) Receiver) error
}

// A Channel receives from one queue and sends anywhere. It lasts until its context ends, and
// never comes back. It is safe for concurrent use.
type Channel interface {
	// Queue is where it receives from: the name that the server gave, if it is temporary.
	Queue() string
	// Context ends with the channel; its cause then wraps [ErrDeliveryLost].
	Context() context.Context
	// Send writes m and does not wait for the server. What is sent reaches it in the order of
	// the calls, and before the answers to deliveries that are given later: a reply which is
	// sent before the ack of its request is not lost when the channel dies between them. An
	// answer may come behind what is sent after it.
	// If no queue takes m, and it is not Optional, it comes back to [Receiver.Returned].
	//
	// While the server is blocked Send waits, until ctx ends. An error that wraps
	// [ErrUnconfirmed] leaves open whether the server has m, because the channel died meanwhile.
	// Any other says that it has not: it wraps [ErrTooLarge], [ErrInvalid], [ErrBlocked], or
	// [ErrNotConnected] if the channel is dead.
	Send(ctx context.Context, m Message) error
}

// A Receiver gets what comes in on a channel.
type Receiver struct {
	// Deliver is called for each delivery, one after the other.
	Deliver func(*Delivery)
	// Returned is called for each message that no queue has taken, one after the other, but at
	// the same time as Deliver. Nil means that nobody wants to know.
	Returned func(Message)
}

var _ Converser = (*Conn)(nil)

// Converse implements [Converser]. Its channels are on the connection that publishes,
// because under a memory alarm the server stops reading whoever publishes, and must go on
// reading the acks of jobs.
func (c *Conn) Converse(ctx context.Context, s Subscription, begin func(Channel) Receiver) error {
	return c.receive(ctx, c.publish, s, func(s *session) Receiver {
		s.sends.Store(true)
		return begin(s)
	})
}

// Queue implements [Channel].
func (s *session) Queue() string { return s.queue }

// Context implements [Channel].
func (s *session) Context() context.Context { return s.ctx }

// Send implements [Channel].
func (s *session) Send(ctx context.Context, m Message) error {
	if err := m.Check(s.maxBody); err != nil {
		return err
	}
	if err := s.whenFree(ctx); err != nil {
		return err
	}
	if s.ch.IsClosed() {
		return fmt.Errorf("%w: the channel is closed", ErrNotConnected)
	}
	if s.gen.socket.hasRoom() {
		return s.publish(&m)
	}
	// A peer that does not read, and has not said so: the socket waits for it, without ctx.
	m.Body = bytes.Clone(m.Body) // the caller may go on before it is written
	done := make(chan error, 1)
	s.background(func() { done <- s.publish(&m) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(ctx))
	}
}

// publish writes m, and waits for room in the socket.
func (s *session) publish(m *Message) error {
	err := s.ch.send(m)
	if err == nil || errors.Is(err, ErrInvalid) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotConnected, err) // nothing was written
}

// whenFree waits until the server takes messages, or the channel or ctx is over.
func (s *session) whenFree(ctx context.Context) error {
	if s.gen.blockedBy() == "" {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.ctx, func() { cancel(ErrNotConnected) })
	defer stop()
	return s.gen.whenFree(ctx)
}

// takeReturns passes on what the server could not route, until the channel is closed.
func (s *session) takeReturns(returned func(Message)) {
	for closed := false; !closed; {
		select {
		case <-s.returns.ready:
		case <-s.gone:
			closed = true
		case <-s.closed:
			closed = true
		}
		for _, m := range s.returns.take(nil) {
			if returned != nil {
				returned(m)
			}
		}
	}
}
