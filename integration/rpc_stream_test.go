package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/rpc"
)

// window is how many items of a stream may be on their way.
const window = 32

// A counter serves the stream math.count and watches it.
type counter struct {
	sent  atomic.Int64 // items of all calls
	calls atomic.Int64
	ended chan error // why the handler's context has ended, or nil, for each call
}

// serveCount runs a server of s that sends 0, 1, … n-1.
func serveCount(t *testing.T, url string, s rpc.Stream[int, int]) *counter {
	t.Helper()
	c := &counter{ended: make(chan error, 100)}
	server := newRPC(dial(t, url), rpc.ServerConfig{})
	rpc.HandleStream(server, s, func(ctx context.Context, n int, send func(int) error) (err error) {
		c.calls.Add(1)
		defer func() { c.ended <- context.Cause(ctx) }()
		for i := range n {
			if err := send(i); err != nil {
				return err
			}
			c.sent.Add(1)
		}
		return nil
	})
	serve(t, server)
	return c
}

func TestStreamKeepsItsOrder(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		const items = 100_000
		url := rabbit.URL(t)
		server := serveCount(t, url, count)
		dialRaw(t, url).awaitConsumer("math.count")
		c := newClient(t, dial(t, url), cfg)
		began := time.Now()
		next := 0
		ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
		defer cancel()
		for item, err := range count.Call(ctx, c, items) {
			if err != nil || item != next {
				t.Fatalf("got item %d, %v, want %d", item, err, next)
			}
			next++
		}
		t.Logf("%d items in %v", next, time.Since(began).Round(time.Millisecond))
		if next != items {
			t.Errorf("got %d items, want %d", next, items)
		}
		if err := receive(t, "the end of the handler", server.ended); err != nil {
			t.Errorf("the handler's context ended: %v", err)
		}
		if w := c.Stats().Waiting; w != 0 {
			t.Errorf("%d calls still wait", w)
		}
	})
}

func TestStreamWaitsForASlowCaller(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		const looks, each = 5, 40
		url := rabbit.URL(t)
		server := serveCount(t, url, count)
		dialRaw(t, url).awaitConsumer("math.count")
		c := newClient(t, dial(t, url), cfg)
		taken := int64(0)
		for item, err := range count.Call(t.Context(), c, 1_000_000) {
			if err != nil || int64(item) != taken {
				t.Fatalf("got item %d, %v, want %d", item, err, taken)
			}
			if taken%each == 0 {
				// The server goes on to where it must wait, and not an item further.
				eventually(t, "a server that is ahead", func() bool { return server.sent.Load() > taken+window/2 })
				server.awaitStill(t)
				if sent := server.sent.Load(); sent > taken+window {
					t.Errorf("%d items were sent when %d were taken, want %d ahead at most", sent, taken, window)
				}
			}
			if taken++; taken == looks*each {
				break
			}
		}
		if err := receive(t, "the end of the handler", server.ended); !errors.Is(err, rpc.ErrCallerGone) {
			t.Errorf("the handler's context: got cause %v, want ErrCallerGone", err)
		}
	})
}

// However the caller goes away, the handler hears of it, while it sends and while it waits
// for the caller. That a caller has died is seen when something can't be sent to it, which is
// tried each second; whoever answers by direct reply-to waits until the deadline.
func TestStreamStopsWithItsCaller(t *testing.T) {
	const timeout = 5 * time.Second
	stream := rpc.DefineStream[int, int]("math.count", rpc.Timeout(timeout))
	ends := []struct {
		name string
		end  func(cancel func(), c *rpc.Client, p *proxy)
	}{
		{"leaves", nil},
		{"cancels", func(cancel func(), _ *rpc.Client, _ *proxy) { cancel() }},
		{"closes", func(_ func(), c *rpc.Client, _ *proxy) { _ = c.Close() }}, // returns nil
		{"dies", func(_ func(), _ *rpc.Client, p *proxy) { p.setDown(true) }},
	}
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		for _, end := range ends {
			for _, slow := range []bool{false, true} {
				t.Run(fmt.Sprint(end.name, " slow=", slow), func(t *testing.T) {
					t.Parallel()
					url := rabbit.URL(t)
					p := newProxy(t, url)
					server := serveCount(t, url, stream)
					dialRaw(t, url).awaitConsumer("math.count")
					c := newClient(t, dialThrough(t, p), cfg)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					called := time.Now()
					left, taken := time.Time{}, 0
					for _, err := range stream.Call(ctx, c, 1_000_000_000) {
						if err != nil {
							break
						}
						if taken++; taken != 100 {
							continue
						}
						if slow {
							server.awaitStill(t)
						}
						left = time.Now()
						if end.end == nil {
							break
						}
						end.end(cancel, c, p)
					}
					cause := receive(t, "the end of the handler", server.ended)
					after := time.Since(left)
					t.Logf("the handler ended after %v: %v", after.Round(time.Millisecond), cause)
					if end.name == "dies" && cfg.DirectReplyTo {
						if took := time.Since(called); took > timeout+time.Second {
							t.Errorf("the handler ended after %v, with a timeout of %v", took, timeout)
						}
						return
					}
					if after > 3*time.Second || !errors.Is(cause, rpc.ErrCallerGone) {
						t.Errorf("got %v after %v, want ErrCallerGone within three seconds", cause, after)
					}
				})
			}
		}
	})
}

// awaitStill waits until nothing is sent any more.
func (c *counter) awaitStill(t *testing.T) {
	t.Helper()
	before := int64(-1)
	eventually(t, "a server that waits", func() bool {
		sent := c.sent.Load()
		still := before == sent
		before = sent
		time.Sleep(50 * time.Millisecond) // to see that nothing happens
		return still
	})
}

// A stream that has begun is not begun again.
func TestStreamIsCut(t *testing.T) {
	t.Parallel()
	for _, s := range []rpc.Stream[int, int]{count, rpc.DefineStream[int, int]("math.recount", rpc.Idempotent())} {
		for _, side := range []string{"client", "server"} {
			t.Run(s.Name()+" "+side, func(t *testing.T) {
				bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
					url := rabbit.URL(t)
					p := newProxy(t, url)
					near, far := url, p.url
					if side == "client" {
						near, far = far, near
					}
					serveCount(t, far, s)
					dialRaw(t, url).awaitConsumer(s.Name())
					c := newClient(t, dial(t, near), cfg)
					taken, last := 0, error(nil)
					for item, err := range s.Call(t.Context(), c, 1_000_000_000) {
						if last != nil {
							t.Fatalf("got item %d, %v after %v", item, err, last)
						}
						if last = err; err != nil {
							continue
						}
						if item != taken {
							t.Fatalf("got item %d, want %d", item, taken)
						}
						if taken++; taken == 1000 {
							p.cut()
						}
					}
					if !errors.Is(last, rpc.ErrInterrupted) {
						t.Errorf("got %v, want ErrInterrupted", last)
					}
					if taken < 1000 {
						t.Errorf("got %d items before the cut, want 1000", taken)
					}
					if w := c.Stats().Waiting; w != 0 {
						t.Errorf("%d calls still wait", w)
					}
				})
			})
		}
	}
}

// An error is told behind the items.
func TestStreamFails(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		url := rabbit.URL(t)
		s := newRPC(dial(t, url), rpc.ServerConfig{})
		rpc.HandleStream(s, count, func(_ context.Context, n int, send func(int) error) error {
			for i := range n {
				if err := send(i); err != nil {
					return err
				}
			}
			return rpc.Errorf(rpc.NotFound, "no more than %d", n)
		})
		serve(t, s)
		dialRaw(t, url).awaitConsumer("math.count")
		c := newClient(t, dial(t, url), cfg)
		for _, items := range []int{0, 1, window - 1, window, window + 1, 1000} {
			taken, last := 0, error(nil)
			for item, err := range count.Call(t.Context(), c, items) {
				if last = err; err == nil && item != taken {
					t.Fatalf("got item %d, want %d", item, taken)
				}
				if err == nil {
					taken++
				}
			}
			e, ok := errors.AsType[*rpc.Error](last)
			if !ok || e.Code != rpc.NotFound || e.Message != fmt.Sprintf("no more than %d", items) || taken != items {
				t.Errorf("got %d items and %v, want %d and not_found", taken, last, items)
			}
		}
	})
}
