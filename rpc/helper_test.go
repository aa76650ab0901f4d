package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

type args struct {
	N int `json:"n"`
}

type result struct {
	Text string `json:"text"`
}

// The methods and the stream of the tests.
var (
	render = rpc.Define[args, result]("pdf.render")
	lookup = rpc.Define[args, result]("lookup", rpc.Idempotent())
	pages  = rpc.DefineStream[args, int]("pdf.pages")
	feed   = rpc.DefineStream[args, int]("feed", rpc.Idempotent())
)

// bubble runs a test in simulated time, in parallel with others.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// bothWays runs a test in a bubble with each way to take replies.
func bothWays(t *testing.T, f func(t *testing.T, cfg rpc.ClientConfig)) {
	t.Helper()
	t.Parallel()
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("direct=", direct), func(t *testing.T) {
			bubble(t, func(t *testing.T) { f(t, rpc.ClientConfig{DirectReplyTo: direct}) })
		})
	}
}

// start runs s until the test ends, or the function that it returns is called.
func start(t *testing.T, s *rpc.Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	synctest.Wait()
	stopped := false
	stop = func() error {
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if stopped {
			return
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return stop
}

// newClient makes a Client that is closed when the test ends.
func newClient(t *testing.T, b broker.Converser, cfg rpc.ClientConfig) *rpc.Client {
	t.Helper()
	c := rpc.NewClient(b, cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return c
}

// serve starts a server of one method on a connection of its own.
func serve(t *testing.T, f *fakeBroker, m rpc.Method[args, result], fn func(context.Context, args) (result, error)) (*rpc.Server, *fakeConn) {
	t.Helper()
	conn := f.conn()
	s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
	rpc.Handle(s, m, fn)
	start(t, s)
	return s, conn
}

// text is a handler that returns its text at once.
func text(s string) func(context.Context, args) (result, error) {
	return func(context.Context, args) (result, error) { return result{s}, nil }
}

// hang is a handler that runs until its context ends, and reports the cause.
func hang(causes chan<- error) func(context.Context, args) (result, error) {
	return func(ctx context.Context, _ args) (result, error) {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return result{}, ctx.Err()
	}
}

// took fails the test unless exactly d has passed since began.
func took(t *testing.T, began time.Time, d time.Duration) {
	t.Helper()
	if got := time.Since(began); got != d {
		t.Errorf("it took %v, want %v", got, d)
	}
}

// wantErr fails the test unless err is want.
func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// wantCode fails the test unless err is an *rpc.Error with this code, and returns it.
func wantCode(t *testing.T, err error, want rpc.Code) *rpc.Error {
	t.Helper()
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok || e.Code != want {
		t.Errorf("got error %v, want an *rpc.Error with code %s", err, want)
		return &rpc.Error{}
	}
	return e
}

// wantCall fails the test unless a call of m returns want.
func wantCall(t *testing.T, c *rpc.Client, m rpc.Method[args, result], want string) {
	t.Helper()
	if got, err := m.Call(t.Context(), c, args{1}); err != nil || got.Text != want {
		t.Errorf("call of %s: got %+v, %v, want %q", m.Name(), got, err, want)
	}
}

// wantIdle fails the test unless nothing waits in c, and late replies were counted.
func wantIdle(t *testing.T, c *rpc.Client, late uint64) {
	t.Helper()
	synctest.Wait()
	if got, want := c.Stats(), (rpc.ClientStats{Late: late}); got != want {
		t.Errorf("client's stats are %+v, want %+v", got, want)
	}
}

// wantStats fails the test unless the server's counters are these.
func wantStats(t *testing.T, s *rpc.Server, want rpc.ServerStats) {
	t.Helper()
	synctest.Wait()
	if got := s.Stats(); got != want {
		t.Errorf("server's stats are %+v, want %+v", got, want)
	}
}

// request is a request as another language sends it.
func request(method, replyTo, id, body string) broker.Message {
	return broker.Message{Key: "pdf.render", Type: method, ReplyTo: replyTo, CorrelationID: id, Body: []byte(body)}
}

// logged is a logger and what it has logged.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, nil)), &b
}

// leaks returns which of the words stand anywhere in a message.
func leaks(m broker.Message, words ...string) []string {
	all := strings.Join([]string{m.ID, m.Type, m.ContentType, m.CorrelationID, m.AppID, string(m.Body)}, "\n")
	for name, v := range m.Headers {
		if s, ok := v.(string); ok {
			all += "\n" + name + "=" + s
		}
	}
	var found []string
	for _, w := range words {
		if strings.Contains(all, w) {
			found = append(found, w)
		}
	}
	return found
}
