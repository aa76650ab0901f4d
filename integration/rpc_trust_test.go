package integration_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
)

// RabbitMQ 3.10 closes the whole connection of whoever sends a reply to what only looks like
// an address of direct reply-to. One request must not do that to a server, again and again.
func TestForgedDirectAddress(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	var runs tally
	s, _ := serveIncrement(t, conn, rpc.ServerConfig{}, increment, &runs)
	r := dialRaw(t, url)
	r.awaitConsumer("increment")
	forged := []string{"x", "x.y", ".!!!!.====", "g1h2AA==.AA==", "g2gCYQFhAg==.x", "g1h3AA1yYWJiaXRAbm93aGVyZQAAAAAAAAAAAAAAAA==.abc"}
	for _, address := range forged {
		r.send("increment", amqp.Publishing{Type: "increment", ReplyTo: "amq.rabbitmq.reply-to." + address, CorrelationId: "1", Body: []byte(`{"N":1}`)})
	}
	for _, direct := range []bool{false, true} {
		c := newClient(t, dial(t, url), rpc.ClientConfig{DirectReplyTo: direct})
		if got, err := increment.Call(t.Context(), c, numbered{1}); err != nil || got != 2 {
			t.Errorf("a real caller, direct=%v, got %v, %v, want 2", direct, got, err)
		}
	}
	if g := conn.Status().Publish.Generation; g != 1 {
		t.Errorf("the server is on connection %d, want the first one", g)
	}
	if got := s.Stats(); got.Refused == 0 || got.Interrupted > 0 {
		t.Errorf("got %+v, want forged addresses refused, and nothing interrupted", got)
	}
}

// A server on the queue of jobs must not make them vanish.
func TestServerOnAQueueOfJobs(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("pdf.render", job.Queue("pdf"))
	enqueue(t, conn, kind.New(numbered{1}), kind.New(numbered{2}))
	m := rpc.Define[numbered, int]("pdf.thumbnail", rpc.Queue("pdf", topology.Existing()))
	s := newRPC(conn, rpc.ServerConfig{})
	rpc.Handle(s, m, func(_ context.Context, n numbered) (int, error) { return n.N, nil })
	serve(t, s)
	r := dialRaw(t, url)
	eventually(t, "both jobs among the dead letters", func() bool { return r.ready(topology.DeadQueue("pdf")) == 2 })
}

// A call that RabbitMQ itself refuses fails, though its method may be called again; it does
// not take the line from everybody until its deadline.
func TestCallThatRabbitMQRefuses(t *testing.T) {
	url := private.URL(t) // it takes messages of 64 KiB
	big := rpc.Define[string, string]("big", rpc.Idempotent())
	s := newRPC(dial(t, url), rpc.ServerConfig{})
	rpc.Handle(s, big, func(_ context.Context, x string) (string, error) { return x, nil })
	serve(t, s)
	dialRaw(t, url).awaitConsumer("big")
	c := newClient(t, dial(t, url), rpc.ClientConfig{})
	began := time.Now()
	_, err := big.Call(t.Context(), c, strings.Repeat("x", 100<<10))
	if !errors.Is(err, rpc.ErrInterrupted) || !errors.Is(err, broker.ErrRefused) {
		t.Errorf("got %v, want ErrInterrupted and ErrRefused", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v, want a few tries", took)
	}
	if got, err := big.Call(t.Context(), c, "x"); err != nil || got != "x" {
		t.Errorf("a small one after it: got %q, %v", got, err)
	}
}

// Closing a client during an alarm ends its calls, and leaves the connection to others.
func TestClientIsClosedDuringAnAlarm(t *testing.T) {
	url, elsewhere := private.URL(t), private.URL(t)
	var runs tally
	serveIncrement(t, dial(t, url), rpc.ServerConfig{}, increment, &runs)
	dialRaw(t, url).awaitConsumer("increment")
	conn := dial(t, url)
	c := newClient(t, conn, rpc.ClientConfig{})
	if _, err := increment.Call(t.Context(), c, numbered{1}); err != nil {
		t.Fatal(err)
	}
	newHog(t, elsewhere, 2*serverAlarmMemory)
	eventually(t, "the alarm", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _ = increment.Call(ctx, c, numbered{}) // the server says it to whoever publishes
		return conn.Status().Publish.Blocked != ""
	})
	done := make(chan error, 1)
	go func() {
		_, err := increment.Call(t.Context(), c, numbered{2})
		done <- err
	}()
	_ = c.Close() // returns nil
	began := time.Now()
	if err := receive(t, "the end of the call", done); !errors.Is(err, rpc.ErrClosed) || time.Since(began) > 5*time.Second {
		t.Errorf("got %v after %v, want ErrClosed at once", err, time.Since(began))
	}
	if s := conn.Status().Publish; s.Generation != 1 || s.Blocked == "" {
		t.Errorf("got %+v, want the same connection, still blocked", s)
	}
	if err := private.Server(t).CloseConnections(t.Context(), "enough", elsewhere); err != nil {
		t.Error(err)
	}
	eventually(t, "the end of the alarm", func() bool { return conn.Status().Publish.Blocked == "" })
	if g := conn.Status().Publish.Generation; g != 1 {
		t.Errorf("after the alarm it is on connection %d, want the first one", g)
	}
}
