package broker

import (
	"runtime"
	"sync"
	"time"
)

// acks sends the answers of one session. Jobs finish in any order, and RabbitMQ pays for
// every ack frame it gets, so answers are collected, and what is contiguous goes out as one
// ack with multiple set.
//
// While more than half of the prefetch has been handed to the consumer it may soon run out of
// deliveries for want of answers. Then answers are collected only while the last ones are
// being sent: that halves the server's work per job under load. A job that runs long must not
// hold back the acks of those behind it, so what has been answered behind an unanswered
// delivery is acked one by one, after at most joinWait while answers keep coming in, and at
// once when they come slowly.
//
// Else as many deliveries again are on their way, and an answer waits, for at most joinWait,
// for others.
type acks struct {
	ch       ackChannel
	prefetch int
	wake     chan struct{} // has room for one

	mu         sync.Mutex
	head, tail *Delivery // unsent, in the order of their tags
	held       int       // the length of the list
	behind     int       // answered ones in the list
	closed     bool
	idle       chan struct{} // closed when the list is empty; nil unless somebody waits
}

// joinWait is how long an answer waits at most to be joined to others.
const joinWait = 2 * time.Millisecond

// An ackChannel is what acks needs of a channel of the library.
type ackChannel interface {
	Ack(tag uint64, multiple bool) error
	Nack(tag uint64, multiple, requeue bool) error
	Reject(tag uint64, requeue bool) error
}

func newAcks(ch ackChannel, prefetch int) *acks {
	return &acks{ch: ch, prefetch: prefetch, wake: make(chan struct{}, 1)}
}

// add enters a delivery that was just received. Tags come in order.
func (a *acks) add(d *Delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d.prev = a.tail
	if a.tail == nil {
		a.head = d
	} else {
		a.tail.next = d
	}
	a.tail = d
	a.held++
}

// urgent reports whether the consumer may run out of deliveries for want of answers.
func (a *acks) urgent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return 2*a.held > a.prefetch
}

// Answer implements [Answerer].
func (a *acks) Answer(d *Delivery, v Verdict) error {
	a.mu.Lock()
	switch {
	case d.verdict != Unanswered:
		a.mu.Unlock()
		return ErrAnswered
	case a.closed:
		a.mu.Unlock()
		return ErrDeliveryLost
	}
	d.verdict = v
	a.behind++
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default: // the sender will see this one too
	}
	return nil
}

// run sends answers until over is closed or the channel fails.
func (a *acks) run(over <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	waiting := false // the timer runs
	last := time.Time{}
	for {
		all, hold := false, false
		select {
		case <-over:
			return
		case <-a.wake:
			// Handlers that are ready to finish go first: four times fewer acks under load, 1.3
			// times the rate, and nothing lost when there are none.
			runtime.Gosched()
			now := time.Now()
			all = now.Sub(last) > joinWait // nothing else is coming in: don't wait for it
			last = now
			hold = !a.urgent()
		case <-timer.C:
			waiting, all = false, true
		}
		left := true
		if !hold {
			var err error
			if left, err = a.pass(all); err != nil {
				return // the channel is dead; the session finds out by itself
			}
		}
		switch {
		case !left:
			timer.Stop()
		case !waiting: // else it runs for one that has waited longer
			timer.Reset(joinWait)
		}
		waiting = left
	}
}

// pass sends what can be joined, and all the rest if all is set. left says that answered
// deliveries are still in the list.
func (a *acks) pass(all bool) (left bool, err error) {
	a.mu.Lock()
	var upTo uint64 // the highest tag below every unanswered one
	var singles []*Delivery
	joined := 0
	for d := a.head; d != nil && a.behind > 0; {
		next := d.next
		contiguous := d == a.head
		switch {
		case d.verdict == Unanswered:
			if !all {
				next = nil
			}
		case d.verdict == Acked && contiguous:
			upTo = d.tag
			joined++
			a.remove(d)
		case contiguous || all:
			singles = append(singles, d)
			a.remove(d)
		}
		d = next
	}
	left = a.behind > 0
	if a.head == nil && a.idle != nil {
		defer close(a.idle)
		a.idle = nil
	}
	a.mu.Unlock()

	// What must not be acked leaves the server's list before the joined ack covers its tag.
	for _, d := range singles {
		if d.verdict != Acked {
			if err := d.send(a.ch); err != nil {
				return left, err
			}
		}
	}
	if joined > 0 {
		if err := a.ch.Ack(upTo, joined > 1); err != nil {
			return left, err
		}
	}
	for _, d := range singles {
		if d.verdict == Acked {
			if err := d.send(a.ch); err != nil {
				return left, err
			}
		}
	}
	return left, nil
}

// send answers for one delivery alone.
func (d *Delivery) send(ch ackChannel) error {
	switch d.verdict {
	case Requeued:
		// nack, not reject: from 4.3 on RabbitMQ does not count it as a failed delivery.
		return ch.Nack(d.tag, false, true)
	case DeadLettered:
		return ch.Reject(d.tag, false)
	default:
		return ch.Ack(d.tag, false)
	}
}

func (a *acks) remove(d *Delivery) {
	if d.prev == nil {
		a.head = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next == nil {
		a.tail = d.prev
	} else {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
	a.behind--
	a.held--
}

// empty reports whether every delivery is answered, and the answers sent.
func (a *acks) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.head == nil
}

// whenIdle returns a channel that is closed once every delivery is answered and sent.
func (a *acks) whenIdle() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	idle := make(chan struct{})
	if a.head == nil {
		close(idle)
	} else {
		a.idle = idle
	}
	return idle
}

// close makes every later answer fail with ErrDeliveryLost.
func (a *acks) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
}
