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

// TestCallerIsCutOff: an idempotent call is sent again and gets the answer of its second run,
// whatever becomes of the first one.
func TestCallerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{false, true} {
		for _, cutAfter := range []time.Duration{0, 20 * time.Millisecond, time.Second} {
			t.Run(fmt.Sprintf("direct=%v, after %v", direct, cutAfter), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f := newFake()
					var runs atomic.Int64
					serve(t, f, lookup, func(ctx context.Context, _ args) (result, error) {
						n := runs.Add(1)
						if n == 1 { // its reply finds nobody, while the second runs
							time.Sleep(3 * time.Second)
							return result{"first"}, nil
						}
						select {
						case <-time.After(10 * time.Second):
						case <-ctx.Done():
							t.Errorf("run %d was cancelled by %v, want it left alone", n, context.Cause(ctx))
						}
						return result{"second"}, nil
					})
					conn := f.conn()
					c := newClient(t, conn, rpc.ClientConfig{DirectReplyTo: direct})
					synctest.Wait()
					began := time.Now()
					time.AfterFunc(cutAfter, func() { synctest.Wait(); conn.cut() })
					wantCall(t, c, lookup, "second")
					took(t, began, cutAfter+10*time.Second)
					sent := f.sentTo("lookup")
					if len(sent) != 2 || sent[0].ReplyTo == sent[1].ReplyTo && !direct {
						t.Fatalf("sent %+v, want the request twice, with a new reply queue", sent)
					}
					if sent[0].ID != sent[1].ID {
						t.Errorf("IDs are %q and %q, want the same", sent[0].ID, sent[1].ID)
					}
					wantIdle(t, c, 0)
				})
			})
		}
	}
}

// TestCancelReachesTheLaterRun: also when the first one is over.
func TestCancelReachesTheLaterRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, causes := newFake(), make(chan error, 1)
		var runs atomic.Int64
		serve(t, f, lookup, func(ctx context.Context, a args) (result, error) {
			if runs.Add(1) == 1 {
				time.Sleep(3 * time.Second)
				return result{}, nil
			}
			return hang(causes)(ctx, a)
		})
		conn := f.conn()
		c := newClient(t, conn, rpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, conn.cut)
		time.AfterFunc(5*time.Second, cancel)
		_, err := lookup.Call(ctx, c, args{})
		wantErr(t, err, context.Canceled)
		wantErr(t, <-causes, rpc.ErrCallerGone)
		took(t, began, 5*time.Second)
	})
}

func TestCallerIsCutOffFromWhatIsNotIdempotent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s, _ := serve(t, f, render, func(context.Context, args) (result, error) {
			time.Sleep(5 * time.Second)
			return result{}, nil
		})
		conn := f.conn()
		c := newClient(t, conn, rpc.ClientConfig{})
		began := time.Now()
		time.AfterFunc(time.Second, conn.cut)
		_, err := render.Call(t.Context(), c, args{})
		wantErr(t, err, rpc.ErrInterrupted)
		took(t, began, time.Second)
		time.Sleep(5 * time.Second)
		wantIdle(t, c, 0)
		wantStats(t, s, rpc.ServerStats{Answered: 1, Unroutable: 1})
		if got := len(f.sentTo("pdf.render")); got != 1 {
			t.Errorf("the request was sent %d times, want once", got)
		}
	})
}

func TestServerIsCutOff(t *testing.T) {
	t.Parallel()
	for _, m := range []rpc.Method[args, result]{render, lookup} {
		t.Run(m.Name(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, causes := newFake(), make(chan error, 1)
				var runs atomic.Int64
				s, conn := serve(t, f, m, func(ctx context.Context, a args) (result, error) {
					if runs.Add(1) == 1 {
						return hang(causes)(ctx, a)
					}
					return result{"second"}, nil
				})
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				began := time.Now()
				time.AfterFunc(time.Second, conn.cut)
				got, err := m.Call(t.Context(), c, args{})
				took(t, began, time.Second)
				wantErr(t, <-causes, broker.ErrDeliveryLost)
				if m.Name() == "lookup" {
					if err != nil || got.Text != "second" {
						t.Errorf("got %+v, %v, want the second run's answer", got, err)
					}
					wantStats(t, s, rpc.ServerStats{Lost: 1, Answered: 1})
				} else {
					wantErr(t, err, rpc.ErrInterrupted)
					wantCode(t, err, rpc.Interrupted)
					if runs.Load() != 1 {
						t.Errorf("it ran %d times, want once", runs.Load())
					}
					wantStats(t, s, rpc.ServerStats{Lost: 1, Interrupted: 1})
				}
				wantIdle(t, c, 0)
			})
		})
	}
}

// TestServerIsCutOffFromWhatWaits: requests that have no slot yet are given back as well.
func TestServerIsCutOffFromWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, conn := newFake(), (*fakeConn)(nil)
		conn = f.conn()
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet, Concurrency: 1, Prefetch: 3})
		var most, now, runs int
		rpc.Handle(s, lookup, slow(5*time.Second, &runs, &most, &now))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		began := time.Now()
		time.AfterFunc(time.Second, conn.cut)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { wantCall(t, c, lookup, "done") })
		}
		wg.Wait()
		took(t, began, 16*time.Second)
		if runs != 4 || most != 1 {
			t.Errorf("%d requests ran, up to %d at once, want 4, one after the other", runs, most)
		}
		synctest.Wait()
		if got := s.Stats(); got.Answered != 3 || got.Running != 0 {
			t.Errorf("server's stats are %+v, want three answered", got)
		}
	})
}

func TestRequestThatWasNotSentIsSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, render, text("a"))
		conn := f.conn()
		var once sync.Once
		f.onSend = func(m broker.Message) bool {
			if m.Key == "pdf.render" {
				once.Do(conn.cut) // before it is out
			}
			return true
		}
		c := newClient(t, conn, rpc.ClientConfig{})
		wantCall(t, c, render, "a") // though it is not idempotent
		wantIdle(t, c, 0)
	})
}

func TestRequestThatIsLostTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, lookup, text("a"))
		f.onSend = func(broker.Message) bool { return false }
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		began := time.Now()
		_, err := lookup.Call(t.Context(), c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		took(t, began, rpc.DefaultTimeout)
		wantIdle(t, c, 0)
	})
}

func TestReplyThatCrossesTheCut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		server, conn := f.peer(t, "pdf.render"), f.conn()
		c := newClient(t, conn, rpc.ClientConfig{})
		for range 100 {
			go func() {
				in := server.receive(t)
				server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: in.CorrelationID, Body: []byte(`{"text":"a"}`)})
				conn.cut()
			}()
			got, err := render.Call(t.Context(), c, args{})
			if !errors.Is(err, rpc.ErrInterrupted) && (err != nil || got.Text != "a") {
				t.Errorf("got %+v, %v, want the reply or ErrInterrupted", got, err)
			}
		}
		synctest.Wait()
		if got := c.Stats().Waiting; got != 0 {
			t.Errorf("%d calls wait, want none", got)
		}
	})
}

// TestCallsThroughManyCuts: each call ends, and none with another one's answer.
func TestCallsThroughManyCuts(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		f, server, caller := newFake(), (*fakeConn)(nil), (*fakeConn)(nil)
		server, caller = f.conn(), f.conn()
		s := rpc.NewServer(server, rpc.ServerConfig{Logger: quiet})
		echo := func(ctx context.Context, a args) (result, error) {
			select {
			case <-time.After(time.Duration(a.N%7) * 20 * time.Millisecond):
				return result{fmt.Sprint(a.N)}, nil
			case <-ctx.Done():
				return result{}, ctx.Err()
			}
		}
		rpc.Handle(s, render, echo)
		rpc.Handle(s, lookup, echo)
		stop := start(t, s)
		c := newClient(t, caller, cfg)
		var wg sync.WaitGroup
		for n := range 300 {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * 3 * time.Millisecond)
				got, err := lookup.Call(t.Context(), c, args{n})
				if err != nil || got.Text != fmt.Sprint(n) {
					t.Errorf("lookup %d: got %+v, %v", n, got, err)
				}
				got, err = render.Call(t.Context(), c, args{n})
				if !errors.Is(err, rpc.ErrInterrupted) && (err != nil || got.Text != fmt.Sprint(n)) {
					t.Errorf("render %d: got %+v, %v", n, got, err)
				}
			})
		}
		for i := range 9 {
			time.Sleep(97 * time.Millisecond)
			up := []*fakeConn{server, caller}[i%2].down()
			time.AfterFunc(20*time.Millisecond, up)
		}
		wg.Wait()
		synctest.Wait()
		if got := c.Stats().Waiting; got != 0 {
			t.Errorf("%d calls wait, want none", got)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := s.Stats().Running; got != 0 {
			t.Errorf("%d requests run, want none", got)
		}
	})
}

func TestStreamIsCutOff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		stream rpc.Stream[args, int]
		client bool // it is the client's connection
		at     time.Duration
		items  int
		want   error
	}{
		{"client, before the first item", pages, true, time.Second, 0, rpc.ErrInterrupted},
		{"client, idempotent, before the first item", feed, true, time.Second, 3, nil},
		{"client, in the middle", pages, true, 3 * time.Second, 1, rpc.ErrInterrupted},
		{"client, idempotent, in the middle", feed, true, 3 * time.Second, 1, rpc.ErrInterrupted},
		{"server, before the first item", pages, false, time.Second, 0, rpc.ErrInterrupted},
		{"server, idempotent, before the first item", feed, false, time.Second, 3, nil},
		{"server, in the middle", pages, false, 3 * time.Second, 1, rpc.ErrInterrupted},
		{"server, idempotent, in the middle", feed, false, 3 * time.Second, 1, rpc.ErrInterrupted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, server := stream(t, f, func(ctx context.Context, _ args, send func(int) error) error {
					for i := range 3 {
						select {
						case <-time.After(2 * time.Second):
						case <-ctx.Done():
							return ctx.Err()
						}
						if err := send(i + 1); err != nil {
							return err
						}
					}
					return nil
				})
				client := f.conn()
				c := newClient(t, client, rpc.ClientConfig{})
				cut := server
				if test.client {
					cut = client
				}
				time.AfterFunc(test.at, cut.cut)
				got, err := collect(t.Context(), c, test.stream, 0)
				wantErr(t, err, test.want)
				if !slices.Equal(got, upTo(test.items)) {
					t.Errorf("got %v, want 1 to %d", got, test.items)
				}
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if got := c.Stats().Waiting; got != 0 {
					t.Errorf("%d calls wait, want none", got)
				}
				if got := s.Stats().Running; got != 0 {
					t.Errorf("%d requests run, want none: their caller is gone", got)
				}
			})
		})
	}
}

func TestServerStopsForACallerThatHasDied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, ended := newFake(), make(chan error, 1)
		s, _ := stream(t, f, func(ctx context.Context, _ args, send func(int) error) error {
			for send(1) == nil {
				time.Sleep(time.Second)
			}
			ended <- context.Cause(ctx)
			return nil
		})
		conn := f.conn()
		c := newClient(t, conn, rpc.ClientConfig{})
		began := time.Now()
		time.AfterFunc(2500*time.Millisecond, func() { conn.down() })
		for _, err := range pages.Call(t.Context(), c, args{}) {
			if err != nil {
				wantErr(t, err, rpc.ErrInterrupted)
			}
		}
		wantErr(t, <-ended, rpc.ErrCallerGone)
		took(t, began, 4*time.Second) // the first item that finds nobody, and the next
		synctest.Wait()
		if got := s.Stats(); got.Running != 0 || got.Unroutable == 0 {
			t.Errorf("server's stats are %+v, want nothing running and an unroutable reply", got)
		}
	})
}

func TestServerStopsWaitingForACallerThatHasDied(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, ended := newFake(), make(chan error, 1)
		stream(t, f, func(ctx context.Context, _ args, send func(int) error) error {
			for send(1) == nil {
			}
			ended <- context.Cause(ctx)
			return nil
		})
		conn := f.conn()
		c := newClient(t, conn, rpc.ClientConfig{})
		began := time.Now()
		time.AfterFunc(2500*time.Millisecond, func() { conn.down() })
		for range pages.Call(t.Context(), c, args{}) {
			time.Sleep(10 * time.Second) // it takes one item, and then no more
			break
		}
		wantErr(t, <-ended, rpc.ErrCallerGone)
		if after := time.Since(began); after > 10*time.Second {
			t.Errorf("the handler ended after %v, with its caller dead since 2.5s", after)
		}
	})
}

func TestCancelAfterTheServersReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, causes := newFake(), make(chan error, 1)
		_, conn := serve(t, f, render, hang(causes))
		synctest.Wait()
		conn.cut()
		synctest.Wait()
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, cancel)
		_, err := render.Call(ctx, c, args{})
		wantErr(t, err, context.Canceled)
		wantErr(t, <-causes, rpc.ErrCallerGone)
		took(t, began, time.Second)
	})
}

func TestServerWithoutAConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		conn := f.conn()
		up := conn.down()
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, text("a"))
		stop := start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		time.AfterFunc(time.Second, up)
		time.Sleep(2 * time.Second)
		wantCall(t, c, render, "a")
		conn.down()
		synctest.Wait()
		began := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Run: %v, want nil: an outage is no failure", err)
		}
		took(t, began, 0)
	})
}

func TestServerThatNeverHadAConnectionStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn := newFake().conn()
		conn.down()
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, text("a"))
		stop := start(t, s)
		began := time.Now()
		if err := stop(); err != nil {
			t.Errorf("Run: %v, want nil", err)
		}
		took(t, began, 0)
	})
}

// TestReplyIsSentBeforeItsAck: a server that dies in between leaves a second reply, never none.
func TestReplyIsSentBeforeItsAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		before := make(chan []string, 1)
		f.onSend = func(m broker.Message) bool {
			if strings.HasPrefix(m.Key, "amq.gen-") {
				before <- f.verdicts()
			}
			return true
		}
		serve(t, f, render, text("a"))
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		wantCall(t, c, render, "a")
		if got := <-before; len(got) > 0 {
			t.Errorf("the request was answered by %v before the reply was sent", got)
		}
	})
}
