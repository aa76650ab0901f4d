package broker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// A watched is a confirm, and what should have become of it. Its waiter counts how often it was
// settled.
type watched struct {
	confirm
	want int32
}

func newWatched() *watched {
	w := &watched{}
	w.waiter.Store(&waiter{wake: make(chan struct{}, 8)})
	return w
}

// fault tells whether it was settled otherwise than once if at all, and as it should be.
func (w *watched) fault() string {
	times, got := min(int(w.want), 1), len(w.waiter.Load().wake)
	if w.state.Load() != w.want || got != times {
		return fmt.Sprintf("state %d, settled %d times, want state %d, settled %d times", w.state.Load(), got, w.want, times)
	}
	if w.settled() != (w.want != unconfirmed) || w.answered() != (w.want == acked || w.want == nacked) {
		return fmt.Sprintf("in state %d it is settled: %t, answered: %t", w.want, w.settled(), w.answered())
	}
	return ""
}

// A confirmModel is what confirms should be: all messages that were sent, by their tags from 1 on.
type confirmModel struct {
	sent      []*watched
	withdrawn []*watched
	over      bool
}

// settle settles the messages from one tag to another.
func (m *confirmModel) settle(from, to uint64, state int32) {
	if m.over || from < 1 || to > uint64(len(m.sent)) {
		return
	}
	for _, w := range m.sent[from-1 : to] {
		if w.want == unconfirmed {
			w.want = state
		}
	}
}

func (m *confirmModel) add(t *testing.T, cs *confirms) {
	t.Helper()
	w := newWatched()
	if cs.add(&w.confirm) == m.over {
		t.Fatalf("add reports %t, over is %t", !m.over, m.over)
	}
	if m.over {
		m.withdrawn = append(m.withdrawn, w)
	} else {
		m.sent = append(m.sent, w)
	}
}

// withdraw takes the last message back, which does nothing if it was settled.
func (m *confirmModel) withdraw(cs *confirms) {
	last := len(m.sent) - 1
	if last < 0 {
		return
	}
	w := m.sent[last]
	cs.withdraw(&w.confirm)
	if w.want == unconfirmed {
		m.withdrawn, m.sent = append(m.withdrawn, w), m.sent[:last]
	}
}

// step does something to both.
func (m *confirmModel) step(t *testing.T, cs *confirms, random *rand.Rand) {
	t.Helper()
	state := acked + int32(random.IntN(2))
	tag := uint64(random.IntN(len(m.sent) + 3))
	if random.IntN(2) == 0 { // near the end, as mostly
		tag = uint64(max(0, len(m.sent)-random.IntN(20)))
	}
	switch random.IntN(12) {
	case 0:
		m.add(t, cs)
		m.withdraw(cs)
	case 1:
		m.withdraw(cs)
	case 2:
		cs.settle(tag, true, state)
		if tag == 0 { // all
			tag = uint64(len(m.sent))
		}
		m.settle(1, tag, state)
	case 3, 4, 5:
		cs.settle(tag, false, state)
		m.settle(tag, tag, state)
	case 6:
		far := []uint64{math.MaxUint64, math.MaxInt64 + 1, uint64(len(m.sent)) + 1<<32}[random.IntN(3)]
		cs.settle(far, random.IntN(2) == 0, state)
	default:
		m.add(t, cs)
	}
}

func (m *confirmModel) end(cs *confirms) {
	cs.end()
	m.settle(1, uint64(len(m.sent)), lost)
	m.over = true
}

func (m *confirmModel) check(t *testing.T, what ...any) {
	t.Helper()
	for i, w := range m.sent {
		if fault := w.fault(); fault != "" {
			t.Fatalf("%v: tag %d of %d: %s", what, i+1, len(m.sent), fault)
		}
	}
	for _, w := range m.withdrawn {
		if fault := w.fault(); fault != "" {
			t.Fatalf("%v: withdrawn: %s", what, fault)
		}
	}
}

// Whatever the order of confirms, each message is settled once, as the first that is for it says.
func TestConfirmsAreThoseOfAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 1))
		cs, m := &confirms{first: 1}, &confirmModel{}
		for i := range 300 {
			m.step(t, cs, random)
			m.check(t, "seed", seed, "step", i)
		}
		m.end(cs)
		m.check(t, "seed", seed, "at its end")
		for range 20 {
			m.step(t, cs, random)
			if random.IntN(5) == 0 {
				m.end(cs)
			}
		}
		m.check(t, "seed", seed, "after its end")
	}
}

// A window that is confirmed all the time does not grow.
func TestConfirmsTakeNoMoreRoomThanTheirWindow(t *testing.T) {
	t.Parallel()
	cs := &confirms{first: 1}
	for tag := uint64(1); tag <= 100_000; tag++ {
		cs.add(&confirm{})
		if tag > 100 {
			cs.settle(tag-100, tag%3 == 0, acked)
		}
	}
	if n := cap(cs.list); n > 1000 {
		t.Errorf("there is room for %d, want little more than for 100", n)
	}
}

// publishers send messages, and take some of them back, until there are n of them or it is over.
func publishers(cs *confirms, n int) (sent <-chan *watched, withdrawn func() []*watched) {
	out := make(chan *watched, 100)
	var sending sync.Mutex
	var wg sync.WaitGroup
	var back []*watched
	count := 0
	one := func(random *rand.Rand) bool {
		sending.Lock()
		defer sending.Unlock()
		w := newWatched()
		if count == n || !cs.add(&w.confirm) {
			return false
		}
		if random.IntN(2) == 0 {
			cs.withdraw(&w.confirm)
			back = append(back, w)
			return true
		}
		count++
		out <- w
		return true
	}
	for i := range uint64(4) {
		wg.Go(func() {
			for random := rand.New(rand.NewPCG(i, 2)); one(random); {
			}
		})
	}
	go func() {
		wg.Wait()
		close(out)
	}()
	return out, func() []*watched { return back }
}

// answer confirms what is sent, in some order, and at last all that has come.
func (m *confirmModel) answer(cs *confirms, sent <-chan *watched, random *rand.Rand) {
	for w := range sent {
		m.sent = append(m.sent, w)
		tag, state := uint64(1+random.IntN(len(m.sent))), acked+int32(random.IntN(2))
		if random.IntN(2) == 0 {
			tag = uint64(max(1, len(m.sent)-random.IntN(100)))
		}
		from, multiple := tag, random.IntN(20) == 0
		if multiple {
			from = 1
		}
		cs.settle(tag, multiple, state)
		m.settle(from, tag, state)
	}
	cs.settle(uint64(len(m.sent)), true, acked)
	m.settle(1, uint64(len(m.sent)), acked)
}

// Senders and the reader of the connection share confirms.
func TestConfirmsAtTheSameTime(t *testing.T) {
	t.Parallel()
	cs, m := &confirms{first: 1}, &confirmModel{}
	sent, withdrawn := publishers(cs, 20_000)
	var strays sync.WaitGroup
	strays.Go(func() {
		for range 20_000 {
			cs.settle(math.MaxUint64, true, nacked)
		}
	})
	m.answer(cs, sent, rand.New(rand.NewPCG(3, 3)))
	strays.Wait()
	m.withdrawn = withdrawn()
	if len(m.withdrawn) == 0 || len(m.sent) != 20_000 {
		t.Errorf("%d were sent and %d withdrawn", len(m.sent), len(m.withdrawn))
	}
	m.end(cs)
	m.check(t, "at the end")
}

// A channel may die in the midst of that: what has no answer is lost, and nothing is left.
func TestConfirmsEndAtAnyTime(t *testing.T) {
	t.Parallel()
	losses := 0
	for seed := range uint64(20) {
		cs, m := &confirms{first: 1}, &confirmModel{}
		sent, withdrawn := publishers(cs, math.MaxInt)
		var first []*watched
		for range 100 * seed {
			first = append(first, <-sent)
		}
		relay := make(chan *watched)
		go func() {
			defer close(relay)
			for _, w := range first {
				relay <- w
			}
			cs.end()
			for w := range sent {
				relay <- w
			}
		}()
		m.answer(cs, relay, rand.New(rand.NewPCG(seed, 4)))
		for _, w := range m.sent {
			if w.state.Load() == lost {
				w.want = lost
				losses++
			}
		}
		m.withdrawn = withdrawn()
		m.check(t, "seed", seed)
	}
	if losses == 0 {
		t.Error("nothing was lost")
	}
}

// What it takes to keep the confirm of one message, with a thousand under way, of which the
// server acks fifty at once.
func BenchmarkConfirms(b *testing.B) {
	const under, together = 1000, 50
	cs := &confirms{first: 1}
	var ring [under]confirm
	tag := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		c := &ring[tag%under]
		c.state.Store(unconfirmed)
		cs.add(c)
		if tag++; tag >= under && tag%together == 0 {
			cs.settle(tag-under+together, true, acked)
		}
	}
	if left := uint64(len(cs.list) - cs.head); left > under {
		b.Errorf("%d are left, want %d at most", left, under)
	}
}
