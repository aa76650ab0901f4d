package jobtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/errandq/errand/broker"
)

// Why a consumer ends by itself.
var (
	errCancelled = errors.New("consumer cancelled: its queue was deleted")
	errCut       = errors.New("connection cut")
)

// A consumer is one channel that consumes a queue, from its opening to its end.
type consumer struct {
	conn     *Conn
	queue    *queue
	prefetch int
	noAck    bool

	ctx  context.Context // of the deliveries
	lose context.CancelCauseFunc
	gone chan struct{} // closed when it has ended by itself
	err  error         // why; readable once gone is closed
	wake chan struct{} // gets a value when inbox grows, or unacked gets empty
	back chan struct{} // gets a value when returns grows

	// Under the server's lock:
	inbox    []*broker.Delivery
	returns  []broker.Message
	unacked  map[*broker.Delivery]*message // not shortened when the consumer is over
	order    []*broker.Delivery            // of unacked
	draining bool                          // nothing more is handed out
	over     bool                          // answers come too late
}

func (c *consumer) hasRoom() bool {
	return !c.draining && !c.over && (c.noAck || len(c.order) < c.prefetch)
}

// take gets a message from its queue.
func (c *consumer) take(m *message) {
	d := broker.NewDelivery(c.ctx, c.queue.name, m.Message, c)
	d.Headers = maps.Clone(d.Headers) // other queues have the message, too
	d.Redelivered = m.handed > 0
	d.Deliveries = m.handed
	if !c.queue.quorum() {
		d.Deliveries = min(m.handed, 1)
	} else if m.handed > 0 {
		if d.Headers == nil {
			d.Headers = map[string]any{}
		}
		d.Headers["x-delivery-count"] = int64(m.handed)
	}
	m.handed++
	c.inbox = append(c.inbox, d)
	if !c.noAck {
		c.unacked[d] = m
		c.order = append(c.order, d)
		c.queue.unacked++
	}
	signal(c.wake)
}

func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

// Answer implements [broker.Answerer].
func (c *consumer) Answer(d *broker.Delivery, v broker.Verdict) error {
	s := c.conn.server
	if !c.noAck && c.conn.beforeAnswer(d, v) {
		c.conn.Cut()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := c.unacked[d]
	switch {
	case m == nil: // or nothing is to be answered
		return broker.ErrAnswered
	case c.over:
		return broker.ErrDeliveryLost
	}
	c.forget(d)
	switch v {
	case broker.Requeued:
		c.queue.giveBack(m)
	case broker.DeadLettered:
		c.queue.deadLetter(m, rejected)
	}
	c.queue.work()
	s.notify()
	if len(c.order) == 0 {
		signal(c.wake)
	}
	return nil
}

func (c *consumer) forget(d *broker.Delivery) {
	delete(c.unacked, d)
	c.order = slices.DeleteFunc(c.order, func(o *broker.Delivery) bool { return o == d })
	c.queue.unacked--
}

// close ends the consumer: what is unanswered goes back to the queue, in its order. The
// caller holds the server's lock.
func (c *consumer) close() {
	if c.over {
		return
	}
	c.over = true
	q := c.queue
	q.consumers = slices.DeleteFunc(q.consumers, func(o *consumer) bool { return o == c })
	delete(c.conn.consumers, c)
	for _, d := range slices.Clone(c.order) {
		q.unacked--
		q.giveBack(c.unacked[d])
	}
	c.order, c.inbox = nil, nil
	s := c.conn.server
	if q.owner != nil && s.queues[q.name] == q {
		s.deleteQueue(q) // it lives as long as its consumer
		return
	}
	if s.queues[q.name] == q {
		q.setUnused()
		q.work()
	}
	s.notify()
}

// lost ends the consumer from outside. The caller holds the server's lock.
func (c *consumer) lost(err error) {
	if c.over {
		return
	}
	c.close()
	c.err = err
	close(c.gone)
	c.lose(fmt.Errorf("%w: %w", broker.ErrDeliveryLost, err))
}

// next is the next delivery, or nil if there is none now.
func (c *consumer) next() *broker.Delivery {
	c.conn.server.mu.Lock()
	defer c.conn.server.mu.Unlock()
	if len(c.inbox) == 0 {
		return nil
	}
	d := c.inbox[0]
	c.inbox = c.inbox[1:]
	return d
}

// run hands out deliveries until the consumer ends. It returns nil if that was on purpose.
func (c *consumer) run(s broker.Subscription, r broker.Receiver) error {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	if r.Returned != nil {
		wg.Go(func() { c.takeReturns(r.Returned, stop) })
	}
	defer wg.Wait()
	defer close(stop)
	for {
		over := c.ctx.Err() != nil // before gone is looked at, which ends first
		select {
		case <-s.Drain:
			over = true
		default:
		}
		select {
		case <-c.gone:
			return c.err
		default:
		}
		if over {
			return c.drain(s, r)
		}
		if d := c.next(); d != nil {
			r.Deliver(d)
			continue
		}
		select {
		case <-c.wake:
		case <-c.gone:
		case <-s.Drain:
		case <-c.ctx.Done():
		}
	}
}

// takeReturns passes on what comes back, until stop.
func (c *consumer) takeReturns(receive func(broker.Message), stop <-chan struct{}) {
	for over := false; ; {
		c.conn.server.mu.Lock()
		ms := c.returns
		c.returns = nil
		c.conn.server.mu.Unlock()
		for _, m := range ms {
			receive(m)
		}
		if over {
			return
		}
		select {
		case <-c.back:
		case <-stop:
			over = true
		}
	}
}

// drain ends the consumer as Subscription.Drain says.
func (c *consumer) drain(s broker.Subscription, r broker.Receiver) error {
	server := c.conn.server
	server.mu.Lock()
	c.draining = true
	server.mu.Unlock()
	for d := c.next(); d != nil; d = c.next() {
		switch {
		case s.Finish && c.ctx.Err() == nil:
			r.Deliver(d)
		case !c.noAck:
			_ = d.Requeue() // fails if the consumer is gone: then the queue has it
		}
	}
	c.settle(s.Settle)
	server.mu.Lock()
	c.close()
	server.mu.Unlock()
	c.lose(broker.ErrDeliveryLost)
	return nil
}

// settle waits until everything is answered; after the end of the context, for patience.
func (c *consumer) settle(patience time.Duration) {
	done := c.ctx.Done()
	var late <-chan time.Time
	for {
		c.conn.server.mu.Lock()
		open := len(c.order)
		c.conn.server.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-c.wake:
		case <-c.gone:
			return
		case <-done:
			done = nil
			timer := time.NewTimer(patience)
			defer timer.Stop()
			late = timer.C
		case <-late:
			return
		}
	}
}
