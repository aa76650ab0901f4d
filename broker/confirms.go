package broker

import (
	"sync"
	"sync/atomic"
)

// What became of a message that was published.
const (
	unconfirmed int32 = iota
	acked             // the server has it
	nacked            // it was refused
	lost              // the channel has died before there was an answer
)

// A confirm is the answer to one message.
type confirm struct {
	state  atomic.Int32
	waiter atomic.Pointer[waiter] // who wants to know; nil: nobody waits
}

func (c *confirm) settle(state int32) {
	c.state.Store(state)
	if w := c.waiter.Load(); w != nil {
		w.nudge()
	}
}

func (c *confirm) settled() bool  { return c.state.Load() != unconfirmed }
func (c *confirm) answered() bool { s := c.state.Load(); return s == acked || s == nacked }

// confirms are those of a channel that have not come yet.
type confirms struct {
	mu    sync.Mutex
	list  []*confirm // from head on, in the order of their tags; nil: it was settled
	head  int
	first uint64 // the tag at head
	over  bool   // none come any more
}

// add enters the confirm of the message that is about to be sent. It returns false if none
// will come.
func (cs *confirms) add(c *confirm) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.over {
		return false
	}
	cs.list = append(cs.list, c)
	return true
}

// withdraw takes back the last one that was added: its message was not sent.
func (cs *confirms) withdraw(c *confirm) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	// A server may have confirmed what it never got.
	if n := len(cs.list); n > cs.head && cs.list[n-1] == c {
		cs.list = cs.list[:n-1]
	}
}

// settle is for the confirm of one message, or of all up to it.
func (cs *confirms) settle(tag uint64, multiple bool, state int32) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	under := uint64(len(cs.list) - cs.head)
	if tag == 0 && multiple { // all
		tag = cs.first + under - 1
	}
	if tag < cs.first || tag-cs.first >= under {
		return // it was settled, or never published
	}
	at := cs.head + int(tag-cs.first)
	from := at
	if multiple {
		from = cs.head
	}
	for i := from; i <= at; i++ {
		if c := cs.list[i]; c != nil {
			cs.list[i] = nil
			c.settle(state)
		}
	}
	cs.advance()
}

// advance drops what is settled at the head of the list. The caller holds mu.
func (cs *confirms) advance() {
	for cs.head < len(cs.list) && cs.list[cs.head] == nil {
		cs.head++
		cs.first++
	}
	if 2*cs.head >= len(cs.list) {
		left := copy(cs.list, cs.list[cs.head:])
		clear(cs.list[left:])
		cs.list, cs.head = cs.list[:left], 0
	}
}

// end settles all that are left: the channel is dead.
func (cs *confirms) end() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.over = true
	for _, c := range cs.list[cs.head:] {
		if c != nil {
			c.settle(lost)
		}
	}
	cs.list, cs.head = nil, 0
}
