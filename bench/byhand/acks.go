package byhand

import (
	"runtime"
	"sync"
)

// An acker says how finished deliveries are acked.
type acker interface {
	done(tag uint64) error
	// close sends what is left.
	close() error
}

// An ackChannel is what an acker needs of a channel.
type ackChannel interface {
	Ack(tag uint64, multiple bool) error
}

// single acks each delivery.
type single struct{ ch ackChannel }

func (s single) done(tag uint64) error { return s.ch.Ack(tag, false) }
func (s single) close() error          { return nil }

// multiple acks the contiguous finished tags of a channel together, as often as it gets to it.
type multiple struct {
	ch    ackChannel
	wake  chan struct{} // has room for one
	ended chan error

	mu       sync.Mutex
	finished []bool // by tag, modulo its length: no more than the prefetch are unacked
	next     uint64 // the lowest tag that is not finished
}

func newMultiple(ch ackChannel, prefetch int) *multiple {
	m := &multiple{ch: ch, wake: make(chan struct{}, 1), ended: make(chan error, 1), finished: make([]bool, prefetch+1), next: 1}
	go func() { m.ended <- m.run() }()
	return m
}

func (m *multiple) done(tag uint64) error {
	size := uint64(len(m.finished))
	m.mu.Lock()
	m.finished[tag%size] = true
	for m.finished[m.next%size] {
		m.finished[m.next%size] = false
		m.next++
	}
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // it will see this one too
	}
	return nil
}

func (m *multiple) run() error {
	sent := uint64(0)
	for range m.wake {
		runtime.Gosched() // those who are about to finish go first
		m.mu.Lock()
		upTo := m.next - 1
		m.mu.Unlock()
		if upTo == sent {
			continue
		}
		if err := m.ch.Ack(upTo, true); err != nil {
			return err
		}
		sent = upTo
	}
	return nil
}

// close may be called when nobody calls done any more.
func (m *multiple) close() error {
	close(m.wake)
	return <-m.ended
}
