package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

func TestLinkReconnects(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.setDown(true)
		s.peer().close(amqp.ConnectionForced)
		time.Sleep(time.Minute)
		if st := c.Status().Publish; st.State != Connecting || st.Endpoint != "" || st.Version != "" || !strings.Contains(st.Err.Error(), "is RabbitMQ running there?") {
			t.Errorf("got %+v, want it connecting, and why it can't", st)
		}
		s.setDown(false)
		began := time.Now()
		if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("it took %v to notice that the server is back", took)
		}
		if st := c.Status().Publish; st.State != Connected || st.Generation != 2 || st.Err != nil {
			t.Errorf("got %+v, want the second connection", st)
		}
	})
}

// A server that has gone without a word is found out by its heartbeats.
func TestLinkNoticesASilentServer(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]func(*peer){"silent": (*peer).silence, "stalled": (*peer).stall} {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			time.Sleep(time.Minute)
			if st := c.Status().Publish; st.Generation != 1 {
				t.Errorf("%s: %d connections were made while nothing was wrong", name, st.Generation)
			}
			silence(s.peer())
			time.Sleep(30 * time.Second)
			if st := c.Status().Publish; st.State != Connected || st.Generation != 2 {
				t.Errorf("%s: got %+v, want the second connection, with heartbeats of 10s", name, st)
			}
		})
	}
}

// One that is alive and does not answer is found out by the call.
func TestLinkDropsAServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.first(1, "channel.open", func(*request) {})
		began := time.Now()
		if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < callTimeout || took > callTimeout+time.Second {
			t.Errorf("it took %v, want %v", took, callTimeout)
		}
		if st := c.Status().Publish; st.Generation != 2 {
			t.Errorf("got %+v, want the second connection", st)
		}
	})
}

func TestCloseSaysGoodbye(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		if r := s.last(t, "connection.close"); r.code != 200 || len(s.seen("connection.close")) != 1 {
			t.Errorf("got code %d, %d times, want 200 once", r.code, len(s.seen("connection.close")))
		}
		if st := c.Status(); st.Publish.State != Closed || st.Consume.State != Closed || st.Ready() {
			t.Errorf("got %+v, want both closed", st)
		}
		if err := c.Consume(t.Context(), Subscription{Queue: "pdf"}, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Consume: got %v, want ErrClosed", err)
		}
	})
}

func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	outages := map[string]func(s *server, p *peer){
		"silent": func(_ *server, p *peer) { p.silence() },
		"down":   func(s *server, p *peer) { s.setDown(true); p.cut() },
	}
	for name, outage := range outages {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
				t.Error(err)
			}
			outage(s, s.peer())
			synctest.Wait()
			began := time.Now()
			done := publishing(t.Context(), c, Message{ID: "2"})
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > closeTimeout {
				t.Errorf("%s: it took %v", name, took)
			}
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("%s: the publish got %v, want ErrClosed", name, err)
			}
		})
	}
}

// The server does not even read what is written. In real time, because the library holds
// locks meanwhile, which stop the clock of a bubble.
func TestCloseIsBoundedWhenNothingIsRead(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := s.connect(t, Config{})
	if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
		t.Error(err)
	}
	s.peer().stall()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- c.Publish(t.Context(), Message{ID: "2"}) }()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > closeTimeout+5*time.Second {
		t.Errorf("it took %v, want %v", took, closeTimeout)
	}
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("the publish got %v, want ErrClosed", err)
	}
}

// Nor does a server that goes on sending, but does not say goodbye, keep Close waiting.
func TestCloseIsBoundedWhileFramesComeIn(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("connection.close", func(r *request) {
			time.Sleep(closeTimeout / 2)
			r.peer.block("low on memory")
		})
		began := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took != closeTimeout {
			t.Errorf("it took %v, want %v", took, closeTimeout)
		}
	})
}

// Close does not wait for a declaration that gets no answer.
func TestCloseWhileDeclaringAgain(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		if err := c.Declare(t.Context(), topology.Work("", "pdf")); err != nil {
			t.Fatal(err)
		}
		s.on("queue.declare", func(*request) {})
		s.peer().cut()
		time.Sleep(time.Second)
		began := time.Now()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > closeTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// What a call comes to after its context has ended is not left lying about.
func TestConsumeThatIsGivenUpLeavesNoConsumerBehind(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.consume", func(*request) {})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Consume(ctx, Subscription{Queue: "pdf"}, nil) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(s.seen("channel.close")); n != 0 {
			t.Errorf("%d channels were closed before the answer", n)
		}
		s.last(t, "basic.consume").answer()
		synctest.Wait()
		if n := len(s.seen("channel.close")); n != 1 {
			t.Errorf("%d channels were closed after the answer, want 1", n)
		}
	})
}
