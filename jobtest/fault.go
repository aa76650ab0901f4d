package jobtest

import (
	"time"

	"github.com/errandq/errand/broker"
)

// A Publishing is one try to publish a message.
type Publishing struct {
	Message broker.Message
	Attempt int // from 1; more if the message is sent again
}

// A Fault is what happens to a message that is published. The zero Fault is none.
type Fault struct {
	kind  faultKind
	delay time.Duration
}

type faultKind uint8

const (
	faultNone   faultKind = iota
	faultLose             // it arrives, its confirm does not
	faultDrop             // it does not arrive, and nothing says so
	faultReturn           // it comes back as unroutable
	faultRefuse           // its queue refuses it
)

// LoseConfirm lets the message arrive and its confirm be lost. The publisher sends it again
// after 20 seconds or a cut, as broker.Conn does: a duplicate.
func LoseConfirm() Fault { return Fault{kind: faultLose} }

// LoseMessage loses the message on its way. The publisher sends it again after 20 seconds or a
// cut.
func LoseMessage() Fault { return Fault{kind: faultDrop} }

// DelayConfirm lets the confirm come after d.
func DelayConfirm(d time.Duration) Fault { return Fault{delay: d} }

// Return lets the message come back as unroutable.
func Return() Fault { return Fault{kind: faultReturn} }

// Refuse lets the message be refused, as by a full queue. The publisher tries again a little
// later.
func Refuse() Fault { return Fault{kind: faultRefuse} }

// Inject makes fault decide what happens to each message that is published from now on. It is
// called once for each try, from the publishers' goroutines. Nil means that all goes well.
func (b *Broker) Inject(fault func(Publishing) Fault) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.server.inject = fault
}

// Block makes the server take no messages, as under a memory alarm, until Unblock. Deliveries
// and their answers go on.
func (b *Broker) Block(reason string) { b.setBlocked("blocked: " + reason) }

// Unblock ends Block.
func (b *Broker) Unblock() { b.setBlocked("") }

func (b *Broker) setBlocked(reason string) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.server.blocked = reason
	b.server.notify()
}

// Stop cuts all connections, and none comes back until Start. What is in durable queues stays.
func (b *Broker) Stop() {
	s := b.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = true
	for _, c := range b.conns {
		c.cutLocked()
	}
}

// Start ends Stop.
func (b *Broker) Start() {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.server.down = false
	b.server.notify()
}

// DeleteQueue deletes a queue with all that is in it. Its consumers come back when it was
// declared again.
func (b *Broker) DeleteQueue(name string) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	if q := b.server.queues[name]; q != nil {
		b.server.deleteQueue(q)
	}
}

// DeleteExchange deletes an exchange with its bindings.
func (b *Broker) DeleteExchange(name string) {
	b.server.mu.Lock()
	defer b.server.mu.Unlock()
	b.server.deleteExchange(name)
}
