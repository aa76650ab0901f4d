package integration_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

var (
	errBoom = errors.New("boom")
	// soon makes three attempts.
	soon = retry.Steps{time.Millisecond, time.Millisecond}
)

// An outcome is what a handler does in its n-th call, and what must become of the job.
type outcome struct {
	name     string
	handle   func(ctx context.Context, call int) error
	attempts []int // what the handler's calls see
	stats    worker.Stats
	reason   job.Reason // empty: the job is not put aside
	err      string     // of the job put aside
}

var outcomes = []outcome{
	{
		name:     "nil",
		handle:   func(context.Context, int) error { return nil },
		attempts: []int{1},
		stats:    worker.Stats{Done: 1},
	},
	{
		name:     "error, then nil",
		handle:   failUntil(2, errBoom),
		attempts: []int{1, 2},
		stats:    worker.Stats{Done: 1, Retried: 1},
	},
	{
		name:     "error, until exhausted",
		handle:   failUntil(99, errBoom),
		attempts: []int{1, 2, 3},
		stats:    worker.Stats{Retried: 2, Dead: 1},
		reason:   job.Exhausted,
		err:      "boom",
	},
	{
		name:     "permanent",
		handle:   failUntil(99, retry.Permanent(errBoom)),
		attempts: []int{1},
		stats:    worker.Stats{Dead: 1},
		reason:   job.Permanent,
		err:      "boom",
	},
	{
		name:     "permanent at the second attempt",
		handle:   func(_ context.Context, call int) error { return []error{errBoom, retry.Permanent(errBoom)}[call-1] },
		attempts: []int{1, 2},
		stats:    worker.Stats{Retried: 1, Dead: 1},
		reason:   job.Permanent,
		err:      "boom",
	},
	{
		name:     "after",
		handle:   failUntil(2, retry.After(700*time.Millisecond, errBoom)),
		attempts: []int{1, 2},
		stats:    worker.Stats{Done: 1, Retried: 1},
	},
	{
		name:     "snooze",
		handle:   failUntil(4, worker.Snooze(0)),
		attempts: []int{1, 1, 1, 1},
		stats:    worker.Stats{Done: 1, Snoozed: 3},
	},
	{
		name:     "panic",
		handle:   func(context.Context, int) error { panic("ouch") },
		attempts: []int{1, 2, 3},
		stats:    worker.Stats{Retried: 2, Dead: 1, Panicked: 3},
		reason:   job.Exhausted,
		err:      "worker: handler panicked: ouch",
	},
	{
		name:     "panic with a permanent error",
		handle:   func(context.Context, int) error { panic(retry.Permanent(errBoom)) },
		attempts: []int{1},
		stats:    worker.Stats{Dead: 1, Panicked: 1},
		reason:   job.Permanent,
		err:      "worker: handler panicked: boom",
	},
	{
		name:     "timeout",
		handle:   func(ctx context.Context, _ int) error { <-ctx.Done(); return context.Cause(ctx) },
		attempts: []int{1, 2, 3},
		stats:    worker.Stats{Retried: 2, Dead: 1},
		reason:   job.Exhausted,
		err:      "worker: job timed out after 500ms: worker: job timed out",
	},
	{
		name:     "an endless error",
		handle:   failUntil(99, retry.Permanent(errors.New(strings.Repeat("é", job.MaxError)))),
		attempts: []int{1},
		stats:    worker.Stats{Dead: 1},
		reason:   job.Permanent,
		err:      strings.Repeat("é", job.MaxError/2),
	},
}

// failUntil is a handler that returns err before its n-th call, and then nil.
func failUntil(n int, err error) func(context.Context, int) error {
	return func(_ context.Context, call int) error {
		if call < n {
			return err
		}
		return nil
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	for _, o := range outcomes {
		t.Run(o.name, func(t *testing.T) {
			o.test(t, url, conn)
		})
	}
}

func (o outcome) test(t *testing.T, url string, conn *broker.Conn) {
	queue := strings.ReplaceAll(o.name, " ", "-")
	kind := job.Define[numbered]("numbered", job.Queue(queue))
	w := worker.New(conn, worker.Config{Retry: soon, Timeout: 500 * time.Millisecond, Logger: quiet})
	var mu sync.Mutex
	var attempts []int
	worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
		j, ok := worker.JobFrom(ctx)
		if !ok || n.N != 7 || j.Headers["tenant"] != "acme" {
			t.Errorf("the handler got %+v of job %+v", n, j)
		}
		mu.Lock()
		attempts = append(attempts, j.Attempt)
		call := len(attempts)
		mu.Unlock()
		return o.handle(ctx, call)
	})
	stop := start(t, w)
	sent := kind.New(numbered{7}, job.Header("tenant", "acme"))
	began := time.Now()
	enqueue(t, conn, sent)
	eventually(t, "the outcome", func() bool { return w.Stats() == o.stats })
	took := time.Since(began)
	stop()

	if !slices.Equal(attempts, o.attempts) {
		t.Errorf("got attempts %v, want %v", attempts, o.attempts)
	}
	if o.name == "after" && took < 700*time.Millisecond {
		t.Errorf("tried again within %v", took)
	}
	r := dialRaw(t, url)
	if o.reason != "" {
		m := r.await(topology.DeadQueue(queue))
		checkDead(t, m, o.reason, o.err)
		if m.ID != sent.ID || string(m.Body) != `{"N":7}` || m.Headers["tenant"] != "acme" {
			t.Errorf("got %+v put aside, want the job as it was sent", m)
		}
		want := int64(o.attempts[len(o.attempts)-1])
		if got := m.Headers["errand-attempt"]; want > 1 && got != want {
			t.Errorf("got attempt %v put aside, want %d", got, want)
		}
	}
	r.empty(queue, topology.DeadQueue(queue), topology.Namespace("").Parked())
}

// checkDead wants that m says why and when it was put aside.
func checkDead(t *testing.T, m broker.Message, reason job.Reason, text string) {
	t.Helper()
	if got := m.Headers["errand-reason"]; got != string(reason) {
		t.Errorf("got errand-reason %v, want %s", got, reason)
	}
	if got, ok := m.Headers["errand-error"].(string); !ok || !strings.HasPrefix(got, text) || len(got) > job.MaxError {
		t.Errorf("got errand-error %v, want %s", m.Headers["errand-error"], text)
	}
	ms, _ := m.Headers["errand-failed-at"].(int64)
	if age := time.Since(time.UnixMilli(ms)); age < 0 || age > patience {
		t.Errorf("got errand-failed-at %v ago, want just now", age)
	}
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	t.Parallel()
	conn := dial(t, rabbit.URL(t))
	log, book := newLog()
	kind := job.Define[numbered]("panics")
	w := worker.New(conn, worker.Config{Retry: retry.Never, Logger: log})
	worker.Handle(w, kind, func(context.Context, numbered) error { return panicDeepDown() })
	start(t, w)
	enqueue(t, conn, kind.New(numbered{}))
	eventually(t, "the panic in the log", func() bool {
		return len(book.lines("level=ERROR", "handler panicked", "panicDeepDown")) == 1
	})
}

func panicDeepDown() error { panic("deep down") }

func TestNoHandlerForTheKind(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	w := newWorker(conn, 1)
	worker.Handle(w, job.Define[numbered]("known"), new(tally).work)
	start(t, w)
	enqueue(t, conn, job.Define[numbered]("unknown").New(numbered{}))
	m := dialRaw(t, url).await(topology.DeadQueue(job.DefaultQueue))
	checkDead(t, m, job.UnknownKind, `worker: no handler for kind "unknown" on queue "default"`)
}

func TestExpiredJobIsDropped(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("expires")
	late := kind.New(numbered{1}, job.ExpireIn(time.Millisecond))
	enqueue(t, conn, late, kind.New(numbered{2}, job.ExpireIn(time.Hour)))
	eventually(t, "the expiry", func() bool { return late.Expired(time.Now()) })
	var worked tally
	w := newWorker(conn, 1)
	worker.Handle(w, kind, worked.work)
	stop := start(t, w)
	eventually(t, "both jobs", func() bool { return w.Stats() == worker.Stats{Done: 1, Expired: 1} })
	stop()
	if worked.times[1] != 0 || worked.times[2] != 1 {
		t.Errorf("got %v worked, want job 2 once", worked.times)
	}
	dialRaw(t, url).empty(job.DefaultQueue, topology.DeadQueue(job.DefaultQueue))
}

// A handler that ignores its context is given up, and goes on to occupy its slot.
func TestAbandonedHandlerKeepsItsSlot(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("stubborn")
	w := worker.New(conn, worker.Config{
		Concurrency: 1, Retry: retry.Never, Timeout: 50 * time.Millisecond, Grace: 200 * time.Millisecond, Logger: quiet,
	})
	began, release := make(chan int, 2), make(chan struct{})
	worker.Handle(w, kind, func(_ context.Context, n numbered) error {
		began <- n.N
		if n.N == 1 {
			<-release
		}
		return nil
	})
	start(t, w)
	enqueue(t, conn, kind.New(numbered{1}), kind.New(numbered{2}))
	if n := receive(t, "the first job", began); n != 1 {
		t.Fatalf("job %d came first", n)
	}
	checkDead(t, dialRaw(t, url).await(topology.DeadQueue(job.DefaultQueue)), job.Exhausted, worker.ErrAbandoned.Error())
	silent(t, "the slot of the abandoned handler was lent", began, 300*time.Millisecond)
	if s := w.Stats(); s.Running != 1 || s.Abandoned != 1 {
		t.Errorf("got %+v, want one handler abandoned and running", s)
	}
	close(release)
	if n := receive(t, "the second job", began); n != 2 {
		t.Errorf("job %d came second", n)
	}
}
