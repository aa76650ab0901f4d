package broker

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// fakeGeneration is one without a server behind it.
func fakeGeneration(t *testing.T, number uint64) *generation {
	t.Helper()
	ours, _ := net.Pipe()
	s := newSocket(ours, time.Minute)
	t.Cleanup(func() {
		s.fail(errSocketClosed)
		<-s.finished
	})
	g := &generation{
		number:   number,
		endpoint: endpoint{uri: amqp.URI{Scheme: "amqp", Host: "rabbit", Port: 5672, Vhost: "/"}},
		amqp:     &amqp.Connection{Properties: amqp.Table{"version": "4.1.0"}},
		socket:   s,
		dead:     make(chan struct{}),
		free:     make(chan struct{}),
	}
	close(g.free)
	return g
}

func TestLinkWaitsForAGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLink("publish", Config{Logger: quiet}, nil, nil)
		want := fakeGeneration(t, 1)
		got := make(chan *generation)
		go func() {
			g, err := l.wait(t.Context())
			if err != nil {
				t.Error(err)
			}
			got <- g
		}()
		synctest.Wait()
		l.set(nil, errCut, false)
		synctest.Wait()
		l.set(want, nil, false)
		if g := <-got; g != want {
			t.Errorf("got %v, want the new generation", g)
		}
	})
}

func TestLinkWaitEndsWithItsContextAndTellsTheLastError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLink("publish", Config{Logger: quiet}, nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.wait(ctx); !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrNotConnected and the context's end", err)
		}
		l.set(nil, errCut, false)
		if _, err := l.wait(ctx); !strings.Contains(err.Error(), errCut.Error()) {
			t.Errorf("got %v, want the last error in it", err)
		}
		l.set(nil, nil, true)
		if _, err := l.wait(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := offline()
		if s := c.Status(); s.Publish.State != Connecting || s.Consume.State != Idle || s.Ready() {
			t.Errorf("before: %+v", s)
		}
		time.Sleep(time.Second)
		g := fakeGeneration(t, 3)
		c.publish.set(g, nil, false)
		s := c.Status()
		want := LinkStatus{State: Connected, Since: time.Now(), Endpoint: "amqp://rabbit:5672/", Version: "4.1.0", Generation: 3}
		if s.Publish != want || !s.Ready() {
			t.Errorf("connected: %+v, ready %v, want %+v", s.Publish, s.Ready(), want)
		}
		c.publish.setBlocked(fakeGeneration(t, 2), amqp.Blocking{Active: true, Reason: "old news"})
		if s := c.Status(); s.Publish.Blocked != "" {
			t.Errorf("a generation that is over blocks: %+v", s.Publish)
		}
		c.publish.setBlocked(g, amqp.Blocking{Active: true, Reason: "low on memory"})
		if s := c.Status(); s.Publish.Blocked != "low on memory" || s.Ready() {
			t.Errorf("blocked: %+v, ready %v", s.Publish, s.Ready())
		}
		c.publish.setBlocked(g, amqp.Blocking{})
		c.consume.set(nil, errCut, false)
		if s := c.Status(); s.Ready() || !errors.Is(s.Consume.Err, errCut) {
			t.Errorf("consuming is interrupted: %+v, ready %v", s.Consume, s.Ready())
		}
		c.consume.set(g, nil, false)
		if !c.Status().Ready() {
			t.Errorf("both connected: %+v is not ready", c.Status())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		c.publish.set(nil, nil, true)
		if s := c.Status(); s.Publish.State != Closed || s.Publish.Generation != 3 || s.Ready() {
			t.Errorf("closed: %+v", s.Publish)
		}
	})
}

func TestBlockedGeneration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fakeGeneration(t, 1)
		if err := g.whenFree(t.Context()); err != nil {
			t.Errorf("not blocked: got %v", err)
		}
		g.setBlocked(amqp.Blocking{Active: true, Reason: "low on disk"})
		g.setBlocked(amqp.Blocking{Active: true, Reason: "low on memory"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.whenFree(ctx); !errors.Is(err, ErrBlocked) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "low on disk") {
			t.Errorf("blocked: got %v, want ErrBlocked with the reason and the context's end", err)
		}
		waiter := make(chan error)
		go func() { waiter <- g.whenFree(t.Context()) }()
		synctest.Wait()
		g.setBlocked(amqp.Blocking{})
		g.setBlocked(amqp.Blocking{})
		if err := <-waiter; err != nil {
			t.Errorf("free again: got %v", err)
		}
		g.setBlocked(amqp.Blocking{Active: true})
		go func() { waiter <- g.whenFree(t.Context()) }()
		synctest.Wait()
		close(g.dead)
		if err := <-waiter; err != nil {
			t.Errorf("over: got %v, want nil: the next use finds out", err)
		}
	})
}

func TestCallThatIsNotAnsweredKillsTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := fakeGeneration(t, 1)
		began := time.Now()
		err := g.call("queue.declare", func() error {
			<-g.socket.finished
			_, err := g.socket.Write(nil)
			return err
		})
		if took := time.Since(began); took != callTimeout || !strings.Contains(err.Error(), "no answer to queue.declare") {
			t.Errorf("got %v after %v, want no answer after %v", err, took, callTimeout)
		}
	})
}

func TestDeclareWithoutDeclaring(t *testing.T) {
	t.Parallel()
	c := offline()
	if err := c.Declare(t.Context(), topology.Topology{}); err != nil {
		t.Errorf("nothing to declare: %v", err)
	}
	c.cfg.NoDeclare = true
	if err := c.Declare(t.Context(), topology.Base("")); err != nil {
		t.Errorf("NoDeclare: %v", err)
	}
}

func TestDeclareWaitsForAConnectionUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := offline().Declare(ctx, topology.Base("")); !errors.Is(err, ErrNotConnected) {
			t.Errorf("got %v, want ErrNotConnected", err)
		}
	})
}

// The library cuts the number to 16 bits, and 65536 would come out as no limit at all.
func TestPrefetchFitsAMQP(t *testing.T) {
	t.Parallel()
	for given, want := range map[int]int{-1: 1, 0: 1, 1: 1, 65535: 65535, 65536: 65535, 1 << 20: 65535} {
		if got := (Subscription{Prefetch: given}).prefetch(); got != want {
			t.Errorf("%d: got %d, want %d", given, got, want)
		}
	}
}

func TestConsumeEndsWhileThereIsNoConnection(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"context", "drain"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := offline()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				drain := make(chan struct{})
				done := make(chan error)
				go func() {
					done <- c.Consume(ctx, Subscription{Queue: "pdf", Topology: topology.Work("", "pdf"), Drain: drain}, nil)
				}()
				time.Sleep(time.Minute)
				if how == "drain" {
					close(drain)
				} else {
					cancel()
				}
				if err := <-done; err != nil {
					t.Errorf("got %v, want nil", err)
				}
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestReconnectPolicyNeverGivesUp(t *testing.T) {
	t.Parallel()
	b := reconnectPolicy()
	for range 1000 {
		if d := b.NextBackOff(); d < 50*time.Millisecond || d > 7*time.Second {
			t.Fatalf("waits %v, want 70ms to 6.5s", d)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c := Config{}.withDefaults()
	if c.Name == "" || c.Heartbeat != 10*time.Second || c.MaxBody != 16<<20 || c.Logger == nil || c.NoDeclare {
		t.Errorf("zero value becomes %+v", c)
	}
	c = Config{Name: "shop", Heartbeat: time.Millisecond, MaxBody: 7, Logger: quiet}.withDefaults()
	if c.Name != "shop" || c.Heartbeat != time.Second || c.MaxBody != 7 || c.Logger != quiet {
		t.Errorf("got %+v, want what was said, and at least a second between heartbeats", c)
	}
}

// A node knows at once what was declared there, and others learn of it later.
func TestBothConnectionsAreToOneNode(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nodes := map[string]*server{"a:5672": newServer(t), "b:5672": newServer(t), "c:5672": newServer(t)}
		cfg := Config{Logger: quiet, dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return nodes[addr].dial(ctx, network, addr)
		}}
		for range 10 {
			c, err := Dial(t.Context(), "amqp://a,amqp://b,amqp://c", cfg)
			if err != nil {
				t.Fatal(err)
			}
			k := consume(t, c, Subscription{Queue: "q"})
			if st := c.Status(); st.Publish.Endpoint != st.Consume.Endpoint {
				t.Errorf("publishing at %s, consuming at %s, want one node", st.Publish.Endpoint, st.Consume.Endpoint)
			}
			k.end(t)
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
