package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// mustPanic runs f and fails the test unless it panics with a text that holds want.
func mustPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), want) {
			t.Errorf("panicked with %v, want text with %q", v, want)
		}
	}()
	f()
}

func TestRegistrationPanics(t *testing.T) {
	t.Parallel()
	elsewhere := job.Define[args](render.Name(), job.Queue("elsewhere"))
	tests := []struct {
		name string
		want string
		do   func(w *worker.Worker)
	}{
		{"nil handler", `nil handler for kind "pdf.render"`, func(w *worker.Worker) { worker.Handle(w, render, nil) }},
		{"two handlers", `two handlers for kind "pdf.render"`, func(w *worker.Worker) {
			worker.Handle(w, render, returns(nil))
			worker.Handle(w, render, returns(nil))
		}},
		{"two handlers beside one on another queue", `two handlers for kind "pdf.render" on queue "pdf"`, func(w *worker.Worker) {
			worker.Handle(w, render, returns(nil))
			worker.Handle(w, elsewhere, returns(nil)) // is no mistake
			worker.Handle(w, render, returns(nil))
		}},
		{"nil policy", "retry.Never", func(*worker.Worker) { worker.Retry(nil) }},
		{"nil broker", "nil broker", func(*worker.Worker) { worker.New(nil, worker.Config{}) }},
		{"bad namespace", "namespace", func(*worker.Worker) { worker.New(watch(t), worker.Config{Namespace: "amq.x"}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			mustPanic(t, test.want, func() { test.do(worker.New(watch(t), worker.Config{})) })
		})
	}
}

func TestHandleAfterRunPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := worker.New(watch(t), worker.Config{Logger: quiet})
		worker.Handle(w, render, returns(nil))
		stop := start(t, w)
		synctest.Wait()
		mustPanic(t, "comes after Run", func() { worker.Handle(w, thumbnail, returns(nil)) })
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		want error
		text string
		do   func(w *worker.Worker)
	}{
		{"no handler", nil, "no handler", func(*worker.Worker) {}},
		{"invalid kind", job.ErrInvalid, "empty", func(w *worker.Worker) {
			worker.Handle(w, render, returns(nil))
			worker.Handle(w, job.Define[args](""), returns(nil))
		}},
		{"the zero kind", job.ErrInvalid, "job.Define", func(w *worker.Worker) {
			worker.Handle(w, job.Kind[args]{}, returns(nil))
		}},
		{"two opinions of a queue", nil, "other options", func(w *worker.Worker) {
			worker.Handle(w, job.Define[args]("a", job.Queue("q")), returns(nil))
			worker.Handle(w, job.Define[args]("b", job.Queue("q", topology.Existing())), returns(nil))
		}},
		{"two opinions of how long a queue lasts", nil, "other options", func(w *worker.Worker) {
			worker.Handle(w, job.Define[args]("a", job.Queue("q")), returns(nil))
			worker.Handle(w, job.Define[args]("b", job.Queue("q", topology.Temporary())), returns(nil))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := watch(t)
			w := worker.New(f, worker.Config{Logger: quiet})
			test.do(w)
			err := w.Run(t.Context())
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want an error about %q that wraps %v", err, test.text, test.want)
			}
			if len(f.subs) > 0 {
				t.Errorf("it consumes %v, want nothing", f.subs)
			}
		})
	}
}

func TestRunTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := worker.New(watch(t), worker.Config{Logger: quiet})
		worker.Handle(w, render, returns(nil))
		stop := start(t, w)
		synctest.Wait()
		if err := w.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("second Run: %v, want an error that says twice", err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunTellsWhyAQueueCanNotBeConsumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		f.onConsume = func(string) error { return errDisk }
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, returns(nil))
		if err := w.Run(t.Context()); !errors.Is(err, errDisk) || !strings.HasPrefix(err.Error(), "worker: ") {
			t.Errorf("got %v, want the cause with worker: before it", err)
		}
	})
}

func TestMiddlewareOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var trace []string
		note := func(name string) worker.Middleware {
			return func(next worker.Handler) worker.Handler {
				return func(ctx context.Context, j job.Job) error {
					trace = append(trace, name+" before "+j.Kind)
					err := next(ctx, j)
					trace = append(trace, fmt.Sprintf("%s after %v", name, err))
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Middleware: []worker.Middleware{note("outer"), note("inner")}})
		worker.Handle(w, render, returns(errDisk))
		stop := start(t, w)
		f.put("pdf", message("j"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		want := "outer before pdf.render, inner before pdf.render, inner after disk is full, outer after inner: disk is full"
		if got := strings.Join(trace, ", "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := f.published(t).Failure.Error; got != "outer: inner: disk is full" {
			t.Errorf("failure is %q, want what the outermost returned", got)
		}
	})
}

func TestJobFrom(t *testing.T) {
	t.Parallel()
	if j, ok := worker.JobFrom(t.Context()); ok || j.ID != "" {
		t.Errorf("outside of a handler: got %+v, %v, want none", j, ok)
	}
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet})
		var got job.Job
		var value any
		worker.Handle(w, render, func(ctx context.Context, _ args) error {
			got, _ = worker.JobFrom(ctx)
			value = ctx.Value(key{})
			return nil
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "of Run"))
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		f.put("pdf", message("j", job.Header("tenant", "blue")))
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got.ID != "j" || got.Queue != "pdf" || got.Attempt != 1 || got.Headers["tenant"] != "blue" {
			t.Errorf("got %+v, want the job that runs", got)
		}
		if value != "of Run" {
			t.Errorf("the handler's context has %v, want the value of Run's context", value)
		}
	})
}
