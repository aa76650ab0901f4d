package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// everyWay runs test for methods that may be run twice and for those that may not, with each
// way to take replies.
func everyWay(t *testing.T, test func(t *testing.T, cfg rpc.ClientConfig, m rpc.Method[numbered, int], idempotent bool)) {
	t.Helper()
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		t.Run("once", func(t *testing.T) {
			t.Parallel()
			test(t, cfg, increment, false)
		})
		t.Run("idempotent", func(t *testing.T) {
			t.Parallel()
			test(t, cfg, rpc.Define[numbered, int]("increment", rpc.Idempotent()), true)
		})
	})
}

// check ends the load and looks at what has become of the calls.
func (l *load) check(runs *tally, idempotent bool) {
	l.t.Helper()
	l.stop()
	l.t.Logf("%d answered, %d interrupted, %d run twice", l.answered.Load(), l.interrupted.Load(), runs.duplicates())
	if n := l.interrupted.Load(); idempotent && n > 0 {
		l.t.Errorf("%d idempotent calls were interrupted, want none", n)
	}
	if n := runs.duplicates(); !idempotent && n > 0 {
		l.t.Errorf("%d calls were run twice, want none", n)
	}
	if s := l.client.Stats(); s.Waiting != 0 {
		l.t.Errorf("%d calls still wait", s.Waiting)
	}
}

// One of two servers dies again and again.
func TestServersDieUnderLoad(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg rpc.ClientConfig, m rpc.Method[numbered, int], idempotent bool) {
		const cuts = 8
		url := rabbit.URL(t)
		p := newProxy(t, url)
		var runs tally
		servers := rpc.ServerConfig{Concurrency: 4, Prefetch: 8}
		serveIncrement(t, dial(t, url), servers, m, &runs)
		victim, _ := serveIncrement(t, dial(t, p.url), servers, m, &runs)
		r := dialRaw(t, url)
		r.awaitConsumer("increment")
		l := startLoad(t, newClient(t, dial(t, url), cfg), m)
		for range cuts {
			answered := victim.Stats().Answered
			eventually(t, "work at the victim", func() bool { return victim.Stats().Answered > answered+20 })
			p.cut()
			eventually(t, "the end of its consumer", func() bool { return r.consumers("increment") == 1 })
			l.more(20)
		}
		l.check(&runs, idempotent)
		if s := victim.Stats(); s.Lost == 0 && l.interrupted.Load() == 0 && runs.duplicates() == 0 {
			t.Errorf("got %+v, none interrupted and none run twice: want some requests lost", s)
		}
	})
}

// The client's connection dies again and again, or everybody's.
func TestClientIsCutUnderLoad(t *testing.T) {
	t.Parallel()
	for _, byServer := range []bool{false, true} {
		t.Run(fmt.Sprint("byServer=", byServer), func(t *testing.T) {
			everyWay(t, func(t *testing.T, cfg rpc.ClientConfig, m rpc.Method[numbered, int], idempotent bool) {
				const cuts = 8
				url := rabbit.URL(t)
				p := newProxy(t, url)
				var runs tally
				serveIncrement(t, dial(t, url), rpc.ServerConfig{}, m, &runs)
				dialRaw(t, url).awaitConsumer("increment")
				conn := dial(t, p.url)
				l := startLoad(t, newClient(t, conn, cfg), m)
				for i := range cuts {
					l.more(100)
					if !byServer {
						p.cut()
					} else if err := rabbit.Server(t).CloseConnections(t.Context(), "time for tea", url); err != nil {
						t.Fatal(err)
					}
					eventually(t, "the next connection", func() bool { return conn.Status().Publish.Generation >= uint64(i+2) })
				}
				l.more(100)
				l.check(&runs, idempotent)
				if l.interrupted.Load() == 0 && !idempotent {
					t.Error("no call was interrupted, so no cut has hit one")
				}
			})
		})
	}
}

// The network fails in the midst of frames, on all sides.
func TestCallsOverAPoorNetwork(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg rpc.ClientConfig, m rpc.Method[numbered, int], idempotent bool) {
		url := rabbit.URL(t)
		p := newProxy(t, url)
		var runs tally
		for range 2 {
			serveIncrement(t, dialThrough(t, p), rpc.ServerConfig{Concurrency: 4, Prefetch: 8}, m, &runs)
		}
		dialRaw(t, url).awaitConsumer("increment")
		c := newClient(t, dialThrough(t, p), cfg)
		p.cutAfter(func() int64 { return 10_000 + rand.Int64N(200_000) })
		p.cut()
		l := startLoad(t, c, m)
		stop := cutNowAndThen(t, p, func() int { return int(l.answered.Load()) })
		l.more(2000)
		t.Logf("%d cuts of all at once", stop())
		p.cutAfter(nil)
		l.check(&runs, idempotent)
	})
}

// Packets vanish and nobody closes anything. Callers don't wait for heartbeats to tell.
func TestClientOnAStalledNetwork(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		const callers, timeout = 64, time.Second
		url := rabbit.URL(t)
		p := newProxy(t, url)
		var runs tally
		serveIncrement(t, dial(t, url), rpc.ServerConfig{}, increment, &runs)
		dialRaw(t, url).awaitConsumer("increment")
		conn := dialThrough(t, p)
		c := newClient(t, conn, cfg)
		if _, err := increment.Call(t.Context(), c, numbered{-1}); err != nil {
			t.Fatal(err)
		}
		p.swallow()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				began := time.Now()
				_, err := increment.Call(ctx, c, numbered{i})
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > timeout+prompt {
					t.Errorf("got %v after %v, want the deadline, %v", err, took, timeout)
				}
			})
		}
		wg.Wait()
		eventually(t, "a call that works again", func() bool {
			got, err := increment.Call(t.Context(), c, numbered{100})
			return err == nil && got == 101
		})
		if n := conn.Status().Publish.Generation; n < 2 {
			t.Errorf("it was connection %d, want the next", n)
		}
		if w := c.Stats().Waiting; w != 0 {
			t.Errorf("%d calls still wait", w)
		}
	})
}

// A server that nobody hears any more is dead: another one gets its requests.
func TestServerOnAStalledNetwork(t *testing.T) {
	everyWay(t, func(t *testing.T, cfg rpc.ClientConfig, m rpc.Method[numbered, int], idempotent bool) {
		url := rabbit.URL(t)
		p := newProxy(t, url)
		began, causes := make(chan struct{}, 1), make(chan error, 1)
		s := newRPC(dialThrough(t, p), rpc.ServerConfig{})
		rpc.Handle(s, m, func(ctx context.Context, _ numbered) (int, error) {
			began <- struct{}{}
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return 0, ctx.Err()
		})
		stop := serve(t, s)
		dialRaw(t, url).awaitConsumer("increment")
		l := &load{t: t, method: m, client: newClient(t, dial(t, url), cfg)}
		done := make(chan struct{})
		go func() { l.call(); close(done) }()
		receive(t, "the handler", began)
		var runs tally
		serveIncrement(t, dial(t, url), rpc.ServerConfig{}, m, &runs)
		p.swallow()
		silence := time.Now()
		if err := receive(t, "the end of the handler's context", causes); !errors.Is(err, broker.ErrDeliveryLost) {
			t.Errorf("got cause %v, want ErrDeliveryLost", err)
		}
		receive(t, "the end of the call", done)
		t.Logf("over after %v", time.Since(silence).Round(time.Millisecond))
		if (l.answered.Load() == 1) != idempotent {
			t.Errorf("answered %d, interrupted %d, with idempotent=%t", l.answered.Load(), l.interrupted.Load(), idempotent)
		}
		stop()
	})
}

// Not parallel: it kills the private server.
func TestRabbitMQIsRestartedUnderLoad(t *testing.T) {
	for _, idempotent := range []bool{false, true} {
		t.Run(fmt.Sprint("idempotent=", idempotent), func(t *testing.T) {
			url := private.URL(t)
			m := increment
			if idempotent {
				m = rpc.Define[numbered, int]("increment", rpc.Idempotent())
			}
			var runs tally
			conn := dial(t, url)
			serveIncrement(t, conn, rpc.ServerConfig{}, m, &runs)
			dialRaw(t, url).awaitConsumer("increment")
			l := startLoad(t, newClient(t, dial(t, url), rpc.ClientConfig{}), m)
			l.more(100)
			awaitRegistered(t)
			if err := private.Server(t).Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			up := time.Now()
			l.more(100)
			t.Logf("works again after %v", time.Since(up).Round(time.Millisecond))
			l.check(&runs, idempotent)
			if !idempotent && l.interrupted.Load() == 0 {
				t.Error("no call was interrupted, so the restart has hit none")
			}
		})
	}
}
