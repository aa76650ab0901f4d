package jobtest

import (
	"testing"

	"github.com/errandq/errand/broker"
)

// A Broker is a RabbitMQ in memory, and a connection to it. It does what errand uses of
// RabbitMQ 4: exchanges of all four kinds with alternate exchanges, quorum and classic
// queues with TTL, dead-lettering, delivery limits, length limits, priorities and expiry,
// confirms, returns, prefetch, redelivery. [Conformance] is what it has to hold together with
// the real one.
//
// It keeps no time of its own: in a testing/synctest bubble a day passes at once. Make it in
// the bubble, then, with [NewBroker]. It is safe for concurrent use.
type Broker struct {
	*Conn
	tb    testing.TB
	conns []*Conn
}

var _ broker.Broker = (*Broker)(nil)

// NewBroker makes a Broker that lasts until the test ends. End workers and clients first.
func NewBroker(tb testing.TB) *Broker {
	tb.Helper()
	s := newServer()
	b := &Broker{Conn: newConn(s), tb: tb}
	b.conns = []*Conn{b.Conn}
	tb.Cleanup(b.close)
	return b
}

// Connect makes another connection, as another program has: with temporary queues of its
// own, and faults that the others don't notice.
func (b *Broker) Connect() *Conn {
	s := b.server
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newConn(s)
	b.conns = append(b.conns, c)
	return c
}

// close ends everything: consumers get broker.ErrClosed.
func (b *Broker) close() {
	s := b.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, c := range b.conns {
		c.cutLocked()
	}
	for _, q := range s.queues {
		q.stopTimers()
	}
}
