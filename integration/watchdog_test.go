package integration_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

// A consumer whose delivery was lost on the way, by whatever fault of a server or client,
// holds nothing, and gets nothing more because its prefetch counts as used. It is replaced.
func TestStarvedConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	const jobs = 5
	server := rabbit.URL(t)
	kind := job.Define[numbered]("starved", job.Queue("starved"))
	direct := dial(t, server)
	for n := range jobs {
		enqueue(t, direct, kind.New(numbered{n}))
	}
	conn := dial(t, loseFirstDelivery(t, server))
	began := time.Now()
	var worked tally
	w := newWorker(conn, 1)
	worker.Handle(w, kind, worked.work)
	start(t, w)
	deadline := time.Now().Add(2 * patience)
	for worked.worked() < jobs && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
	}
	took := time.Since(began)
	if worked.worked() != jobs || took > time.Minute {
		t.Errorf("%d of %d jobs were worked after %v, want all within a minute", worked.worked(), jobs, took)
	}
	if n := conn.Status().Starved; n != 1 {
		t.Errorf("got %d consumers replaced, want 1", n)
	}
	if n := direct.Status().Starved; n != 0 {
		t.Errorf("got %d consumers replaced on a connection without any", n)
	}
	t.Logf("all were worked after %v", took.Round(time.Second))
}

// A consumer that is merely idle, or busy, is left alone.
func TestIdleConsumerIsNotReplaced(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	busy := job.Define[numbered]("busy", job.Queue("busy"))
	idle := job.Define[numbered]("idle", job.Queue("idle"))
	enqueue(t, conn, busy.New(numbered{1}), busy.New(numbered{2}))
	began := make(chan int, 2)
	w := newWorker(conn, 1)
	release := make(chan struct{})
	worker.Handle(w, busy, func(_ context.Context, n numbered) error {
		began <- n.N
		<-release
		return nil
	})
	worker.Handle(w, idle, func(context.Context, numbered) error { return nil })
	stop := start(t, w)
	receive(t, "the first job", began)
	silent(t, "a second job beside it", began, 50*time.Second) // long enough for two looks
	if n := conn.Status().Starved; n != 0 {
		t.Errorf("got %d consumers replaced, want none", n)
	}
	close(release)
	receive(t, "the second job", began)
	stop()
}

// loseFirstDelivery is the URL of a relay to server that drops the first message which any
// consumer is sent.
func loseFirstDelivery(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	f := &deliveryFilter{}
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			s, err := net.Dial("tcp", target)
			if err != nil {
				t.Error(err)
				return
			}
			both := func() { _, _ = client.Close(), s.Close() }
			wg.Go(func() { defer both(); _, _ = io.Copy(s, client) }) // ends with either side
			wg.Go(func() { defer both(); f.copy(client, s) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait() // the connections were closed by their owners
	})
	u.Host = l.Addr().String()
	return u.String()
}

// A deliveryFilter drops one delivery: its method, header and body frames.
type deliveryFilter struct {
	mu      sync.Mutex
	dropped bool
}

// copy passes AMQP frames on until one side ends.
func (f *deliveryFilter) copy(to io.Writer, from io.Reader) {
	left := int64(-1) // of the body that is being dropped; negative: none is
	channel := uint16(0)
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(from, rest); err != nil {
			return
		}
		on := binary.BigEndian.Uint16(head[1:])
		switch {
		case left < 0 && head[0] == 1 && binary.BigEndian.Uint32(rest) == 60<<16|60 && f.first():
			channel, left = on, 1 // the header frame is next
			continue
		case left >= 0 && on == channel && head[0] == 2:
			if left = int64(binary.BigEndian.Uint64(rest[4:])); left == 0 {
				left = -1
			}
			continue
		case left >= 0 && on == channel && head[0] == 3:
			if left -= int64(len(rest) - 1); left <= 0 {
				left = -1
			}
			continue
		}
		if _, err := to.Write(append(head, rest...)); err != nil {
			return
		}
	}
}

func (f *deliveryFilter) first() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := !f.dropped
	f.dropped = true
	return first
}
