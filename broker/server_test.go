package broker

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A server speaks as much of AMQP as a Conn needs. By itself it agrees to everything,
// confirms what is published and keeps nothing; tests say by on what it does instead, and
// call its methods, and those of its peers, for what no request leads to.
//
// Over net.Pipe, by dial, it works in a bubble of testing/synctest.
type server struct {
	version string // as it says of itself

	mu        sync.Mutex
	scripts   map[string]func(*request)
	requests  []*request
	peers     []*peer
	consumers []*request // what was subscribed, latest last
	names     int        // of temporary queues
	down      bool
	wg        sync.WaitGroup
}

// withServer runs f in a bubble, where time is simulated, with a Conn to a server.
func withServer(t *testing.T, f func(t *testing.T, s *server, c *Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		c := s.connect(t, Config{})
		synctest.Wait() // until it has looked for what is to be declared again
		f(t, s, c)
	})
}

// connect dials the server, and closes the Conn when the test ends.
func (s *server) connect(t *testing.T, cfg Config) *Conn {
	t.Helper()
	cfg.dial = s.dial
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	c, err := Dial(t.Context(), "amqp://rabbit", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func newServer(t *testing.T) *server {
	s := &server{version: "4.1.0", scripts: map[string]func(*request){}}
	t.Cleanup(func() {
		s.stop()
		s.wg.Wait()
	})
	return s
}

// on makes f answer the requests of a method; nil is for the usual answer again.
func (s *server) on(method string, f func(*request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := methodIDs[method]; !known {
		panic("no method " + method)
	}
	s.scripts[method] = f
}

// first makes f answer the next n requests of a method.
func (s *server) first(n int, method string, f func(*request)) {
	left := atomic.Int64{}
	left.Store(int64(n))
	s.on(method, func(r *request) {
		if left.Add(-1) < 0 {
			r.answer()
			return
		}
		f(r)
	})
}

// handle notes a request and answers it.
func (s *server) handle(r *request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	f := s.scripts[r.method]
	s.mu.Unlock()
	if f == nil {
		f = (*request).answer
	}
	f(r)
}

// seen returns the requests of some methods, or of all, in the order that they came in.
func (s *server) seen(methods ...string) []*request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r *request) bool {
		return len(methods) > 0 && !slices.Contains(methods, r.method)
	})
}

// forget drops what was seen so far.
func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

// last returns the latest request of a method.
func (s *server) last(t *testing.T, method string) *request {
	t.Helper()
	all := s.seen(method)
	if len(all) == 0 {
		t.Fatalf("no %s came in, but %v", method, s.seen())
	}
	return all[len(all)-1]
}

// peer returns the latest connection.
func (s *server) peer() *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peers[len(s.peers)-1]
}

// setDown says whether the server refuses connections.
func (s *server) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// stop cuts all connections and takes no more.
func (s *server) stop() {
	s.setDown(true)
	s.mu.Lock()
	peers := slices.Clone(s.peers)
	s.mu.Unlock()
	for _, p := range peers {
		p.cut()
	}
}

// dial connects to the server, whatever the address.
func (s *server) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	if err := s.accept(ours); err != nil {
		return nil, err
	}
	return theirs, nil
}

func (s *server) accept(raw net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return fmt.Errorf("dial: %w", syscall.ECONNREFUSED)
	}
	p := newPeer(s, raw)
	s.peers = append(s.peers, p)
	s.wg.Go(p.read)
	s.wg.Go(p.write)
	return nil
}

func (s *server) subscribe(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.consumers = append(s.consumers, r)
}

func (s *server) generated() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names++
	return fmt.Sprintf("amq.gen-%d", s.names)
}

// consumer returns the latest one of a queue.
func (s *server) consumer(t *testing.T, queue string) *request {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range slices.Backward(s.consumers) {
		if r.queue == queue {
			return r
		}
	}
	t.Fatalf("nobody consumes %q", queue)
	return nil
}

// deliver sends messages with these IDs to the consumer of queue. Their tags go on from 1
// on each channel.
func (s *server) deliver(t *testing.T, queue string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		s.deliverContent(t, queue, newContent(id, nil, "body of "+id))
	}
}

func (s *server) deliverContent(t *testing.T, queue string, c content) {
	t.Helper()
	to := s.consumer(t, queue)
	m := method("basic.deliver").short(to.consumer).u64(to.peer.deliveryTag(to.channel)).flags(false).short("x").short("k")
	to.peer.send(c.appendTo(nil, to.channel, m))
}

// cancel ends the consumer of queue, as when the queue is deleted.
func (s *server) cancel(t *testing.T, queue string) {
	t.Helper()
	to := s.consumer(t, queue)
	to.reply(method("basic.cancel").short(to.consumer).flags(true))
}

// capabilities are those of RabbitMQ that the library looks at.
var capabilities = amqp.Table{"publisher_confirms": true, "basic.nack": true, "consumer_cancel_notify": true, "connection.blocked": true}
