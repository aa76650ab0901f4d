package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// codes are all of them.
var codes = []rpc.Code{
	rpc.InvalidRequest, rpc.NotFound, rpc.AlreadyExists, rpc.Conflict, rpc.PermissionDenied, rpc.Unavailable,
	rpc.DeadlineExceeded, rpc.Canceled, rpc.Unimplemented, rpc.Interrupted, rpc.Internal,
}

func TestCodesCrossTheWire(t *testing.T) {
	t.Parallel()
	for _, code := range codes {
		t.Run(string(code), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, _ := serve(t, f, render, func(context.Context, args) (result, error) {
					return result{"no"}, fmt.Errorf("secret: %w", rpc.Errorf(code, "%d < %s & \u2028", 1, "€"))
				})
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				got, err := render.Call(t.Context(), c, args{})
				if e := wantCode(t, err, code); e.Message != "1 < € & \u2028" || got.Text != "" {
					t.Errorf("got %+v and message %q, want no value and the handler's own message", got, e.Message)
				}
				for target, want := range map[error]rpc.Code{
					rpc.ErrInterrupted: rpc.Interrupted, context.DeadlineExceeded: rpc.DeadlineExceeded, context.Canceled: rpc.Canceled,
				} {
					if errors.Is(err, target) != (code == want) {
						t.Errorf("errors.Is(%v, %v) is %v", err, target, errors.Is(err, target))
					}
				}
				wantStats(t, s, rpc.ServerStats{Failed: 1})
				wantIdle(t, c, 0)
			})
		})
	}
}

// A bomb is an error whose methods panic.
type bomb struct{ err, is, unwrap bool }

func (b bomb) Error() string {
	if b.err {
		panic("bomb: hunter2")
	}
	return "hunter2"
}

func (b bomb) Is(error) bool {
	if b.is {
		panic("bomb: hunter2")
	}
	return false
}

func (b bomb) Unwrap() error {
	if b.unwrap {
		panic("bomb: hunter2")
	}
	return nil
}

type secretError struct{ Password string }

func (e *secretError) Error() string { return "connect with " + e.Password }

// TestNothingInternalLeaks: of what is not an *rpc.Error the caller learns nothing, and the
// server goes on.
func TestNothingInternalLeaks(t *testing.T) {
	t.Parallel()
	var nilError *rpc.Error
	tests := []struct {
		name     string
		fail     func() error
		code     rpc.Code
		panicked uint64
	}{
		{"an error", func() error { return &secretError{"hunter2"} }, rpc.Internal, 0},
		{"a wrapped error", func() error { return fmt.Errorf("hunter2: %w", os.ErrNotExist) }, rpc.Internal, 0},
		{"an unknown code", func() error { return rpc.Errorf("hunter2", "hunter2") }, rpc.Internal, 0},
		{"no code", func() error { return rpc.Errorf("", "hunter2") }, rpc.Internal, 0},
		{"a nil *rpc.Error", func() error { return nilError }, rpc.Internal, 1},
		{"a code behind a secret", func() error { return fmt.Errorf("hunter2: %w", rpc.Errorf(rpc.NotFound, "page")) }, rpc.NotFound, 0},
		{"a code beside a secret", func() error { return errors.Join(&secretError{"hunter2"}, rpc.Errorf(rpc.Conflict, "page")) }, rpc.Conflict, 0},
		{"a timeout of its own", func() error { return fmt.Errorf("hunter2: %w", context.DeadlineExceeded) }, rpc.DeadlineExceeded, 0},
		{"a cancel of its own", func() error { return fmt.Errorf("hunter2: %w", context.Canceled) }, rpc.Canceled, 0},
		{"a sentinel of rpc", func() error { return fmt.Errorf("hunter2: %w", rpc.ErrNoServer) }, rpc.Internal, 0},
		{"a panic", func() error { panic("hunter2") }, rpc.Internal, 1},
		{"a panic with an error", func() error { panic(&secretError{"hunter2"}) }, rpc.Internal, 1},
		{"a panic with a code", func() error { panic(rpc.Errorf(rpc.NotFound, "hunter2")) }, rpc.Internal, 1},
		{"a panic with a bomb", func() error { panic(bomb{true, true, true}) }, rpc.Internal, 1},
		{"a runtime error", func() error { return fmt.Errorf("hunter2 %v", *(*int)(nil)) }, rpc.Internal, 1},
		{"panic(nil)", func() error { panic(nil) }, rpc.Internal, 1},
		{"Goexit", func() error { runtime.Goexit(); return nil }, rpc.Internal, 0},
		{"Goexit in a deferred panic", func() error { defer runtime.Goexit(); panic("hunter2") }, rpc.Internal, 0},
		{"Error panics", func() error { return bomb{err: true} }, rpc.Internal, 0},
		{"Is panics", func() error { return bomb{is: true} }, rpc.Internal, 1},
		{"Unwrap panics", func() error { return bomb{unwrap: true} }, rpc.Internal, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				log, lines := logged()
				s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: log})
				fail := true
				rpc.Handle(s, render, func(context.Context, args) (result, error) {
					if fail {
						return result{"hunter2"}, test.fail()
					}
					return result{"a"}, nil
				})
				start(t, s)
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				began := time.Now()
				_, err := render.Call(t.Context(), c, args{})
				wantCode(t, err, test.code)
				took(t, began, 0)
				for _, e := range f.sent() {
					if e.message.Type == "pdf.render" {
						continue
					}
					if found := leaks(e.message, "hunter2", "goroutine", ".go", "github.com", "secretError", "not exist", "nil pointer", "bomb"); len(found) > 0 {
						t.Errorf("%q in the reply %+v with body %s", found, e.message, e.message.Body)
					}
				}
				wantStats(t, s, rpc.ServerStats{Failed: 1, Panicked: test.panicked})
				if logs := lines.Len() > 0; logs != (test.code == rpc.Internal) {
					t.Errorf("the log is %q, want a line if and only if the caller is not told", lines)
				}
				fail = false
				wantCall(t, c, render, "a")
			})
		})
	}
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		log, lines := logged()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: log})
		rpc.Handle(s, render, func(context.Context, args) (result, error) { panic("at the disco") })
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		_, err := render.Call(t.Context(), c, args{})
		wantCode(t, err, rpc.Internal)
		synctest.Wait()
		for _, want := range []string{"at the disco", "errors_test.go", "method=pdf.render", "queue=pdf.render", "request="} {
			if !strings.Contains(lines.String(), want) {
				t.Errorf("the log is %q, want %q in it", lines, want)
			}
		}
	})
}

func TestPanicInAStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s, _ := stream(t, f, func(_ context.Context, a args, send func(int) error) error {
			if err := send(1); err != nil {
				return err
			}
			if a.N > 0 {
				runtime.Goexit()
			}
			panic("hunter2")
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		for n := range 2 {
			got, err := collect(t.Context(), c, pages, n)
			wantCode(t, err, rpc.Internal)
			if len(got) != 1 {
				t.Errorf("got %v, want one item", got)
			}
		}
		wantStats(t, s, rpc.ServerStats{Failed: 2, Panicked: 1})
	})
}

func TestUndecodableRequest(t *testing.T) {
	t.Parallel()
	tests := map[string]broker.Message{
		"no JSON":        {Body: []byte(`{"n":`)},
		"empty":          {},
		"wrong type":     {Body: []byte(`{"n":"hunter2"}`)},
		"too large":      {Body: []byte(`{"n":1e99}`)},
		"a content type": {Body: []byte(`{}`), ContentType: "text/html"},
		"no media type":  {Body: []byte(`{}`), ContentType: ";;"},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
				rpc.Handle(s, render, text("a"))
				rpc.HandleStream(s, pages, count)
				start(t, s)
				p := f.peer(t, "")
				for _, key := range []string{"pdf.render", "pdf.pages"} {
					m.Key, m.ReplyTo, m.CorrelationID = key, p.Queue(), "1"
					m.AppID, m.Expiration, m.Headers = "errand", time.Minute, map[string]any{"errand-credit": int64(1)}
					p.send(t, m)
					in := p.receive(t)
					if got := in.Headers["errand-code"]; got != "invalid_request" {
						t.Errorf("got code %v, want invalid_request", got)
					}
					if found := leaks(in.Message, "hunter2", "args", "Unmarshal", "rpc_test", "codec", "text/html"); len(found) > 0 {
						t.Errorf("%q in the reply %s", found, in.Body)
					}
				}
				wantStats(t, s, rpc.ServerStats{Failed: 2})
			})
		})
	}
}

func TestResponseThatDoesNotEncode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		odd := rpc.Define[args, any]("odd")
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, odd, func(context.Context, args) (any, error) { return make(chan int), nil })
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		_, err := odd.Call(t.Context(), c, args{})
		wantCode(t, err, rpc.Internal)
		if err != nil && strings.Contains(err.Error(), "chan") {
			t.Errorf("got %q, want nothing of the server's types", err)
		}
	})
}

func TestLongMessagesAreCut(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"ASCII": strings.Repeat("x", 5000), "runes": "x" + strings.Repeat("€", 5000), "no UTF-8": strings.Repeat("\x80", 5000),
		"escaped": strings.Repeat("\x00", 5000), "very long": strings.Repeat("x", 50_000), "just right": strings.Repeat("x", 1024), "broken": "a\xffb",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				serve(t, f, render, func(context.Context, args) (result, error) { return result{}, rpc.Errorf(rpc.NotFound, "%s", message) })
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				_, err := render.Call(t.Context(), c, args{})
				e := wantCode(t, err, rpc.NotFound)
				sent := f.sent()
				if got := len(sent[len(sent)-1].message.Body); got > 6*1024+100 { // \u0000 is the longest form of a byte
					t.Errorf("the reply has %d bytes, want the message cut before it is sent", got)
				}
				if len(e.Message) > 1024 || !utf8.ValidString(e.Message) || !strings.HasPrefix(strings.ToValidUTF8(message, "\ufffd"), e.Message) && name != "no UTF-8" {
					t.Errorf("got a message of %d bytes, want the beginning of the handler's, at most 1024", len(e.Message))
				}
			})
		})
	}
}

// TestErrorsFromElsewhere: what servers of other versions and languages send.
func TestErrorsFromElsewhere(t *testing.T) {
	t.Parallel()
	long, err := json.Marshal(map[string]string{"message": strings.Repeat("€", 5000)})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, code, body string
		want             rpc.Code
		message          string
	}{
		{"as ours", "not_found", `{"code":"not_found","message":"no page"}`, rpc.NotFound, "no page"},
		{"the header counts", "conflict", `{"code":"not_found","message":"no page"}`, rpc.Conflict, "no page"},
		{"a code that is not known here", "teapot", `{"code":"teapot","message":"short and stout"}`, rpc.Internal, "short and stout"},
		{"an empty code", "", `{}`, rpc.Internal, ""},
		{"no body", "unavailable", ``, rpc.Unavailable, ""},
		{"no JSON", "unavailable", `<html>`, rpc.Unavailable, ""},
		{"a value", "unavailable", `[1]`, rpc.Unavailable, ""},
		{"long", "unavailable", string(long), rpc.Unavailable, strings.Repeat("€", 341)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				server := f.peer(t, "pdf.render")
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				go func() {
					in := server.receive(t)
					server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: in.CorrelationID, Body: []byte(test.body), Headers: map[string]any{"errand-code": test.code, "errand-reply": "item"}})
				}()
				_, err := render.Call(t.Context(), c, args{})
				if e := wantCode(t, err, test.want); e.Message != test.message {
					t.Errorf("got message %.50q, want %.50q", e.Message, test.message)
				}
				wantIdle(t, c, 0)
			})
		})
	}
}

func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{&rpc.Error{Code: rpc.NotFound}, "rpc: not_found"},
		{rpc.Errorf(rpc.NotFound, "page %d", 9), "rpc: not_found: page 9"},
		{&rpc.PanicError{Value: "x", Stack: []byte("stack")}, "rpc: handler panicked: x"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
