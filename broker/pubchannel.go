package broker

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// window is how many messages a Conn may have sent without an answer. It bounds the memory
// of both sides, and the returns that can come in at once: the library drops a return when
// its channel is full. The library walks all open confirms for each joined one, so a larger
// window costs CPU.
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
	gen     *generation
	ch      *amqp.Channel
	closes  chan *amqp.Error
	returns chan amqp.Return

	closeErr func() error // why the channel closed; waits for it to close
	overdue  func()       // ends the channel, because a confirm doesn't come

	timers    timers
	late      atomic.Bool // ended because a confirm did not come in time; see isLate
	mu        sync.Mutex
	returned  []amqp.Return // taken from returns, not yet claimed by their senders
	unclaimed atomic.Int32  // len(returned), readable without mu
}

// openPub opens a confirm channel on g with room for the returns of n messages in flight.
// overdue is called once at most, and has to see to it that the channel ends.
func openPub(g *generation, n int, overdue func(*pubChannel)) (*pubChannel, error) {
	ch, err := g.channel()
	if err != nil {
		return nil, err
	}
	pc := &pubChannel{
		gen:     g,
		ch:      ch,
		closes:  ch.NotifyClose(make(chan *amqp.Error, 1)),
		returns: ch.NotifyReturn(make(chan amqp.Return, n)),
	}
	pc.closeErr = sync.OnceValue(func() error {
		if err, ok := <-pc.closes; ok {
			return err
		}
		return ErrClosed
	})
	pc.overdue = sync.OnceFunc(func() { overdue(pc) })
	if err := g.call("confirm.select", func() error { return ch.Confirm(false) }); err != nil {
		g.closeChannel(ch)
		return nil, err
	}
	return pc, nil
}

// alive reports whether the channel can still be published on.
func (pc *pubChannel) alive() bool { return !pc.isLate() && !pc.ch.IsClosed() }

// isLate reports whether it is ended because a confirm did not come in time.
func (pc *pubChannel) isLate() bool { return pc.late.Load() || pc.gen.late.Load() }

// send writes m and returns what its confirm will come to.
func (pc *pubChannel) send(m *Message) (*amqp.DeferredConfirmation, error) {
	return pc.ch.PublishWithDeferredConfirm(m.Exchange, m.Key, !m.Optional, false, m.publishing())
}

// await waits for the confirm of a message until ctx ends. It returns false if ctx did.
//
// A confirm can fail to come on a connection that is well: a queue has no leader, or RabbitMQ
// forgets a message that reaches it right after its start, as 3.10 was seen to do. When
// patience is over the channel is ended; that completes the confirm, unconfirmed, and the
// message is sent again.
func (pc *pubChannel) await(ctx context.Context, dc *amqp.DeferredConfirmation, patience time.Duration) bool {
	select {
	case <-dc.Done():
		return true
	default:
	}
	timer := pc.timers.get(patience)
	defer pc.timers.put(timer)
	for {
		select {
		case <-dc.Done():
			return true
		case <-ctx.Done():
			return false
		case <-timer.C:
			if pc.gen.blockedBy() == "" {
				pc.overdue()
			} else {
				timer.Reset(patience) // an alarm may last
			}
		}
	}
}

// takeReturn reports whether m, whose confirm has come, was returned as unroutable. The
// server sends the return first, and the library puts it into the channel before it
// completes the confirm; so whatever belongs to m is there by now.
func (pc *pubChannel) takeReturn(m *Message) (reason error) {
	if len(pc.returns) == 0 && pc.unclaimed.Load() == 0 {
		return nil
	}
	pc.mu.Lock()
	defer pc.mu.Unlock()
	for more := true; more; {
		select {
		case r, ok := <-pc.returns:
			if more = ok; ok {
				r.Body, r.Headers = nil, nil
				pc.returned = append(pc.returned, r)
			}
		default:
			more = false
		}
	}
	for i, r := range pc.returned {
		if r.MessageId == m.ID && r.Exchange == m.Exchange && r.RoutingKey == m.Key {
			pc.returned = append(pc.returned[:i], pc.returned[i+1:]...)
			reason = fmt.Errorf("%w: the server says %d %s", ErrUnroutable, r.ReplyCode, r.ReplyText)
			break
		}
	}
	pc.unclaimed.Store(int32(len(pc.returned)))
	return reason
}

// timers are used again and again: each message that is waited for needs one.
type timers struct{ unused sync.Pool }

// get returns a timer that goes off after d.
func (ts *timers) get(d time.Duration) *time.Timer {
	if t, ok := ts.unused.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

func (ts *timers) put(t *time.Timer) {
	t.Stop()
	ts.unused.Put(t)
}
