package integration_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// patience is how long anything may take that is not measured.
const patience = time.Minute

// quiet drops what errand logs; tests that look at the log make their own by newLog.
var quiet = slog.New(slog.DiscardHandler)

// dial connects to url until the test ends.
func dial(t *testing.T, url string) *broker.Conn {
	t.Helper()
	return dialWith(t, url, broker.Config{})
}

func dialWith(t *testing.T, url string, cfg broker.Config) *broker.Conn {
	t.Helper()
	return dialNode(t, rabbit.everywhere(url), cfg)
}

// dialNode is dialWith at the node of url alone.
func dialNode(t *testing.T, url string, cfg broker.Config) *broker.Conn {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	cfg.Name = t.Name()
	conn, err := broker.Dial(t.Context(), url, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// newWorker is a worker that runs at most n jobs of a queue at once and logs nothing.
func newWorker(conn *broker.Conn, n int) *worker.Worker {
	return worker.New(conn, worker.Config{Concurrency: n, Logger: quiet})
}

// start runs w until the test ends or stop is called; stop waits for it.
func start(t *testing.T, w *worker.Worker) (stop func()) {
	t.Helper()
	return runUntil(t, w.Run)
}

// runUntil calls f, which runs until its context ends, and wants no error of it.
func runUntil(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := receive(t, "the end of Run", done); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// enqueue sends jobs on conn and wants no error.
func enqueue(t *testing.T, conn *broker.Conn, jobs ...job.Job) {
	t.Helper()
	if err := producer.New(conn, producer.Config{}).Enqueue(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%v have passed without: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// receive returns the next value of c.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%v have passed without: %s", patience, what)
		panic("unreachable")
	}
}

// silent fails the test if a value comes from c within d: that nothing happens can only be
// seen by looking on for a while.
func silent[T any](t *testing.T, what string, c <-chan T, d time.Duration) {
	t.Helper()
	select {
	case v := <-c:
		t.Errorf("%s: got %v, want nothing", what, v)
	case <-time.After(d):
	}
}

// numbered is the argument of jobs that are counted.
type numbered struct{ N int }

// A tally counts how often each numbered job was worked. It is safe for concurrent use.
type tally struct {
	mu    sync.Mutex
	times map[int]int
	calls int
}

// work is a handler that counts.
func (c *tally) work(_ context.Context, n numbered) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.times == nil {
		c.times = map[int]int{}
	}
	c.times[n.N]++
	c.calls++
	return nil
}

// worked is how many different jobs were worked.
func (c *tally) worked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.times)
}

// has reports whether job n was worked.
func (c *tally) has(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.times[n] > 0
}

// duplicates is how many times a job was worked again.
func (c *tally) duplicates() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls - len(c.times)
}

// A logbook keeps what is logged. It is safe for concurrent use.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func newLog() (*slog.Logger, *logbook) {
	b := &logbook{}
	return slog.New(slog.NewTextHandler(b, nil)), b
}

// Write implements [io.Writer].
func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines are those that contain all words.
func (b *logbook) lines(words ...string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(strings.Split(b.text.String(), "\n"), func(line string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
	})
}

// quantile returns the value below which the share q of ds lies.
func quantile(ds []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(ds))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
