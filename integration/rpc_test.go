package integration_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

type sum struct{ A, B int }

var add = rpc.Define[sum, int]("math.add", rpc.Idempotent())

var count = rpc.DefineStream[int, int]("math.count")

// serve runs s until the test ends or stop is called; stop waits for it.
func serve(t *testing.T, s *rpc.Server) (stop func()) {
	t.Helper()
	return runUntil(t, s.Run)
}

// newRPC is a server that logs nothing.
func newRPC(conn broker.Converser, cfg rpc.ServerConfig) *rpc.Server {
	cfg.Logger = quiet
	return rpc.NewServer(conn, cfg)
}

func newClient(t *testing.T, conn broker.Converser, cfg rpc.ClientConfig) *rpc.Client {
	t.Helper()
	c := rpc.NewClient(conn, cfg)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// bothWays runs test with each way to take replies, at the same time.
func bothWays(t *testing.T, test func(t *testing.T, cfg rpc.ClientConfig)) {
	t.Helper()
	t.Parallel()
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("direct=", direct), func(t *testing.T) {
			t.Parallel()
			test(t, rpc.ClientConfig{DirectReplyTo: direct})
		})
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{false, true} {
		t.Run(fmt.Sprint("direct=", direct), func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			s := rpc.NewServer(dial(t, url), rpc.ServerConfig{Logger: quiet})
			rpc.Handle(s, add, func(_ context.Context, r sum) (int, error) { return r.A + r.B, nil })
			rpc.HandleStream(s, count, func(_ context.Context, n int, send func(int) error) error {
				for i := range n {
					if err := send(i); err != nil {
						return err
					}
				}
				return nil
			})
			serve(t, s)
			c := newClient(t, dial(t, url), rpc.ClientConfig{DirectReplyTo: direct})
			eventually(t, "a server", func() bool {
				_, err := add.Call(t.Context(), c, sum{})
				return !errors.Is(err, rpc.ErrNoServer)
			})
			got, err := add.Call(t.Context(), c, sum{2, 3})
			if err != nil || got != 5 {
				t.Fatalf("got %v, %v, want 5", got, err)
			}
			next := 0
			for item, err := range count.Call(t.Context(), c, 1000) {
				if err != nil {
					t.Fatal(err)
				}
				if item != next {
					t.Fatalf("got item %d, want %d", item, next)
				}
				next++
			}
			if next != 1000 {
				t.Errorf("got %d items, want 1000", next)
			}
			if s := c.Stats(); s.Waiting != 0 {
				t.Errorf("%d calls still wait", s.Waiting)
			}
			start := time.Now()
			for range 1000 {
				if _, err := add.Call(t.Context(), c, sum{}); err != nil {
					t.Fatal(err)
				}
			}
			t.Log(time.Since(start) / 1000)
		})
	}
}
