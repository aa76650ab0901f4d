package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

// run runs w with a context that end ends, and returns what Run returns.
func run(t *testing.T, w *worker.Worker) (end context.CancelFunc, done <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	c := make(chan error, 1)
	go func() { c <- w.Run(ctx) }()
	return cancel, c
}

func TestShutdownCutsOffWhatRunsPastGrace(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("slow")
	enqueue(t, conn, kind.New(numbered{1}))

	const grace = time.Second
	began, causes := make(chan int, 1), make(chan error, 1)
	w := worker.New(conn, worker.Config{Grace: grace, Logger: quiet})
	worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
		began <- n.N
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return errBoom // must not count as an attempt
	})
	end, done := run(t, w)
	receive(t, "the job", began)
	asked := time.Now()
	end()
	if err := receive(t, "the end of Run", done); err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	if took := time.Since(asked); took < grace/2 || took > grace+grace/2 {
		t.Errorf("Run took %v to return, want about %v", took, grace)
	}
	if err := receive(t, "the cause", causes); !errors.Is(err, worker.ErrShutdown) {
		t.Errorf("got cause %v, want ErrShutdown", err)
	}
	if s, want := w.Stats(), (worker.Stats{Requeued: 1}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}

	attempts := make(chan int, 1)
	next := newWorker(conn, 1)
	worker.Handle(next, kind, func(ctx context.Context, _ numbered) error {
		j, _ := worker.JobFrom(ctx)
		attempts <- j.Attempt
		return nil
	})
	start(t, next)
	if a := receive(t, "the job at the next worker", attempts); a != 1 {
		t.Errorf("got attempt %d, want 1", a)
	}
}

func TestShutdownFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("slow")
	began, release := make(chan int, 1), make(chan struct{})
	w := newWorker(conn, 1)
	worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
		began <- n.N
		<-release
		return ctx.Err()
	})
	end, done := run(t, w)
	enqueue(t, conn, kind.New(numbered{1}))
	receive(t, "the job", began)
	end()
	silent(t, "Run returned before its job", done, 200*time.Millisecond)
	close(release)
	if err := receive(t, "the end of Run", done); err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	if s, want := w.Stats(), (worker.Stats{Done: 1}); s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	dialRaw(t, url).empty(job.DefaultQueue)
}

func TestShutdownLeavesStubbornHandlersBehind(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("stubborn")
	began, release := make(chan int, 1), make(chan struct{})
	defer close(release)
	w := worker.New(conn, worker.Config{Grace: 500 * time.Millisecond, Logger: quiet})
	worker.Handle(w, kind, func(_ context.Context, n numbered) error {
		began <- n.N
		<-release
		return nil
	})
	end, done := run(t, w)
	enqueue(t, conn, kind.New(numbered{1}))
	receive(t, "the job", began)
	asked := time.Now()
	end()
	err := receive(t, "the end of Run", done)
	if !errors.Is(err, worker.ErrAbandoned) {
		t.Errorf("Run: got %v, want ErrAbandoned", err)
	}
	if took := time.Since(asked); took > 2*time.Second {
		t.Errorf("Run took %v to return, with a Grace of 500ms", took)
	}
	// The job is for somebody else now.
	r := dialRaw(t, url)
	eventually(t, "the job back in its queue", func() bool { return r.ready(job.DefaultQueue) == 1 })
}

func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	const jobs, grace = 2000, 5 * time.Second
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("load")
	enqueueNumbered(t, conn, kind, jobs)

	var worked tally
	first := worker.New(conn, worker.Config{Concurrency: 8, Prefetch: 200, Grace: grace, Logger: quiet})
	worker.Handle(first, kind, func(ctx context.Context, n numbered) error {
		time.Sleep(2 * time.Millisecond) // the job's work
		return worked.work(ctx, n)
	})
	end, done := run(t, first)
	eventually(t, "a tenth of the jobs", func() bool { return worked.worked() > jobs/10 })
	asked := time.Now()
	end()
	if err := receive(t, "the end of Run", done); err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
	if took := time.Since(asked); took > grace {
		t.Errorf("Run took %v to return, with a Grace of %v", took, grace)
	}
	left := jobs - worked.worked()
	if s := first.Stats(); s.Done != int64(worked.worked()) || s.Lost != 0 || s.Dead != 0 {
		t.Errorf("got %+v, want the %d jobs done and nothing else", s, worked.worked())
	}
	r := dialRaw(t, url)
	back := 0
	eventually(t, "the jobs not begun back in the queue", func() bool {
		back = r.ready(job.DefaultQueue)
		return back >= left
	})

	second := newWorker(conn, 8)
	worker.Handle(second, kind, worked.work)
	start(t, second)
	eventually(t, "the rest", func() bool { return worked.worked() == jobs })
	t.Logf("stopped after %d jobs, %d went back, %d were worked twice", jobs-left, back, worked.duplicates())
	if worked.duplicates() > tolerated {
		t.Errorf("%d jobs were worked twice", worked.duplicates())
	}
}

// tolerated is how many of the jobs that are finished during shutdowns may come again: the
// server forgets acks that it has not passed on to its quorum queue when the channel is
// closed, and nothing tells when it has.
const tolerated = 2

// Jobs that end while hundreds of others go back are still acked.
func TestShutdownAcksWhatEndsMeanwhile(t *testing.T) {
	t.Parallel()
	const rounds, concurrency, jobs = 5, 8, 1200
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("meanwhile")
	enqueueNumbered(t, conn, kind, jobs)
	r := dialRaw(t, url)
	var worked tally
	for round := range rounds {
		left := jobs - round*concurrency
		eventually(t, "all others back", func() bool { return r.ready(job.DefaultQueue) >= left })
		release := make(chan struct{})
		w := worker.New(conn, worker.Config{Concurrency: concurrency, Prefetch: 1000, Logger: quiet})
		worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
			<-release
			return worked.work(ctx, n)
		})
		stop := start(t, w)
		eventually(t, "many jobs at the worker", func() bool {
			return w.Stats().Running == concurrency && r.ready(job.DefaultQueue) < left-500
		})
		time.AfterFunc(5*time.Millisecond, func() { close(release) }) // while stop gives back the others
		stop()
	}
	w := newWorker(conn, concurrency)
	worker.Handle(w, kind, worked.work)
	start(t, w)
	eventually(t, "all jobs", func() bool { return worked.worked() == jobs })
	t.Logf("%d jobs were worked twice", worked.duplicates())
	if worked.duplicates() > tolerated {
		t.Error("these are too many")
	}
}
