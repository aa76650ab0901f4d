package jobtest

import (
	"crypto/rand"
	"slices"
	"sync"

	"github.com/errandq/errand/topology"
)

// A server is what all connections of a Broker share.
type server struct {
	mu        sync.Mutex
	exchanges map[string]*exchange
	queues    map[string]*queue
	seq       uint64 // of the last message
	blocked   string // why nothing is published; empty: it is
	down      bool
	closed    bool
	changed   chan struct{} // closed and replaced when blocked or down changes, or a queue has room again
	inject    func(Publishing) Fault
}

func newServer() *server {
	return &server{
		exchanges: predeclared(),
		queues:    map[string]*queue{},
		changed:   make(chan struct{}),
	}
}

// predeclared are the exchanges that every virtual host has.
func predeclared() map[string]*exchange {
	all := map[string]*exchange{}
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
	} {
		all[name] = &exchange{Exchange: topology.Exchange{Name: name, Kind: kind}}
	}
	return all
}

// notify wakes whoever waits for changed.
func (s *server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) newQueue(name string, args map[string]any, owner *Conn) *queue {
	q := &queue{server: s, name: name, args: args, owner: owner}
	s.queues[name] = q
	q.setUnused()
	return q
}

// settle lets everything happen that is due now, however the timers stand. The caller holds
// the lock.
func (s *server) settle() {
	for _, q := range s.queues {
		q.work()
	}
}

// newTemporary makes a queue of a connection's own.
func (s *server) newTemporary(c *Conn, prefix string, bindings []topology.Binding) (q *queue, trouble string) {
	for _, b := range bindings {
		if b.Destination == "" && s.exchanges[b.Source] == nil {
			return nil, "NOT_FOUND - no exchange '" + b.Source + "'"
		}
	}
	q = s.newQueue(prefix+rand.Text(), map[string]any{"x-queue-type": "classic"}, c)
	for _, b := range bindings {
		if b.Destination == "" {
			b.Destination = q.name
			s.bind(b)
		}
	}
	return q, ""
}

// deleteQueue takes the queue with its messages and bindings away, and cancels its consumers.
func (s *server) deleteQueue(q *queue) {
	delete(s.queues, q.name)
	q.stopTimers()
	q.ready, q.stuck = nil, nil
	for _, x := range s.exchanges {
		x.bindings = slices.DeleteFunc(x.bindings, func(b topology.Binding) bool { return !b.ToExchange && b.Destination == q.name })
	}
	for _, c := range slices.Clone(q.consumers) {
		c.lost(errCancelled)
	}
}

// deleteExchange takes an exchange and its bindings away.
func (s *server) deleteExchange(name string) {
	delete(s.exchanges, name)
	for _, x := range s.exchanges {
		x.bindings = slices.DeleteFunc(x.bindings, func(b topology.Binding) bool { return b.ToExchange && b.Destination == name })
	}
}
