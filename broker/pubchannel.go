package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// window is how many messages a Conn may have sent without an answer. It bounds the memory of
// both sides.
const window = 1024

// confirmPatience is how long a confirm may take before its message is sent again. A busy
// cluster needs seconds. It doubles each time, up to maxConfirmPatience, because a queue
// without a majority does not confirm for as long as that lasts, and may in the end hold
// every copy.
const (
	confirmPatience    = 20 * time.Second
	maxConfirmPatience = 10 * time.Minute
)

// A pubChannel is a channel in confirm mode.
type pubChannel struct {
	gen      *generation
	ch       *rawChannel
	overdue  func() // ends the channel, because a confirm doesn't come
	waiters  waiters
	confirms confirms
	late     atomic.Bool // ended because a confirm did not come in time; see isLate

	sending sync.Mutex // tags go by the order of sending

	ended atomic.Bool   // it is closed, or about to be
	over  chan struct{} // closed when it is
	err   error         // why; readable once over is closed

	mu        sync.Mutex
	returns   []returned   // not yet claimed by their senders
	unclaimed atomic.Int32 // len(returns), readable without mu
}

// A returned is a message that no queue has taken, and why.
type returned struct{ id, exchange, key, reason string }

// openPub opens a confirm channel on g. overdue is called once at most, and has to see to it
// that the channel ends.
func openPub(c *Conn, g *generation, overdue func(*pubChannel)) (*pubChannel, error) {
	pc := &pubChannel{gen: g, confirms: confirms{first: 1}, over: make(chan struct{})}
	pc.overdue = sync.OnceFunc(func() { overdue(pc) })
	ch, err := g.channel(pc)
	if err != nil {
		return nil, err
	}
	pc.ch = ch
	closes := ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := g.call("confirm.select", func() error { return ch.Confirm(false) }); err != nil {
		g.closeChannel(ch)
		return nil, err
	}
	c.background(func() { pc.watch(closes) })
	return pc, nil
}

// watch waits for the end of the channel: what is unconfirmed by then is lost.
func (pc *pubChannel) watch(closes <-chan *amqp.Error) {
	pc.err = closeError(<-closes)
	pc.ended.Store(true)
	close(pc.over)
	pc.confirms.end()
}

// closeErr is why the channel closed. It waits for that.
func (pc *pubChannel) closeErr() error {
	<-pc.over
	return pc.err
}

// alive reports whether the channel can still be published on.
func (pc *pubChannel) alive() bool { return !pc.isLate() && !pc.ended.Load() && !pc.ch.IsClosed() }

// isLate reports whether it is ended because a confirm did not come in time.
func (pc *pubChannel) isLate() bool { return pc.late.Load() || pc.gen.late.Load() }

// send writes m. What becomes of it comes to c.
func (pc *pubChannel) send(m *Message, c *confirm) error {
	pc.sending.Lock()
	defer pc.sending.Unlock()
	if !pc.confirms.add(c) {
		return errChannelOver
	}
	err := pc.ch.send(m)
	if err != nil {
		pc.confirms.withdraw(c)
	}
	if err == errChannelOver {
		pc.ended.Store(true)
	}
	return err
}

// delivered implements receiver: nothing is consumed here.
func (pc *pubChannel) delivered(*Delivery) {}

// confirmed implements receiver.
func (pc *pubChannel) confirmed(tag uint64, multiple, ack bool) {
	state := nacked
	if ack {
		state = acked
	}
	pc.confirms.settle(tag, multiple, state)
}

// returned implements receiver.
func (pc *pubChannel) returned(m Message, code uint16, text string) {
	pc.mu.Lock()
	defer pc.mu.Unlock()
	pc.returns = append(pc.returns, returned{m.ID, m.Exchange, m.Key, fmt.Sprintf("%d %s", code, text)})
	pc.unclaimed.Store(int32(len(pc.returns)))
}

// await waits for the confirm of a message until ctx ends. It returns false if ctx did.
//
// A confirm can fail to come on a connection that is well: a queue has no leader, or RabbitMQ
// forgets a message that reaches it right after its start, as 3.10 was seen to do. When
// patience is over the channel is ended; that settles the confirm, as lost, and the message is
// sent again.
func (pc *pubChannel) await(ctx context.Context, c *confirm, patience time.Duration) bool {
	if c.settled() {
		return true
	}
	w := pc.waiters.get(patience)
	defer pc.waiters.put(w)
	c.waiter.Store(w)
	for !c.settled() {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return false
		case <-w.timer.C:
			if pc.gen.blockedBy() == "" {
				pc.overdue()
			} else {
				w.timer.Reset(patience) // an alarm may last
			}
		}
	}
	return true
}

// takeReturn reports whether m, whose confirm has come, was returned as unroutable. The
// server sends the return first.
func (pc *pubChannel) takeReturn(m *Message) (reason error) {
	if pc.unclaimed.Load() == 0 {
		return nil
	}
	pc.mu.Lock()
	defer pc.mu.Unlock()
	for i, r := range pc.returns {
		if r.id == m.ID && r.exchange == m.Exchange && r.key == m.Key {
			pc.returns = append(pc.returns[:i], pc.returns[i+1:]...)
			pc.unclaimed.Store(int32(len(pc.returns)))
			return fmt.Errorf("%w: the server says %s", ErrUnroutable, r.reason)
		}
	}
	return nil
}
