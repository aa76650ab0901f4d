package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A queue without a server goes away by itself.
func TestRequestQueueExpires(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	var runs tally
	serveIncrement(t, dial(t, url), rpc.ServerConfig{}, increment, &runs)
	r := dialRaw(t, url)
	r.awaitConsumer("increment")
	same := amqp.Table{"x-queue-type": "classic", "x-expires": int32((10 * time.Minute).Milliseconds())}
	for _, test := range []struct {
		args amqp.Table
		want int
	}{
		{same, 0},
		{amqp.Table{"x-queue-type": "classic"}, amqp.PreconditionFailed},
		{amqp.Table{"x-queue-type": "classic", "x-expires": int32(1)}, amqp.PreconditionFailed},
	} {
		err := r.on(func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("increment", true, false, false, false, test.args)
			return err
		})
		if got := replyCode(err); got != test.want {
			t.Errorf("declared again with %v: got %v, want code %d", test.args, err, test.want)
		}
	}
}

// replyCode is what the server says in err, or 0.
func replyCode(err error) int {
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return e.Code
	}
	return 0
}

func TestErrorsCrossTheWire(t *testing.T) {
	const secret = "the password is 1234"
	codes := []rpc.Code{rpc.InvalidRequest, rpc.NotFound, rpc.AlreadyExists, rpc.Conflict, rpc.PermissionDenied, rpc.Unavailable,
		rpc.DeadlineExceeded, rpc.Canceled, rpc.Unimplemented, rpc.Interrupted, rpc.Internal}
	is := map[rpc.Code]error{
		rpc.DeadlineExceeded: context.DeadlineExceeded,
		rpc.Canceled:         context.Canceled,
		rpc.Interrupted:      rpc.ErrInterrupted,
	}
	fail := rpc.Define[string, string]("fail", rpc.Queue("failures"))
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		url := rabbit.URL(t)
		s := newRPC(dialWith(t, url, broker.Config{MaxBody: 1 << 20}), rpc.ServerConfig{})
		rpc.Handle(s, fail, func(_ context.Context, how string) (string, error) {
			switch how {
			case "panic":
				panic(secret)
			case "nil map":
				var m map[string]int
				//lint:ignore SA5000 it panics, on purpose
				m[secret]++
			case "plain":
				return "", errors.New(secret)
			case "unknown code":
				return "", &rpc.Error{Code: "weird", Message: secret}
			case "long":
				return "", rpc.Errorf(rpc.Conflict, "%s", strings.Repeat("ü", 2000))
			case "large":
				return strings.Repeat("x", 2<<20), nil
			}
			return "", fmt.Errorf("%s: %w", secret, rpc.Errorf(rpc.Code(how), "for %s", how))
		})
		serve(t, s)
		dialRaw(t, url).awaitConsumer("failures")
		c := newClient(t, dial(t, url), cfg)
		// failed makes a call and wants an error of this code that tells nothing.
		failed := func(how string, code rpc.Code, call func() error) *rpc.Error {
			t.Helper()
			began := time.Now()
			err := call()
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: it took %v", how, took)
			}
			e, ok := errors.AsType[*rpc.Error](err)
			if !ok || e.Code != code {
				t.Errorf("%s: got %v, want %s", how, err, code)
				return &rpc.Error{}
			}
			for _, word := range []string{secret, "goroutine", ".go:", "nil map", "unmarshal", "integration_test"} {
				if strings.Contains(err.Error(), word) {
					t.Errorf("%s: the caller is told %q", how, err)
				}
			}
			return e
		}
		with := func(how string) func() error {
			return func() error {
				_, err := fail.Call(t.Context(), c, how)
				return err
			}
		}
		for _, code := range codes {
			e := failed(string(code), code, with(string(code)))
			if want := "for " + string(code); e.Message != want {
				t.Errorf("got message %q, want %q", e.Message, want)
			}
			if want := is[code]; want != nil && !errors.Is(e, want) {
				t.Errorf("%v is not %v", e, want)
			}
		}
		for _, how := range []string{"panic", "nil map", "plain", "unknown code", "large"} {
			failed(how, rpc.Internal, with(how))
		}
		if e := failed("long", rpc.Conflict, with("long")); len(e.Message) != 1024 || strings.Trim(e.Message, "ü") != "" {
			t.Errorf("got a message of %d bytes, want 1024", len(e.Message))
		}
		failed("a number for a text", rpc.InvalidRequest, func() error {
			_, err := rpc.Define[int, string]("fail", rpc.Queue("failures")).Call(t.Context(), c, 1)
			return err
		})
		failed("another method", rpc.Unimplemented, func() error {
			_, err := rpc.Define[string, string]("succeed", rpc.Queue("failures")).Call(t.Context(), c, "")
			return err
		})
		failed("a stream", rpc.Internal, func() error {
			for _, err := range rpc.DefineStream[string, string]("fail", rpc.Queue("failures")).Call(t.Context(), c, "large") {
				return err
			}
			return nil
		})
		if got := s.Stats(); got.Panicked != 2 {
			t.Errorf("got %d panics, want 2", got.Panicked)
		}
	})
}

// What a request says of where replies go is somebody's word. No job is made of it.
func TestForgedReplyTo(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	s := newRPC(dial(t, url), rpc.ServerConfig{})
	long := make(chan struct{}, 10)
	rpc.Handle(s, increment, func(ctx context.Context, n numbered) (int, error) {
		if n.N == 0 {
			long <- struct{}{}
			time.Sleep(200 * time.Millisecond) // until the caller would be told that it runs
		}
		return n.N + 1, nil
	})
	serve(t, s)
	conn := dial(t, url)
	if err := conn.Declare(t.Context(), topology.Work("", "victim")); err != nil {
		t.Fatal(err)
	}
	r := dialRaw(t, url)
	r.awaitConsumer("increment")
	forged := []string{"victim", "", topology.DeadQueue("victim"), "increment", "amq.gen", "amq.rabbitmq.reply-tox", "errand.reply"}
	for _, to := range forged {
		for _, m := range []amqp.Publishing{
			{},
			{AppId: "errand", Expiration: "3600000", Timestamp: time.Now()},
			{AppId: "errand", Expiration: "3600000", Headers: amqp.Table{"errand-control": "victim", "errand-credit": int64(9)}},
		} {
			m.ReplyTo = to
			for id, says := range []struct{ method, body string }{{"increment", `{"N":0}`}, {"no such method", `{"N":1}`}, {"increment", "what?"}} {
				m.CorrelationId, m.Type, m.Body = strconv.Itoa(id), says.method, []byte(says.body)
				r.send("increment", m)
			}
		}
	}
	c := newClient(t, conn, rpc.ClientConfig{})
	for i := range 100 {
		if got, err := increment.Call(t.Context(), c, numbered{i + 1}); err != nil || got != i+2 {
			t.Fatalf("got %d, %v for another caller, want %d", got, err, i+2)
		}
	}
	want := uint64(3 * 3 * len(forged))
	eventually(t, "all forgeries", func() bool { return s.Stats().Refused == want })
	if got := len(long); got != 0 {
		t.Errorf("%d forgeries were run, want none", got)
	}
	r.empty("victim", topology.DeadQueue("victim"), "increment")
}

// Neither does a client send a word where a forged reply tells it to.
func TestForgedControlQueue(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		url := rabbit.URL(t)
		r := dialRaw(t, url)
		requests := r.consume("increment")
		r.declare("victim")
		c := newClient(t, dial(t, url), cfg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := increment.Call(ctx, c, numbered{1})
			done <- err
		}()
		d := receive(t, "the request", requests)
		started := amqp.Table{"errand-reply": "started", "errand-control": "victim"}
		stray := amqp.Table{"errand-reply": "item", "errand-seq": int64(1), "errand-control": "victim"}
		r.send(d.ReplyTo,
			amqp.Publishing{CorrelationId: d.CorrelationId, Headers: started},
			amqp.Publishing{CorrelationId: "unknown", Headers: started},
			amqp.Publishing{CorrelationId: "unknown", Headers: stray},
			amqp.Publishing{CorrelationId: "unknown", Body: []byte("2")},
			amqp.Publishing{})
		eventually(t, "the strays", func() bool { return c.Stats().Late == 3 })
		cancel()
		if err := receive(t, "the end of the call", done); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it cancelled", err)
		}
		// What the client sends now comes behind the word, if there was one.
		go func() { _, _ = increment.Call(t.Context(), c, numbered{2}) }() // ends with the client
		receive(t, "the next request", requests)
		r.empty("victim")
	})
}

// A reply that makes no sense ends its call, and no other.
func TestRepliesOfABadServer(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		url := rabbit.URL(t)
		r := dialRaw(t, url)
		requests := r.consume("increment")
		c := newClient(t, dial(t, url), cfg)
		for _, p := range []amqp.Publishing{
			{Body: []byte("what?")},
			{},
			{Body: bytes.Repeat([]byte("["), 1<<20)},
			{Headers: amqp.Table{"errand-reply": "end", "errand-seq": "x"}, Body: []byte("2")},
			{Headers: amqp.Table{"errand-reply": "item", "errand-seq": int64(-1)}, Body: []byte("2")},
			{Headers: amqp.Table{"errand-reply": "brand new"}, Body: []byte("2")},
			{Headers: amqp.Table{"errand-code": "brand_new"}, Body: []byte("2")},
			{Headers: amqp.Table{"errand-code": "not_found"}, Body: []byte("what?")},
			{Headers: amqp.Table(exotic()), ContentType: "text/plain", Body: []byte(`"2"`)},
		} {
			done := make(chan error, 1)
			go func() {
				_, err := increment.Call(t.Context(), c, numbered{1})
				done <- err
			}()
			d := receive(t, "the request", requests)
			p.CorrelationId = d.CorrelationId
			r.send(d.ReplyTo, p, p)
			if err := receive(t, "the end of the call", done); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%.60v: got %v, want an error that tells", p, err)
			}
		}
		if w := c.Stats().Waiting; w != 0 {
			t.Errorf("%d calls still wait", w)
		}
	})
}

// Foreign callers give a place for the answer and an ID, and get the bare value.
func TestForeignCallerGetsTheBareValue(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	s := newRPC(dial(t, url), rpc.ServerConfig{})
	rpc.Handle(s, increment, func(_ context.Context, n numbered) (int, error) {
		time.Sleep(100 * time.Millisecond) // so long that a caller of ours would be told
		if n.N < 0 {
			return 0, rpc.Errorf(rpc.InvalidRequest, "it is negative")
		}
		return n.N + 1, nil
	})
	serve(t, s)
	r := dialRaw(t, url)
	r.awaitConsumer("increment")
	replies := r.consume("errand.reply.tutorial")
	r.send("increment", amqp.Publishing{ReplyTo: "errand.reply.tutorial", CorrelationId: "7", Body: []byte(`{"N":1}`)})
	d := receive(t, "the reply", replies)
	if string(d.Body) != "2" || d.CorrelationId != "7" || len(d.Headers) != 0 {
		t.Errorf("got %s for %q with headers %v, want a bare 2 for 7", d.Body, d.CorrelationId, d.Headers)
	}
	r.send("increment", amqp.Publishing{ReplyTo: "errand.reply.tutorial", CorrelationId: "8", Body: []byte(`{"N":-1}`)})
	d = receive(t, "the failure", replies)
	var body struct{ Code, Message string }
	if err := json.Unmarshal(d.Body, &body); err != nil || body.Code != "invalid_request" || body.Message != "it is negative" || d.Headers["errand-code"] != "invalid_request" {
		t.Errorf("got %s with headers %v, %v", d.Body, d.Headers, err)
	}
	silent(t, "another reply", replies, 300*time.Millisecond)
}
