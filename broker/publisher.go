package broker

import (
	"sync"
	"sync/atomic"
)

// A publisher holds what everybody publishes on: one channel for all, and channels apart for
// targets that would hold the others up.
//
// The server's channel does one thing after the other. Where it waits for a queue that has no
// leader, it confirms nothing that was sent behind, and does not even close. So when a confirm
// does not come in time the connection is given up, and each target that was waiting gets a
// channel of its own on the next, until something is answered there. While nothing at all is
// confirmed on a connection it is its node that is sick, for all we know.
type publisher struct {
	conn   *Conn
	shared *lane

	separated atomic.Int32 // len(apart), readable without mu
	mu        sync.Mutex
	apart     map[target]*lane
}

// A target is where messages go.
type target struct{ exchange, key string }

func (p *publisher) init(c *Conn) {
	p.conn = c
	p.shared = newLane(window)
	p.shared.overdue = func(pc *pubChannel) { pc.gen.giveUp() }
	p.apart = map[target]*lane{}
}

// board returns the lane for m. Whoever boards has to leave.
func (p *publisher) board(m *Message) *lane {
	if p.separated.Load() == 0 {
		return p.shared
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.apart[target{m.Exchange, m.Key}]
	if l == nil {
		return p.shared
	}
	l.users++
	return l
}

// leave is for who has boarded l, and has given its slot back.
func (p *publisher) leave(l *lane) {
	if l == p.shared {
		return
	}
	p.mu.Lock()
	l.users--
	last := l.cleared && l.users == 0
	p.mu.Unlock()
	if !last {
		return
	}
	if pc := l.open(); pc != nil {
		p.conn.background(func() { pc.gen.closeChannel(pc.ch) })
	}
}

// land is for a message whose waiting has ended: its slot is free, and its target is well if
// there was an answer.
func (p *publisher) land(f flight) {
	<-f.lane.slots
	if f.c.state.Load() == acked && !f.pc.gen.confirms.Load() {
		f.pc.gen.confirms.Store(true)
	}
	if f.c.answered() {
		p.join(f.m, f.lane)
	}
	p.leave(f.lane)
}

// separate gives the target of m a channel of its own.
func (p *publisher) separate(m *Message) {
	t := target{m.Exchange, m.Key}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.apart[t] != nil || len(p.apart) >= maxApart {
		return
	}
	l := newLane(apartWindow)
	l.overdue = func(pc *pubChannel) {
		if pc.gen.confirms.Load() {
			p.conn.background(func() { l.retire(pc) })
		} else {
			pc.gen.giveUp()
		}
	}
	p.apart[t] = l
	p.separated.Store(int32(len(p.apart)))
}

// join is for a target that is well: there was an answer to m, which went by l.
func (p *publisher) join(m *Message, l *lane) {
	if l == p.shared {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.cleared {
		return
	}
	l.cleared = true
	delete(p.apart, target{m.Exchange, m.Key})
	p.separated.Store(int32(len(p.apart)))
}
