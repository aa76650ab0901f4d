package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// A trace is what middleware did, in order.
type trace struct {
	mu    sync.Mutex
	steps []string
}

func (t *trace) add(step string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, step)
}

// named is middleware that leaves its name before and after.
func (t *trace) named(name string) rpc.Middleware {
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
			t.add(name)
			resp, err := next(ctx, r)
			t.add("/" + name)
			return resp, err
		}
	}
}

func TestMiddlewareOnBothSides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, steps := newFake(), &trace{}
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{steps.named("s1"), steps.named("s2")}})
		rpc.Handle(s, render, func(context.Context, args) (result, error) { steps.add("handler"); return result{}, nil })
		rpc.HandleStream(s, pages, func(context.Context, args, func(int) error) error { steps.add("handler"); return nil })
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{steps.named("c1"), steps.named("c2")}})
		want := "c1 c2 s1 s2 handler /s2 /s1 /c2 /c1"
		wantCall(t, c, render, "")
		if got := strings.Join(steps.steps, " "); got != want {
			t.Errorf("a call went by %s, want %s", got, want)
		}
		steps.steps = nil
		if _, err := collect(t.Context(), c, pages, 0); err != nil {
			t.Error(err)
		}
		if got := strings.Join(steps.steps, " "); got != want {
			t.Errorf("a stream went by %s, want %s", got, want)
		}
	})
}

func TestMiddlewareSeesTheRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		look := func(side string, add map[string]any) rpc.Middleware {
			return func(next rpc.Handler) rpc.Handler {
				return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
					if r.ID == "" || r.Method != "pdf.render" || r.Queue != "pdf.render" || string(r.Body) != `{"n":1}` || r.ContentType != "application/json" {
						t.Errorf("%s: the request is %+v with body %s", side, r, r.Body)
					}
					if side == "server" && r.Headers["traceparent"] != "00-1" {
						t.Errorf("the server's headers are %v, want the caller's own in them", r.Headers)
					}
					if add != nil {
						r.Headers = add
					}
					resp, err := next(ctx, r)
					if err != nil || string(resp.Body) != `{"text":"a"}` {
						t.Errorf("%s: the response is %+v with body %s, %v", side, resp, resp.Body, err)
					}
					if side == "server" {
						resp.Headers = map[string]any{"cost": int64(3)}
					} else if resp.Headers["cost"] != int64(3) {
						t.Errorf("the response's headers are %v, want the server's in them", resp.Headers)
					}
					return resp, err
				}
			}
		}
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{look("server", nil)}})
		rpc.Handle(s, render, func(ctx context.Context, _ args) (result, error) {
			r, ok := rpc.RequestFrom(ctx)
			if !ok || r.ID == "" || r.Headers["traceparent"] != "00-1" {
				t.Errorf("RequestFrom is %+v, %v, want the request", r, ok)
			}
			return result{"a"}, nil
		})
		start(t, s)
		own := map[string]any{"traceparent": "00-1"}
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{look("client", own)}})
		wantCall(t, c, render, "a")
		if len(own) != 1 {
			t.Errorf("the middleware's own map is %v now, want it untouched", own)
		}
	})
	if _, ok := rpc.RequestFrom(context.Background()); ok {
		t.Error("RequestFrom found a request outside of a handler")
	}
}

func TestMiddlewareMayAnswerItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		deny := func(rpc.Handler) rpc.Handler {
			return func(context.Context, rpc.Request) (rpc.Response, error) {
				return rpc.Response{}, rpc.Errorf(rpc.PermissionDenied, "no token")
			}
		}
		cache := func(rpc.Handler) rpc.Handler {
			return func(context.Context, rpc.Request) (rpc.Response, error) {
				return rpc.Response{Body: []byte(`{"text":"cached"}`)}, nil
			}
		}
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{deny}})
		rpc.Handle(s, render, func(context.Context, args) (result, error) { t.Error("the handler ran"); return result{}, nil })
		start(t, s)
		_, err := render.Call(t.Context(), newClient(t, f.conn(), rpc.ClientConfig{}), args{})
		wantCode(t, err, rpc.PermissionDenied)
		cached := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{cache}})
		before := len(f.sent())
		wantCall(t, cached, render, "cached")
		if got := len(f.sent()); got != before {
			t.Errorf("%d messages were sent for a cached answer, want none", got-before)
		}
	})
}

func TestMiddlewareSeesPanicsOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		boom := func(rpc.Handler) rpc.Handler {
			return func(context.Context, rpc.Request) (rpc.Response, error) { panic("hunter2") }
		}
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{boom}})
		rpc.Handle(s, render, text("a"))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		_, err := render.Call(t.Context(), c, args{})
		wantCode(t, err, rpc.Internal)
		wantStats(t, s, rpc.ServerStats{Failed: 1, Panicked: 1})
	})
}

// TestMiddlewareSeesWhyARequestDoesNotDecode: what the caller is not told.
func TestMiddlewareSeesWhyARequestDoesNotDecode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		seen := make(chan error, 1)
		look := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				resp, err := next(ctx, r)
				seen <- err
				return resp, err
			}
		}
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{look}})
		rpc.Handle(s, render, text("a"))
		start(t, s)
		p := f.peer(t, "")
		p.send(t, request("", p.Queue(), "1", `{"n":"x"}`))
		if err := <-seen; err == nil || !strings.Contains(err.Error(), "json") {
			t.Errorf("middleware saw %v, want the decoder's own words", err)
		}
		p.receive(t)
	})
}

// own is middleware that breaks the rule: it makes a Request of its own.
func own(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
		return next(ctx, rpc.Request{ID: r.ID, Method: r.Method, Queue: r.Queue, ContentType: r.ContentType, Body: r.Body})
	}
}

func TestMiddlewareThatMakesItsOwnRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{own}})
		_, err := render.Call(t.Context(), c, args{})
		wantErr(t, err, rpc.ErrInvalid)
		_, err = collect(t.Context(), c, pages, 0)
		wantErr(t, err, rpc.ErrInvalid)
		if got := f.sent(); len(got) > 0 {
			t.Errorf("sent %+v, want nothing", got)
		}
		// On a server it gets a stream nowhere, and does no other harm.
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{own}})
		rpc.Handle(s, render, text("a"))
		rpc.HandleStream(s, pages, count)
		start(t, s)
		c = newClient(t, f.conn(), rpc.ClientConfig{})
		wantCall(t, c, render, "a")
		_, err = collect(t.Context(), c, pages, 1)
		wantCode(t, err, rpc.Internal)
	})
}

// TestMiddlewareThatTakesTheDeadlineAway: a call ends all the same.
func TestMiddlewareThatTakesTheDeadlineAway(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.declare("pdf.render")
		patient := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				return next(context.WithoutCancel(ctx), r)
			}
		}
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{patient}})
		began := time.Now()
		_, err := render.Call(t.Context(), c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		took(t, began, rpc.DefaultTimeout)
	})
}

// TestMiddlewareThatCallsAgain: a retry under the same ID gets an answer.
func TestMiddlewareThatCallsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, runs := newFake(), 0
		serve(t, f, render, func(context.Context, args) (result, error) {
			if runs++; runs < 3 {
				return result{}, rpc.Errorf(rpc.Unavailable, "try again")
			}
			return result{"a"}, nil
		})
		retry := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (resp rpc.Response, err error) {
				for range 3 {
					resp, err = next(ctx, r)
					if e, ok := errors.AsType[*rpc.Error](err); !ok || e.Code != rpc.Unavailable {
						break
					}
				}
				return resp, err
			}
		}
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{retry}})
		wantCall(t, c, render, "a")
		wantIdle(t, c, 0)
	})
}

func TestMiddlewareMayRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, rpc.Define[args, result]("pdf.render", rpc.Queue("pdf.eu")), text("eu"))
		start(t, s)
		route := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				r.Queue = "pdf.eu"
				return next(ctx, r)
			}
		}
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{route}})
		wantCall(t, c, render, "eu")
	})
}

// TestResponseHeadersCannotForge: what middleware says in errand's own names, also by
// passing on what another server sent, does not change what a reply means.
func TestResponseHeadersCannotForge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		forge := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				resp, err := next(ctx, r)
				resp.Headers = map[string]any{"errand-code": "not_found", "errand-reply": "item", "errand-control": "amq.gen-x", "CC": "jobs", "fine": "yes"}
				return resp, err
			}
		}
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{forge}})
		rpc.Handle(s, render, text("a"))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		wantCall(t, c, render, "a")
		synctest.Wait()
		for _, e := range f.sent() {
			if strings.HasPrefix(e.message.Key, "amq.gen-") {
				var names []string
				for name := range e.message.Headers {
					names = append(names, name)
				}
				if !slices.Equal(names, []string{"fine"}) {
					t.Errorf("a reply has the headers %v, want only the one that is not reserved", names)
				}
			}
		}
		p := f.peer(t, "")
		p.send(t, broker.Message{Key: "pdf.render", ReplyTo: p.Queue(), Body: []byte(`{}`)})
		if got := fmt.Sprint(p.receive(t).Headers); got != "map[fine:yes]" {
			t.Errorf("a foreign caller got the headers %s, want only the one that is not reserved", got)
		}
	})
}

// A slow call is made once more, and the faster of the two counts: the other must neither
// answer for it nor be lost.
func TestMiddlewareMayHedge(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		var runs atomic.Int64
		serve(t, f, render, func(ctx context.Context, _ args) (result, error) {
			if runs.Add(1) == 1 {
				<-ctx.Done() // the first one never ends by itself
				return result{}, ctx.Err()
			}
			return result{"second"}, nil
		})
		hedge := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				ctx, cancel := context.WithCancel(ctx)
				var wg sync.WaitGroup
				defer wg.Wait()
				defer cancel()
				first := make(chan rpc.Response, 2)
				for n := range 2 {
					wg.Go(func() {
						time.Sleep(time.Duration(n) * time.Second)
						if resp, err := next(ctx, r); err == nil {
							first <- resp
						}
					})
				}
				return <-first, nil
			}
		}
		c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: []rpc.Middleware{hedge}})
		began := time.Now()
		wantCall(t, c, render, "second")
		took(t, began, time.Second)
		wantIdle(t, c, 0)
	})
}
