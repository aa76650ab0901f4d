package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// everything has each kind of declaration.
var everything = topology.Topology{
	Exchanges: []topology.Exchange{{Name: "a", Kind: "topic"}, {Name: "b", Kind: "fanout", Args: map[string]any{"alternate-exchange": "a"}}},
	Queues:    []topology.Queue{{Name: "q", Args: map[string]any{"x-queue-type": "quorum", "x-delivery-limit": 7}}},
	Bindings:  []topology.Binding{{Source: "a", Key: "k", Destination: "q"}, {Source: "a", Key: "#", Destination: "b", ToExchange: true}},
	Unbind:    []topology.Binding{{Source: "a", Key: "old", Destination: "q"}, {Source: "a", Key: "old", Destination: "b", ToExchange: true}},
}

var declared = []string{
	"exchange.declare a topic", "exchange.declare b fanout", "queue.declare q",
	"queue.bind a k q", "exchange.bind a # b", "queue.unbind a old q", "exchange.unbind a old b",
}

// declarations are the methods that declare something, in short.
func declarations(s *server) (texts []string) {
	for _, r := range s.seen("exchange.declare", "exchange.bind", "exchange.unbind", "queue.declare", "queue.bind", "queue.unbind") {
		texts = append(texts, r.String())
	}
	return texts
}

func wantDeclared(t *testing.T, s *server, want ...string) {
	t.Helper()
	if got := declarations(s); !slices.Equal(got, want) {
		t.Errorf("the server got %q, want %q", got, want)
	}
}

func TestDeclareMakesEverything(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		if err := c.Declare(t.Context(), everything); err != nil {
			t.Error(err)
		}
		wantDeclared(t, s, declared...)
		q := s.last(t, "queue.declare")
		if !q.is("durable") || q.is("exclusive") || q.is("auto-delete") || q.args["x-queue-type"] != "quorum" || q.args["x-delivery-limit"] != int64(7) {
			t.Errorf("got queue flags %b, arguments %v", q.flags, q.args)
		}
		if x := s.last(t, "exchange.declare"); !x.is("durable") || x.args["alternate-exchange"] != "a" {
			t.Errorf("got exchange flags %b, arguments %v", x.flags, x.args)
		}
		synctest.Wait()
		if opened, closed := len(s.seen("channel.open")), len(s.seen("channel.close")); opened != 1 || closed != 1 {
			t.Errorf("%d channels were opened, %d closed, want 1 and 1", opened, closed)
		}
	})
}

func TestDeclareTellsWhatIsRefused(t *testing.T) {
	t.Parallel()
	objects := map[string]string{
		"exchange.declare": "exchange a topic", "queue.declare": "queue q", "queue.bind": `bind a "k" -> queue q`, "exchange.bind": `bind a "#" -> exchange b`,
		"queue.unbind": `unbind a "old" -> queue q`, "exchange.unbind": `unbind a "old" -> exchange b`,
	}
	for method, object := range objects {
		for code, hint := range map[uint16]string{amqp.PreconditionFailed: "topology.Existing()", amqp.AccessRefused: "broker.Config.NoDeclare", amqp.NotFound: "scripted"} {
			withServer(t, func(t *testing.T, s *server, c *Conn) {
				s.on(method, func(r *request) { r.refuse(code) })
				err := c.Declare(t.Context(), everything)
				d, ok := errors.AsType[*DeclareError](err)
				if !ok || !strings.HasPrefix(d.Object, object) || !strings.Contains(err.Error(), hint) {
					t.Errorf("%s: got %v, want a DeclareError of %s with %q", method, err, object, hint)
				}
				want := 1
				if (method == "queue.bind" || method == "queue.declare") && code == amqp.NotFound {
					want = maxCasualties // the queue may have been deleted meanwhile, or is being declared
				}
				if n := len(s.seen(method)); n != want || c.Status().Publish.Generation != 1 {
					t.Errorf("%s: it was tried %d times, want %d on the same connection", method, n, want)
				}
			})
		}
	}
}

func TestDeclareOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	troubles := map[string]func(*request){
		"cut":            func(r *request) { r.peer.cut() },
		"forced":         func(r *request) { r.abort(amqp.ConnectionForced) },
		"can't decide":   func(r *request) { r.abort(amqp.InternalError) },
		"does not reply": func(*request) {},
	}
	for name, trouble := range troubles {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			s.first(2*maxCasualties, "queue.declare", trouble)
			if err := c.Declare(t.Context(), everything); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if n := len(s.seen("queue.declare")); n != 2*maxCasualties+1 {
				t.Errorf("%s: %d tries, want %d", name, n, 2*maxCasualties+1)
			}
		})
	}
}

// An exchange of a kind that the server does not know costs everybody the connection.
func TestDeclareGivesUpOnWhatKeepsClosingTheConnection(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("exchange.declare", func(r *request) { r.abort(amqp.CommandInvalid) })
		err := c.Declare(t.Context(), everything)
		if d, ok := errors.AsType[*DeclareError](err); !ok || d.Object != "exchange a topic" || code(err) != amqp.CommandInvalid {
			t.Errorf("got %v, want the exchange and the server's code", err)
		}
		if n := len(s.seen("exchange.declare")); n != maxCasualties {
			t.Errorf("%d tries, want %d", n, maxCasualties)
		}
	})
}

func TestDeclareEndsWithItsContext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		script func(s *server)
		want   error
	}{
		{"no answer", func(s *server) { s.on("queue.declare", func(*request) {}) }, errCut},
		{"the last step had none", func(s *server) { s.on("exchange.unbind", func(*request) {}) }, errCut},
		{"cut again and again", func(s *server) { s.on("queue.declare", func(r *request) { r.peer.cut() }) }, nil},
		{"blocked", func(s *server) { s.peer().block("low on memory") }, ErrBlocked},
	}
	for _, test := range tests {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			test.script(s)
			synctest.Wait()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errCut)
			defer cancel()
			began := time.Now()
			err := c.Declare(ctx, everything)
			if took := time.Since(began); err == nil || !errors.Is(err, test.want) && test.want != nil || took > 21*time.Second {
				t.Errorf("%s: got %v after %v, want %v", test.name, err, took, test.want)
			}
		})
	}
}

// A context that has ended keeps the rest from being made.
func TestDeclareStopsBetweenSteps(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		ctx, cancel := context.WithCancelCause(t.Context())
		s.on("queue.declare", func(r *request) { cancel(errCut); r.answer() })
		if err := c.Declare(ctx, everything); !errors.Is(err, errCut) {
			t.Errorf("got %v, want the cause", err)
		}
		synctest.Wait()
		if got := declarations(s); !slices.Equal(got, declared[:3]) {
			t.Errorf("the server got %q, want nothing after the queue", got)
		}
	})
}

func TestDeclareFindsArgumentsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	bad := map[string]any{"x": struct{}{}}
	for name, top := range map[string]topology.Topology{
		"exchange e": {Exchanges: []topology.Exchange{{Name: "e", Args: bad}}},
		"queue q":    {Queues: []topology.Queue{{Name: "ok"}, {Name: "q", Args: bad}}},
		"bind b":     {Bindings: []topology.Binding{{Source: "b", Args: bad}}},
		"bind u":     {Unbind: []topology.Binding{{Source: "u", Args: bad}}},
	} {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			calls := map[string]error{
				"Declare": c.Declare(t.Context(), top),
				"Consume": c.Consume(t.Context(), Subscription{Queue: "q", Topology: top}, nil),
			}
			for call, err := range calls {
				if d, ok := errors.AsType[*DeclareError](err); !ok || !strings.HasPrefix(d.Object, name) || !errors.Is(err, ErrInvalid) {
					t.Errorf("%s: got %v, want a DeclareError of %s that is ErrInvalid", call, err, name)
				}
			}
			wantDeclared(t, s)
		})
	}
}

func TestDeclarationsAreMadeAgainOnNewConnections(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		for range 2 { // twice the same is kept once
			if err := c.Declare(t.Context(), everything); err != nil {
				t.Error(err)
			}
		}
		s.forget()
		s.on("connection.open", func(r *request) {
			if st := c.Status().Publish; st.State != Connecting {
				t.Errorf("got %+v before all is declared", st)
			}
			r.answer()
		})
		s.peer().cut()
		time.Sleep(time.Second)
		wantDeclared(t, s, declared...)
	})
}

// What somebody else has made differently meanwhile does not keep the rest from being made.
func TestRefusedDeclarationsLeaveTheOthersAlone(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		if err := c.Declare(t.Context(), everything); err != nil {
			t.Error(err)
		}
		s.on("queue.declare", func(r *request) { r.refuse(amqp.PreconditionFailed) })
		s.forget()
		s.peer().cut()
		time.Sleep(time.Second)
		wantDeclared(t, s, append(slices.Clone(declared[:3]), declared...)...)
		if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
			t.Error(err)
		}
	})
}

// What is published next goes to the node where it was declared. Under an alarm the server
// answers on the connection that does not publish.
func TestDeclareIsWhereOnePublishesUnlessThatIsBlocked(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		publishing := s.peer()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Consume(ctx, Subscription{Queue: "q"}, nil) }()
		synctest.Wait()
		declaredOn := func(want *peer) {
			t.Helper()
			if err := c.Declare(t.Context(), everything); err != nil {
				t.Error(err)
			}
			if on := s.last(t, "queue.declare").peer; on != want {
				t.Errorf("it was declared on the other connection")
			}
		}
		declaredOn(publishing)
		publishing.block("low on memory")
		synctest.Wait()
		declaredOn(s.consumer(t, "q").peer)
		publishing.unblock()
		synctest.Wait()
		declaredOn(publishing)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
