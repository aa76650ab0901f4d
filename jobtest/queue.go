package jobtest

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// A queue keeps messages until they are handed out and answered. Everything here happens
// under the server's lock.
type queue struct {
	server *server
	name   string
	args   map[string]any
	owner  *Conn // of a temporary queue

	ready     []*message  // in the order in which they are handed out
	stuck     []*message  // dead letters that nobody takes, of a queue that must not lose them
	retry     *time.Timer // of stuck
	backs     uint64      // how many messages came back
	consumers []*consumer
	turn      int // of consumers
	unacked   int
	expiry    *time.Timer // of the message at the head
	unused    *time.Timer // of the queue itself
}

// A message is one copy of a published message, in one queue.
type message struct {
	broker.Message
	born    uint64    // place in the order of publishing
	seq     uint64    // place in the order of coming into queues
	expires time.Time // zero: never
	handed  int       // how often it was handed out
	returns int       // how often it came back unanswered or requeued
	back    uint64    // its place among those that came back to a quorum queue; 0: none
	deaths  []death   // latest first

	// took has the queues that have taken it, of a stuck dead letter.
	took map[*queue]bool
}

func (q *queue) quorum() bool { return q.args["x-queue-type"] == "quorum" }

// number reads an integer argument.
func (q *queue) number(name string) (int64, bool) {
	switch v := q.args[name].(type) {
	case int:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func (q *queue) text(name string) string {
	v, _ := q.args[name].(string)
	return v
}

// full reports whether the queue refuses another message.
func (q *queue) full(m *broker.Message) bool {
	return q.text("x-overflow") == "reject-publish" && q.over(1, len(m.Body))
}

// over reports whether so many messages on top, of so many bytes, would be too many.
func (q *queue) over(more, bytes int) bool {
	if limit, ok := q.number("x-max-length"); ok && int64(len(q.ready)+len(q.stuck)+more) > limit {
		return true
	}
	limit, ok := q.number("x-max-length-bytes")
	if !ok {
		return false
	}
	for _, m := range q.ready {
		bytes += len(m.Body)
	}
	return int64(bytes) > limit
}

// put takes a message that was published or dead-lettered.
func (q *queue) put(m *message) {
	m.expires = time.Time{}
	ttl := time.Duration(-1)
	if ms, ok := q.number("x-message-ttl"); ok {
		ttl = time.Duration(ms) * time.Millisecond
	}
	if m.Expiration > 0 && (ttl < 0 || m.Expiration < ttl) {
		ttl = m.Expiration
	}
	if ttl >= 0 {
		m.expires = time.Now().Add(ttl)
	}
	q.insert(m)
	for len(q.ready) > 0 && q.over(0, 0) {
		q.deadLetter(q.pop(), maxlen)
	}
	q.work()
}

// insert puts m at its place: first what came back to a quorum queue, in the order in which
// it did, then by priority, then by the order of publishing.
func (q *queue) insert(m *message) {
	i, _ := slices.BinarySearchFunc(q.ready, m, func(a, b *message) int {
		switch {
		case a.back != 0 && b.back != 0:
			return cmp.Compare(a.back, b.back)
		case a.back != 0:
			return -1
		case b.back != 0:
			return 1
		}
		return cmp.Or(cmp.Compare(q.priority(b), q.priority(a)), cmp.Compare(a.seq, b.seq))
	})
	q.ready = slices.Insert(q.ready, i, m)
}

// priority is what counts of a message's priority: in a classic queue what its argument
// allows, in a quorum queue 32 levels, as from RabbitMQ 4.3 on.
func (q *queue) priority(m *message) uint8 {
	if q.quorum() {
		if m.Priority == 0 {
			return 4
		}
		return min(m.Priority, 31)
	}
	limit, _ := q.number("x-max-priority")
	return uint8(min(int64(m.Priority), limit))
}

func (q *queue) pop() *message {
	m := q.ready[0]
	q.ready = slices.Delete(q.ready, 0, 1)
	return m
}

// work does what has become possible: expire what is due at the head, hand out the rest.
func (q *queue) work() {
	for len(q.ready) > 0 {
		head := q.ready[0]
		if !head.expires.IsZero() && !time.Now().Before(head.expires) {
			q.deadLetter(q.pop(), expired)
			continue
		}
		c := q.free()
		if c == nil {
			break
		}
		c.take(q.pop())
	}
	q.setExpiry()
}

// free is the consumer whose turn it is among those with room, or nil.
func (q *queue) free() *consumer {
	if single, _ := q.args["x-single-active-consumer"].(bool); single && len(q.consumers) > 0 {
		if c := q.consumers[0]; c.hasRoom() {
			return c
		}
		return nil
	}
	for range q.consumers {
		c := q.consumers[q.turn%len(q.consumers)]
		q.turn++
		if c.hasRoom() {
			return c
		}
	}
	return nil
}

// setExpiry waits for the message at the head: only there do messages expire.
func (q *queue) setExpiry() {
	if q.expiry != nil {
		q.expiry.Stop()
		q.expiry = nil
	}
	if len(q.ready) == 0 || q.ready[0].expires.IsZero() || q.server.closed {
		return
	}
	q.expiry = time.AfterFunc(time.Until(q.ready[0].expires), func() {
		q.server.mu.Lock()
		defer q.server.mu.Unlock()
		q.work()
	})
}

// giveBack returns a message that was handed out.
func (q *queue) giveBack(m *message) {
	if q.server.queues[q.name] != q {
		return // it was deleted
	}
	m.returns++
	if q.quorum() {
		q.backs++
		m.back = q.backs
	}
	if limit, ok := q.number("x-delivery-limit"); ok && q.quorum() && int64(m.returns) > limit {
		q.deadLetter(m, deliveryLimit)
		return
	}
	q.insert(m)
}

// setUnused starts and stops the time that the queue may stay without a consumer.
func (q *queue) setUnused() {
	if q.unused != nil {
		q.unused.Stop()
		q.unused = nil
	}
	ms, ok := q.number("x-expires")
	if !ok || len(q.consumers) > 0 || q.server.closed {
		return
	}
	q.unused = time.AfterFunc(time.Duration(ms)*time.Millisecond, func() {
		q.server.mu.Lock()
		defer q.server.mu.Unlock()
		if q.server.queues[q.name] == q && len(q.consumers) == 0 {
			q.server.deleteQueue(q)
		}
	})
}

func (q *queue) stopTimers() {
	for _, t := range [...]*time.Timer{q.expiry, q.unused, q.retry} {
		if t != nil {
			t.Stop()
		}
	}
}

// String is the queue's declaration.
func (q *queue) String() string {
	return fmt.Sprint(topology.Queue{Name: q.name, Args: q.args})
}
