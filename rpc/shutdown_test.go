package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
)

func TestShutdownAnswersWhatWasTaken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                  string
		concurrency, prefetch int
		calls, left           int
		takes                 time.Duration
	}{
		{"all run", 2, 2, 3, 1, 5 * time.Second},
		{"one after the other", 1, 3, 3, 0, 15 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Concurrency: test.concurrency, Prefetch: test.prefetch})
				rpc.Handle(s, render, func(ctx context.Context, _ args) (result, error) {
					time.Sleep(5 * time.Second)
					return result{}, ctx.Err()
				})
				stop := start(t, s)
				c, errs := newClient(t, f.conn(), rpc.ClientConfig{}), make(chan error, test.calls)
				for range test.calls {
					go func() { _, err := render.Call(t.Context(), c, args{}); errs <- err }()
				}
				synctest.Wait()
				began := time.Now()
				if err := stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
				took(t, began, test.takes)
				if got := f.depth("pdf.render"); got != test.left {
					t.Errorf("%d requests are on the queue, want %d: they were not taken", got, test.left)
				}
				for i := range test.calls {
					if err := <-errs; i < test.calls-test.left {
						wantErr(t, err, nil)
					} else {
						wantErr(t, err, context.DeadlineExceeded)
					}
				}
				wantStats(t, s, rpc.ServerStats{Answered: uint64(test.calls - test.left)})
			})
		})
	}
}

func TestShutdownWithNothingToDo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, text("a"))
		stop, began := start(t, s), time.Now()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		took(t, began, 0)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := render.Call(ctx, c, args{}) // the queue waits for the next server
		wantErr(t, err, context.DeadlineExceeded)
	})
}

func TestShutdownCutsOffAtTheEndOfGrace(t *testing.T) {
	t.Parallel()
	for _, m := range []rpc.Method[args, result]{render, lookup} {
		for grace, cut := range map[time.Duration]time.Duration{0: 29 * time.Second, time.Second: 900 * time.Millisecond, time.Minute: 59 * time.Second} {
			t.Run(fmt.Sprint(m.Name(), ", grace ", grace), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f, causes := newFake(), make(chan error, 1)
					s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Grace: grace})
					rpc.Handle(s, m, hang(causes))
					stop := start(t, s)
					c, done := newClient(t, f.conn(), rpc.ClientConfig{}), make(chan error, 1)
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
					defer cancel()
					go func() {
						got, err := m.Call(ctx, c, args{})
						if err == nil && got.Text != "next" {
							t.Errorf("got %+v, want the next server's answer", got)
						}
						done <- err
					}()
					synctest.Wait()
					began := time.Now()
					if err := stop(); err != nil {
						t.Errorf("Run: %v", err)
					}
					took(t, began, cut)
					wantErr(t, <-causes, rpc.ErrShutdown)
					if m.Name() == "pdf.render" {
						wantErr(t, <-done, rpc.ErrInterrupted)
						took(t, began, cut)
						wantStats(t, s, rpc.ServerStats{Interrupted: 1})
						return
					}
					if got := strings.Join(f.verdicts(), " "); got != "requeue" {
						t.Errorf("answers are %q, want a requeue", got)
					}
					serve(t, f, m, text("next"))
					wantErr(t, <-done, nil)
					took(t, began, cut)
				})
			})
		}
	}
}

// TestShutdownGivesBackWhatWaits: what has no slot at the end of Grace is not run.
func TestShutdownGivesBackWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Concurrency: 1, Prefetch: 2, Grace: 10 * time.Second})
		ran, end := 0, make(chan struct{})
		rpc.Handle(s, lookup, func(context.Context, args) (result, error) { ran++; <-end; return result{"late"}, nil })
		stop := start(t, s)
		c, done := newClient(t, f.conn(), rpc.ClientConfig{}), make(chan error, 2)
		for range 2 {
			go func() {
				got, err := lookup.Call(t.Context(), c, args{})
				if err == nil && got.Text != "next" {
					t.Errorf("got %+v, want the next server's answer", got)
				}
				done <- err
			}()
			synctest.Wait()
		}
		began := time.Now()
		if err := stop(); err == nil {
			t.Error("Run returned nil, want it to tell of the handler that was left")
		}
		if got := time.Since(began); got > 10*time.Second {
			t.Errorf("Run took %v, want at most the grace of 10s", got)
		}
		serve(t, f, lookup, text("next"))
		wantErr(t, <-done, nil)
		wantErr(t, <-done, nil)
		close(end)
		synctest.Wait()
		if ran != 1 {
			t.Errorf("%d requests ran, want one", ran)
		}
	})
}

func TestHandlerThatSucceedsAfterTheCutIsAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, func(ctx context.Context, _ args) (result, error) { <-ctx.Done(); return result{"a"}, nil })
		stop := start(t, s)
		c, done := newClient(t, f.conn(), rpc.ClientConfig{}), make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { _, err := render.Call(ctx, c, args{}); done <- err }()
		synctest.Wait()
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		wantErr(t, <-done, nil)
		wantStats(t, s, rpc.ServerStats{Answered: 1})
	})
}

func TestShutdownLeavesDeafHandlersWithinGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Grace: 10 * time.Second, Concurrency: 2})
		deaf := make(chan struct{})
		rpc.Handle(s, render, func(context.Context, args) (result, error) { <-deaf; return result{"late"}, nil })
		stop := start(t, s)
		c, done := newClient(t, f.conn(), rpc.ClientConfig{}), make(chan error, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 2 {
			go func() { _, err := render.Call(ctx, c, args{}); done <- err }()
		}
		synctest.Wait()
		began := time.Now()
		err := stop()
		if err == nil || !strings.Contains(err.Error(), "2 handlers ignore") {
			t.Errorf("Run: %v, want it to tell of 2 handlers that were left", err)
		}
		if got := time.Since(began); got > 10*time.Second {
			t.Errorf("Run took %v, want at most the grace of 10s", got)
		}
		serve(t, f, render, text("next")) // it gets the requests, and does not run them
		for range 2 {
			wantErr(t, <-done, rpc.ErrInterrupted)
		}
		close(deaf)
		wantIdle(t, c, 0)
		wantStats(t, s, rpc.ServerStats{Lost: 2})
	})
}

func TestCancelStillReachesAServerThatShutsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, causes := newFake(), make(chan error, 1)
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, hang(causes))
		stop := start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, err := render.Call(ctx, c, args{}); wantErr(t, err, context.Canceled) }()
		synctest.Wait()
		began := time.Now()
		time.AfterFunc(time.Second, cancel)
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		took(t, began, time.Second)
		wantErr(t, <-causes, rpc.ErrCallerGone)
	})
}

func TestRunEndsWhenTheBrokerIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		conn, causes := f.conn(), make(chan error, 1)
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, hang(causes))
		rpc.Handle(s, lookup, text(""))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		synctest.Wait()
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, err := render.Call(ctx, c, args{}); wantErr(t, err, context.Canceled) }()
		synctest.Wait()
		began := time.Now()
		conn.close()
		wantErr(t, <-done, broker.ErrClosed)
		took(t, began, 0)
		wantErr(t, <-causes, broker.ErrDeliveryLost)
		cancel()
		synctest.Wait()
	})
}

// TestQueueThatCannotBeServed: the other queues shut down in order.
func TestQueueThatCannotBeServed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		conn := f.conn()
		theirs := rpc.Define[args, result]("theirs", rpc.Queue("theirs", topology.Existing()))
		refuse, errRefused := make(chan struct{}), errors.New("access refused")
		conn.onConverse = func(s broker.Subscription) error {
			if s.Queue == "theirs" {
				<-refuse
				return errRefused
			}
			return nil
		}
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, func(context.Context, args) (result, error) { time.Sleep(time.Second); return result{"a"}, nil })
		rpc.Handle(s, theirs, text(""))
		done := make(chan error, 1)
		go func() { done <- s.Run(t.Context()) }()
		synctest.Wait()
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		began := time.Now()
		go wantCall(t, c, render, "a")
		synctest.Wait()
		close(refuse)
		wantErr(t, <-done, errRefused)
		took(t, began, time.Second)
		synctest.Wait()
	})
}

func TestControlQueueThatCannotBeMade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, errRefused := newFake().conn(), errors.New("access refused")
		conn.onConverse = func(s broker.Subscription) error {
			if s.Queue == "" {
				return errRefused
			}
			return nil
		}
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, text(""))
		wantErr(t, s.Run(t.Context()), errRefused)
	})
}

func TestSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		conn := f.conn()
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet, Concurrency: 7, Prefetch: 3, Grace: 20 * time.Second})
		rpc.Handle(s, rpc.Define[args, result]("a", rpc.Queue("q"), rpc.Timeout(time.Hour)), text(""))
		rpc.Handle(s, rpc.Define[args, result]("b", rpc.Queue("q"), rpc.Timeout(time.Minute)), text(""))
		f.declare("theirs")
		rpc.Handle(s, rpc.Define[args, result]("c", rpc.Queue("theirs", topology.Existing())), text(""))
		start(t, s)
		got := conn.subscription("q")
		if got.NoAck || got.Prefetch != 7 || got.MaxTime != time.Hour+20*time.Second || !got.Finish || got.Settle != 500*time.Millisecond {
			t.Errorf("subscription is %+v, want acks, prefetch 7, the longest timeout and the grace, Finish, and half a second to settle", got)
		}
		if want := topology.Requests("q"); fmt.Sprint(got.Topology) != fmt.Sprint(want) {
			t.Errorf("topology is %v, want %v", got.Topology, want)
		}
		if got := conn.subscription("theirs").Topology; len(got.Queues) > 0 {
			t.Errorf("topology is %v, want none for a queue that exists", got)
		}
	})
}

func TestZeroServerConfig(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		conn := f.conn()
		s := rpc.NewServer(conn, rpc.ServerConfig{})
		rpc.Handle(s, render, text("a"))
		start(t, s)
		if got := conn.subscription("pdf.render").Prefetch; got != rpc.DefaultConcurrency {
			t.Errorf("prefetch is %d, want %d", got, rpc.DefaultConcurrency)
		}
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		wantCall(t, c, render, "a")
	})
}

func TestValuesOfRunsContextReachHandlers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type key struct{}
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, func(ctx context.Context, _ args) (result, error) {
			v, _ := ctx.Value(key{}).(string)
			return result{v}, nil
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		wantCall(t, c, render, "value")
		cancel()
		wantErr(t, <-done, nil)
	})
}
