package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An ackServer is RabbitMQ's end of a channel, as far as it takes answers. Its errors are
// what would make RabbitMQ close the channel, or answer for a job that nobody answered for.
type ackServer struct {
	mu       sync.Mutex
	open     map[uint64]bool // handed out, no answer has come
	answered map[uint64]Verdict
	sent     []string // frames
	fail     error    // what every call returns, if set
}

func newAckServer() *ackServer {
	return &ackServer{open: map[uint64]bool{}, answered: map[uint64]Verdict{}}
}

// hand gives out the next delivery.
func (s *ackServer) hand(a *acks, tag uint64) *Delivery {
	s.mu.Lock()
	s.open[tag] = true
	s.mu.Unlock()
	d := &Delivery{tag: tag, answerer: a}
	a.add(d)
	return d
}

// answer is what a handler does: the model knows of it first.
func (s *ackServer) answer(d *Delivery, v Verdict) error {
	s.mu.Lock()
	s.answered[d.tag] = v
	s.mu.Unlock()
	return d.answerer.Answer(d, v)
}

func (s *ackServer) Ack(tag uint64, multiple bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, fmt.Sprintf("ack %d %v", tag, multiple))
	for t := range s.open {
		if t == tag || multiple && t < tag {
			if err := s.settle(t, Acked); err != nil {
				return err
			}
		}
	}
	return s.named(tag, Acked)
}

func (s *ackServer) Nack(tag uint64, multiple, requeue bool) error {
	if multiple || !requeue {
		return fmt.Errorf("nack %d: multiple %v, requeue %v", tag, multiple, requeue)
	}
	return s.single("requeue", tag, Requeued)
}

func (s *ackServer) Reject(tag uint64, requeue bool) error {
	if requeue {
		return fmt.Errorf("reject %d with requeue", tag)
	}
	return s.single("dead-letter", tag, DeadLettered)
}

func (s *ackServer) single(what string, tag uint64, v Verdict) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, fmt.Sprintf("%s %d", what, tag))
	if s.open[tag] {
		if err := s.settle(tag, v); err != nil {
			return err
		}
	}
	return s.named(tag, v)
}

// settle takes the answer v for an open tag.
func (s *ackServer) settle(tag uint64, v Verdict) error {
	if s.answered[tag] != v {
		return fmt.Errorf("tag %d is answered with %d, its handler said %d", tag, v, s.answered[tag])
	}
	delete(s.open, tag)
	s.answered[tag] += 100 // settled: not twice
	return s.fail
}

// named checks that the tag which a frame names was open, or RabbitMQ closes the channel.
func (s *ackServer) named(tag uint64, v Verdict) error {
	if s.fail != nil {
		return s.fail
	}
	if s.answered[tag] != v+100 {
		return fmt.Errorf("PRECONDITION_FAILED - unknown delivery tag %d", tag)
	}
	s.answered[tag] += 100
	return nil
}

// frames are those it has got.
func (s *ackServer) frames() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.sent)
}

func (s *ackServer) isOpen(tag uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[tag]
}

// randomVerdict is an ack, most of the time.
func randomVerdict(rnd *rand.Rand) Verdict {
	if rnd.IntN(4) > 0 {
		return Acked
	}
	return Verdict(1 + rnd.IntN(3))
}

func TestAcksKeepRabbitMQsRules(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		server := newAckServer()
		a := newAcks(server, 1)
		var held []*Delivery
		tag := uint64(0)
		pass := func(all bool) {
			left, err := a.pass(all)
			if err != nil {
				t.Fatalf("seed %d: %v\nframes: %v", seed, err, server.sent)
			}
			if all && left {
				t.Fatalf("seed %d: a pass over everything leaves answers\nframes: %v", seed, server.sent)
			}
		}
		for range 200 {
			switch action := rnd.IntN(10); {
			case action < 4:
				tag++
				held = append(held, server.hand(a, tag))
			case action < 8 && len(held) > 0:
				i := rnd.IntN(len(held))
				if err := server.answer(held[i], randomVerdict(rnd)); err != nil {
					t.Fatal(err)
				}
				held = append(held[:i], held[i+1:]...)
			default:
				pass(rnd.IntN(3) == 0)
			}
		}
		for _, d := range held {
			if err := server.answer(d, randomVerdict(rnd)); err != nil {
				t.Fatal(err)
			}
		}
		pass(true)
		if len(server.open) > 0 || a.head != nil || a.tail != nil || a.behind != 0 {
			t.Fatalf("seed %d: %d deliveries are not settled\nframes: %v", seed, len(server.open), server.sent)
		}
		<-a.whenIdle()
	}
}

func TestAcksFrames(t *testing.T) {
	t.Parallel()
	const a, q, d, n = Acked, Requeued, DeadLettered, Unanswered
	tests := []struct {
		name     string
		verdicts []Verdict
		all      bool
		want     string
	}{
		{"nothing", nil, true, "[]"},
		{"nothing answered", []Verdict{n, n}, true, "[]"},
		{"one", []Verdict{a}, false, "[ack 1 false]"},
		{"joined", []Verdict{a, a, a}, false, "[ack 3 true]"},
		{"up to the unanswered one", []Verdict{a, a, n, a, a}, false, "[ack 2 true]"},
		{"behind the unanswered one, too", []Verdict{a, a, n, a, a}, true, "[ack 2 true ack 4 false ack 5 false]"},
		{"first one unanswered", []Verdict{n, a}, false, "[]"},
		{"requeued before the joined ack", []Verdict{a, q, a}, false, "[requeue 2 ack 3 true]"},
		{"dead-lettered last", []Verdict{a, a, d}, false, "[dead-letter 3 ack 2 true]"},
		{"only one ack beside the others", []Verdict{q, a, d}, false, "[requeue 1 dead-letter 3 ack 2 false]"},
		{"requeued behind an unanswered one", []Verdict{n, q, a}, true, "[requeue 2 ack 3 false]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := newAckServer()
			acks := newAcks(server, 1)
			for i, v := range test.verdicts {
				if d := server.hand(acks, uint64(i+1)); v != Unanswered {
					if err := server.answer(d, v); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err := acks.pass(test.all); err != nil {
				t.Fatal(err)
			}
			if got := server.frames(); got != test.want {
				t.Errorf("sent %s, want %s", got, test.want)
			}
		})
	}
}

func TestAcksTakeOneAnswerOnly(t *testing.T) {
	t.Parallel()
	server := newAckServer()
	a := newAcks(server, 1)
	d := server.hand(a, 1)
	if err := server.answer(d, Acked); err != nil {
		t.Fatal(err)
	}
	for _, again := range []func() error{d.Ack, d.Requeue, d.DeadLetter} {
		if err := again(); !errors.Is(err, ErrAnswered) {
			t.Errorf("second answer: got %v, want ErrAnswered", err)
		}
	}
	if _, err := a.pass(true); err != nil {
		t.Fatal(err)
	}
	if err := d.Ack(); !errors.Is(err, ErrAnswered) {
		t.Errorf("after it was sent: got %v, want ErrAnswered", err)
	}
	late := server.hand(a, 2)
	a.close()
	if err := late.Ack(); !errors.Is(err, ErrDeliveryLost) {
		t.Errorf("after the end of the channel: got %v, want ErrDeliveryLost", err)
	}
	if err := d.Ack(); !errors.Is(err, ErrAnswered) {
		t.Errorf("answered before the end of the channel: got %v, want ErrAnswered", err)
	}
}

// withAcks runs f, in a bubble, while answers are sent to a server.
func withAcks(t *testing.T, prefetch int, f func(t *testing.T, server *ackServer, a *acks)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := newAckServer()
		a := newAcks(server, prefetch)
		over := make(chan struct{})
		defer close(over)
		go a.run(over)
		f(t, server, a)
	})
}

func TestAcksThatTheServerMayWaitForGoOutAtOnce(t *testing.T) {
	t.Parallel()
	withAcks(t, 1, func(t *testing.T, server *ackServer, a *acks) {
		stuck := server.hand(a, 1)
		began := time.Now()
		for tag := uint64(2); tag < 5; tag++ {
			time.Sleep(time.Second)
			if err := server.answer(server.hand(a, tag), Acked); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if server.isOpen(tag) || !server.isOpen(stuck.tag) {
				t.Errorf("tag %d was not acked at once, behind an unanswered one", tag)
			}
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("that took %v, want nobody to have waited", took)
		}
	})
}

func TestAcksWaitForThoseBeforeThemAtMostJoinWait(t *testing.T) {
	t.Parallel()
	withAcks(t, 1, func(t *testing.T, server *ackServer, a *acks) {
		time.Sleep(time.Second)
		first, second, stuck, fourth := server.hand(a, 1), server.hand(a, 2), server.hand(a, 3), server.hand(a, 4)
		if err := server.answer(first, Acked); err != nil { // goes out: nothing came before it
			t.Fatal(err)
		}
		synctest.Wait()
		if err := errors.Join(server.answer(fourth, Acked), server.answer(second, Acked)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !server.isOpen(4) {
			t.Error("tag 4 did not wait for those before it while answers kept coming")
		}
		time.Sleep(joinWait)
		synctest.Wait()
		if server.isOpen(4) || !server.isOpen(stuck.tag) {
			t.Errorf("after %v tag 4 is open, or tag %d is not", joinWait, stuck.tag)
		}
	})
}

func TestAcksWaitFromTheFirstOn(t *testing.T) {
	t.Parallel()
	withAcks(t, 1, func(t *testing.T, server *ackServer, a *acks) {
		var held []*Delivery
		for tag := uint64(1); tag <= 6; tag++ {
			held = append(held, server.hand(a, tag))
		}
		time.Sleep(time.Second)
		for _, d := range held[1:] { // the first one stays unanswered
			if err := server.answer(d, Acked); err != nil {
				t.Fatal(err)
			}
			time.Sleep(joinWait * 3 / 4)
			synctest.Wait()
		}
		// One that comes alone goes out at once, 3 and 4 when 3 has waited, 5 and 6 when 5 has.
		if got, want := server.frames(), "[ack 2 false ack 3 false ack 4 false ack 5 false ack 6 false]"; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	})
}

func TestAcksThatNobodyWaitsForWaitForOthers(t *testing.T) {
	t.Parallel()
	withAcks(t, 6, func(t *testing.T, server *ackServer, a *acks) {
		time.Sleep(time.Second)
		answer := func(tag uint64) {
			t.Helper()
			if err := server.answer(server.hand(a, tag), Acked); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		began := time.Now()
		answer(1)
		time.Sleep(joinWait - time.Nanosecond)
		answer(2) // which does not put off the first
		if got := server.frames(); got != "[]" {
			t.Errorf("sent %s before %v were over", got, joinWait)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got, want := server.frames(), "[ack 2 true]"; got != want || time.Since(began) != joinWait {
			t.Errorf("after %v: sent %s, want %s", time.Since(began), got, want)
		}
		answer(3)
		time.Sleep(joinWait)
		synctest.Wait()
		answer(4)
		answer(5)
		answer(6)
		answer(7) // now more than half of the prefetch is in use
		if got, want := server.frames(), "[ack 2 true ack 3 false ack 7 true]"; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	})
}

func TestAcksEndWithTheirChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newAckServer()
		a := newAcks(server, 1)
		server.fail = errors.New("channel is closed")
		done := make(chan struct{})
		go func() { a.run(nil); close(done) }()
		if err := server.answer(server.hand(a, 1), Acked); err != nil {
			t.Fatal(err)
		}
		<-done
	})
}

func TestAcksWhenIdle(t *testing.T) {
	t.Parallel()
	withAcks(t, 1, func(t *testing.T, server *ackServer, a *acks) {
		d := server.hand(a, 1)
		idle := a.whenIdle()
		time.Sleep(time.Hour)
		select {
		case <-idle:
			t.Error("idle while a delivery is unanswered")
		default:
		}
		if err := server.answer(d, Requeued); err != nil {
			t.Fatal(err)
		}
		<-idle
		if server.isOpen(d.tag) {
			t.Error("idle before the answer was sent")
		}
	})
}

func TestAcksUnderLoad(t *testing.T) {
	t.Parallel()
	for _, prefetch := range []int{1, 50, 1000} { // always, now and then, and never urgent
		t.Run(fmt.Sprint("prefetch ", prefetch), func(t *testing.T) {
			t.Parallel()
			acksUnderLoad(t, prefetch)
		})
	}
}

func acksUnderLoad(t *testing.T, prefetch int) {
	server := newAckServer()
	a := newAcks(server, prefetch)
	over, ended := make(chan struct{}), make(chan struct{})
	go func() { a.run(over); close(ended) }()
	work := make(chan *Delivery, 50)
	var handlers sync.WaitGroup
	for i := range 8 {
		handlers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 0))
			for d := range work {
				if err := server.answer(d, randomVerdict(rnd)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for tag := range uint64(20_000) {
		work <- server.hand(a, tag+1)
	}
	close(work)
	handlers.Wait()
	<-a.whenIdle()
	close(over)
	<-ended
	if _, err := a.pass(true); err != nil {
		t.Fatal(err)
	}
	if len(server.open) > 0 {
		t.Errorf("%d deliveries are not settled", len(server.open))
	}
}
