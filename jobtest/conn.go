package jobtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// A Conn is a connection to a [Broker]: what a program gets from broker.Dial. It comes back by
// itself, as that does. It is safe for concurrent use.
type Conn struct {
	server *server

	// Under the server's lock:
	consumers map[*consumer]bool
	cut       chan struct{} // closed and replaced when the connection is cut
	answering func(*broker.Delivery, broker.Verdict) bool
}

var (
	_ broker.Broker    = (*Conn)(nil)
	_ broker.Converser = (*Conn)(nil)
)

func newConn(s *server) *Conn {
	return &Conn{server: s, consumers: map[*consumer]bool{}, cut: make(chan struct{})}
}

// Cut breaks the connection: its consumers get what they have not answered again, its
// temporary queues are gone, and what was sent without a confirm may have arrived or not.
// It is there again at once.
func (c *Conn) Cut() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	c.cutLocked()
}

func (c *Conn) cutLocked() {
	for _, k := range slices.Collect(maps.Keys(c.consumers)) {
		k.lost(errCut)
	}
	close(c.cut)
	c.cut = make(chan struct{})
	c.server.notify()
}

// CutBefore makes answer look at each answer to a delivery. If it returns true the connection
// is cut before the answer reaches the server, as when a worker is killed after its handler
// and before the ack. Nil looks at nothing.
func (c *Conn) CutBefore(answer func(d *broker.Delivery, v broker.Verdict) bool) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.answering = answer
}

func (c *Conn) beforeAnswer(d *broker.Delivery, v broker.Verdict) bool {
	c.server.mu.Lock()
	answer := c.answering
	c.server.mu.Unlock()
	return answer != nil && answer(d, v)
}

// Declare implements [broker.Declarer].
func (c *Conn) Declare(ctx context.Context, t topology.Topology) error {
	s := c.server
	if t.IsZero() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.waitUp(ctx); err != nil {
		return err
	}
	if object, trouble := s.declare(c, t); trouble != "" {
		return &broker.DeclareError{Object: object, Err: errors.New(trouble)}
	}
	return nil
}

// waitUp waits until the server can be reached. The caller holds its lock, before and after.
func (c *Conn) waitUp(ctx context.Context) error {
	s := c.server
	for {
		switch {
		case s.closed:
			return broker.ErrClosed
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", broker.ErrNotConnected, context.Cause(ctx))
		case !s.down:
			return nil
		}
		s.wait(ctx)
	}
}

// waitFree waits until the server takes messages. The caller holds its lock.
func (c *Conn) waitFree(ctx context.Context) error {
	s := c.server
	for s.blocked != "" && !s.closed {
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %s: %w", broker.ErrBlocked, s.blocked, context.Cause(ctx))
		}
		s.wait(ctx)
	}
	return nil
}

// wait waits for a change, or the end of ctx, without the lock.
func (s *server) wait(ctx context.Context) {
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// Consume implements [broker.Consumer].
func (c *Conn) Consume(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
	return c.receive(ctx, subscription{s, false}, func(*consumer) broker.Receiver { return broker.Receiver{Deliver: deliver} })
}

// Converse implements [broker.Converser].
func (c *Conn) Converse(ctx context.Context, s broker.Subscription, begin func(broker.Channel) broker.Receiver) error {
	return c.receive(ctx, subscription{s, true}, func(k *consumer) broker.Receiver { return begin(k) })
}

// A subscription knows whether its channels send, on the connection that publishes.
type subscription struct {
	broker.Subscription
	sends bool
}

func (c *Conn) receive(ctx context.Context, s subscription, begin func(*consumer) broker.Receiver) error {
	soft, stop := context.WithCancel(ctx)
	defer stop()
	finished := make(chan struct{})
	defer func() { <-finished }()
	go func() {
		defer close(finished)
		select {
		case <-s.Drain:
			stop()
		case <-soft.Done():
		}
	}()
	defer stop()
	err := c.receiveUntil(ctx, soft, s, begin)
	if soft.Err() != nil && !errors.Is(err, broker.ErrClosed) {
		return nil
	}
	return err
}

// receiveUntil runs one consumer after the other until soft ends.
func (c *Conn) receiveUntil(ctx, soft context.Context, s subscription, begin func(*consumer) broker.Receiver) error {
	if err := c.Declare(soft, s.Declared()); err != nil {
		return err
	}
	for first := true; ; first = false {
		k, err := c.open(ctx, soft, s)
		switch {
		case err == nil:
			if err = k.run(s.Subscription, begin(k)); err == nil {
				return nil
			}
		case first || errors.Is(err, broker.ErrClosed):
			return err
		}
		if !sleep(soft, reconnectPause) {
			return nil
		}
		// The queue may be gone. If it can't be declared there is another try, as there is with
		// the real one.
		if err := c.Declare(soft, s.Declared()); errors.Is(err, broker.ErrClosed) {
			return err
		}
	}
}

// reconnectPause is how long a consumer that has lost its connection takes to come back.
const reconnectPause = 100 * time.Millisecond

// sleep waits for d, or returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// directReplyTo is the name by which a channel consumes replies to itself.
const directReplyTo = "amq.rabbitmq.reply-to"

// directProcess stands behind it in an address, before a key: an Erlang process ID in base64.
const directProcess = ".g1h3AWEAAAAAAAAAAAAAAAA=."

// open starts a consumer.
func (c *Conn) open(ctx, soft context.Context, s subscription) (*consumer, error) {
	server := c.server
	server.mu.Lock()
	defer server.mu.Unlock()
	if err := c.waitUp(soft); err != nil {
		return nil, err
	}
	if s.sends {
		if err := c.waitFree(soft); err != nil {
			return nil, err
		}
	}
	q, trouble := server.toConsume(c, s.Subscription)
	if trouble != "" {
		return nil, fmt.Errorf("broker: consume %q: %s", s.Queue, trouble)
	}
	k := &consumer{
		conn:     c,
		queue:    q,
		prefetch: min(max(s.Prefetch, 1), math.MaxUint16),
		noAck:    s.NoAck,
		gone:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
		back:     make(chan struct{}, 1),
		unacked:  map[*broker.Delivery]*message{},
	}
	k.ctx, k.lose = context.WithCancelCause(ctx)
	c.consumers[k] = true
	q.consumers = append(q.consumers, k)
	q.setUnused()
	q.work()
	server.notify()
	return k, nil
}

// toConsume finds the queue of a subscription, or makes it if it is a temporary one.
func (s *server) toConsume(c *Conn, sub broker.Subscription) (q *queue, trouble string) {
	switch sub.Queue {
	case "":
		return s.newTemporary(c, "amq.gen-", sub.Topology.Bindings)
	case directReplyTo:
		return s.newTemporary(c, directReplyTo+directProcess, nil)
	}
	switch q = s.queues[sub.Queue]; {
	case q == nil:
		return nil, "NOT_FOUND - no such queue"
	case q.owner != nil && q.owner != c:
		return nil, "RESOURCE_LOCKED - it belongs to another connection"
	}
	return q, ""
}

// Queue implements [broker.Channel].
func (c *consumer) Queue() string {
	if c.queue.owner != nil && c.direct() {
		return directReplyTo
	}
	return c.queue.name
}

func (c *consumer) direct() bool {
	return len(c.queue.name) > len(directReplyTo) && c.queue.name[:len(directReplyTo)] == directReplyTo
}

// Context implements [broker.Channel].
func (c *consumer) Context() context.Context { return c.ctx }

// Send implements [broker.Channel].
func (c *consumer) Send(ctx context.Context, m broker.Message) error {
	if err := m.Check(broker.DefaultMaxBody); err != nil {
		return err
	}
	s := c.conn.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := c.conn.waitFree(ctx); err != nil {
		return err
	}
	if c.over {
		return fmt.Errorf("%w: the channel is gone", broker.ErrNotConnected)
	}
	if m.ReplyTo == directReplyTo {
		m.ReplyTo = c.queue.name
	}
	queues, _ := s.route(&m)
	if len(queues) == 0 && !m.Optional {
		c.returns = append(c.returns, wired(m))
		signal(c.back)
	}
	s.put(queues, m)
	return nil
}
