package integration_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// A load is many callers of one method, one call after the other, each with a number of its
// own. What comes back must be right, or ErrInterrupted.
type load struct {
	t      *testing.T
	method rpc.Method[numbered, int]
	client *rpc.Client
	over   atomic.Bool
	wg     sync.WaitGroup

	last, answered, interrupted atomic.Int64
}

// startLoad calls m until the test ends or stop.
func startLoad(t *testing.T, c *rpc.Client, m rpc.Method[numbered, int]) *load {
	t.Helper()
	const callers = 16
	l := &load{t: t, method: m, client: c}
	for range callers {
		l.wg.Go(func() {
			for !l.over.Load() {
				l.call()
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) call() {
	n := int(l.last.Add(1))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := l.method.Call(ctx, l.client, numbered{n})
	switch {
	case err == nil && got == n+1:
		l.answered.Add(1)
	case errors.Is(err, rpc.ErrInterrupted):
		l.interrupted.Add(1)
	default:
		l.t.Errorf("call %d: got %d, %v, want %d", n, got, err, n+1)
		l.over.Store(true) // the others would only fail alike
	}
}

// stop ends the load. No call is left.
func (l *load) stop() {
	l.over.Store(true)
	l.wg.Wait()
}

// more waits until n more calls were answered.
func (l *load) more(n int64) {
	l.t.Helper()
	want := l.answered.Load() + n
	eventually(l.t, "answers", func() bool { return l.answered.Load() >= want || l.over.Load() })
}

// serveIncrement runs a server of m on conn that counts.
func serveIncrement(t *testing.T, conn broker.Converser, cfg rpc.ServerConfig, m rpc.Method[numbered, int], runs *tally) (s *rpc.Server, stop func()) {
	t.Helper()
	s = newRPC(conn, cfg)
	rpc.Handle(s, m, func(ctx context.Context, n numbered) (int, error) {
		time.Sleep(time.Millisecond) // the work
		return n.N + 1, runs.work(ctx, n)
	})
	return s, serve(t, s)
}

// Calls of a method that is not idempotent go on as if nothing was when one of its servers
// is shut down: what that one had received it answers.
func TestServerShutsDownUnderLoad(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		const rounds = 10
		url := rabbit.URL(t)
		var runs tally
		few := rpc.ServerConfig{Concurrency: 2, Prefetch: 50}
		serveIncrement(t, dial(t, url), few, increment, &runs)
		conn := dial(t, url)
		r := dialRaw(t, url)
		r.awaitConsumer("increment")
		l := startLoad(t, newClient(t, dial(t, url), cfg), increment)
		for range rounds {
			s, stop := serveIncrement(t, conn, few, increment, &runs)
			eventually(t, "requests at the second server", func() bool { return s.Stats().Answered > 20 })
			stop() // wants nil of Run
			if got := s.Stats(); got.Running != 0 || got.Lost != 0 || got.Interrupted != 0 {
				t.Errorf("got %+v, want nothing lost", got)
			}
			l.more(20)
		}
		l.stop()
		t.Logf("%d answered", l.answered.Load())
		if n := l.interrupted.Load(); n > 0 {
			t.Errorf("%d calls were interrupted, want none", n)
		}
		if n := runs.duplicates(); n > 0 || int64(runs.calls) != l.answered.Load() {
			t.Errorf("%d calls were run, %d of them again, for %d answers", runs.calls, n, l.answered.Load())
		}
	})
}

// What runs past the end of Grace is not run a second time, and its caller hears so. What
// may be run again is, elsewhere.
func TestServerIsCutOffAtTheEndOfGrace(t *testing.T) {
	for _, idempotent := range []bool{false, true} {
		t.Run(map[bool]string{false: "once", true: "idempotent"}[idempotent], func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			m := increment
			if idempotent {
				m = rpc.Define[numbered, int]("increment", rpc.Idempotent())
			}
			slow := newRPC(dial(t, url), rpc.ServerConfig{Grace: time.Second})
			began, causes := make(chan struct{}), make(chan error, 1)
			rpc.Handle(slow, m, func(ctx context.Context, n numbered) (int, error) {
				close(began)
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return 0, ctx.Err()
			})
			stop := serve(t, slow)
			dialRaw(t, url).awaitConsumer("increment")
			l := &load{t: t, method: m, client: newClient(t, dial(t, url), rpc.ClientConfig{})}
			done := make(chan struct{})
			go func() { l.call(); close(done) }()
			receive(t, "the handler", began)
			var runs tally
			serveIncrement(t, dial(t, url), rpc.ServerConfig{}, m, &runs)
			asked := time.Now()
			stop()
			if took := time.Since(asked); took > time.Second+prompt {
				t.Errorf("Run took %v, with a Grace of a second", took)
			}
			if err := receive(t, "the cause", causes); !errors.Is(err, rpc.ErrShutdown) {
				t.Errorf("the handler's context: got cause %v, want ErrShutdown", err)
			}
			receive(t, "the end of the call", done)
			want := map[bool]int{false: 0, true: 1}[idempotent]
			if runs.calls != want || int(l.answered.Load()) != want || int(l.interrupted.Load()) != 1-want {
				t.Errorf("run again %d times, answered %d, interrupted %d, want %d, %d, %d",
					runs.calls, l.answered.Load(), l.interrupted.Load(), want, want, 1-want)
			}
		})
	}
}

// Not parallel: it counts goroutines and memory. A third of the calls time out, in each way
// that there is: while the handler runs, before it is run, and because the reply comes late.
func TestManyCallsTimeOut(t *testing.T) {
	const calls, callers, concurrency, timeout = 100_000, 128, 100, 20 * time.Millisecond
	url := rabbit.URL(t)
	s := newRPC(dial(t, url), rpc.ServerConfig{Concurrency: concurrency})
	rpc.Handle(s, increment, func(ctx context.Context, n numbered) (int, error) {
		switch n.N % 6 {
		case 0:
			<-ctx.Done()
			return 0, ctx.Err()
		case 3:
			<-ctx.Done()
			time.Sleep(5 * time.Millisecond) // until it is too late
		}
		return n.N + 1, nil
	})
	serve(t, s)
	dialRaw(t, url).awaitConsumer("increment")
	c := newClient(t, dial(t, url), rpc.ClientConfig{})
	var last, timeouts atomic.Int64
	call := func() {
		n := int(last.Add(1))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if n%3 == 0 {
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		got, err := increment.Call(ctx, c, numbered{n})
		switch {
		case n%3 == 0 && errors.Is(err, context.DeadlineExceeded):
			timeouts.Add(1)
		case n%6 == 3 && err == nil: // the caller's clock was late, not the reply
		case n%6 == 0 || err != nil || got != n+1:
			t.Errorf("call %d: got %d, %v", n, got, err)
		}
	}
	run := func(n int64) {
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for last.Load() < n && !t.Failed() {
					call()
				}
			})
		}
		wg.Wait()
	}
	run(calls / 50)
	settled := func() (goroutines int, heap uint64) {
		eventually(t, "nothing running", func() bool { return s.Stats().Running == 0 })
		return runtime.NumGoroutine(), heapInUse()
	}
	goroutines, heap := settled()
	began := time.Now()
	run(calls)
	took := time.Since(began)

	if got := c.Stats(); got.Waiting != 0 || got.Late == 0 {
		t.Errorf("got %+v, want none waiting and some late", got)
	}
	if n := timeouts.Load(); n < calls*3/10 {
		t.Errorf("%d calls timed out, want about a third of %d", n, calls)
	}
	_, after := settled()
	t.Logf("%d calls in %v, %+v, %+v; heap %d KiB, before %d KiB", calls, took.Round(time.Millisecond), c.Stats(), s.Stats(), after>>10, heap>>10)
	if after > heap+1<<20 {
		t.Errorf("the heap is %d KiB, it was %d KiB", after>>10, heap>>10)
	}
	// The server keeps its handlers' goroutines, of which there may have been fewer before.
	eventually(t, "no goroutine left over", func() bool { return runtime.NumGoroutine() <= goroutines+concurrency })
}

// heapInUse is what is left when the garbage is collected, finalizers and all.
func heapInUse() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
