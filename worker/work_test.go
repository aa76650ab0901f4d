package worker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// An answerer takes one answer, or none.
type answerer struct {
	got  broker.Verdict
	lost bool
}

// Answer implements [broker.Answerer].
func (a *answerer) Answer(_ *broker.Delivery, v broker.Verdict) error {
	if a.lost || a.got != broker.Unanswered {
		return broker.ErrDeliveryLost
	}
	a.got = v
	return nil
}

func TestWorkTellsTheOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error // the handler's
		opts []job.Option
		lost bool
		want worker.Outcome
	}{
		{"done", nil, nil, false, worker.Done},
		{"retried", errDisk, nil, false, worker.Retried},
		{"dead", retry.Permanent(errDisk), nil, false, worker.Dead},
		{"snoozed", worker.Snooze(time.Minute), nil, false, worker.Snoozed},
		{"expired", nil, []job.Option{job.ExpireIn(time.Second)}, false, worker.Expired},
		{"lost", nil, nil, true, worker.Lost},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := worker.New(jobtest.NewBroker(t), worker.Config{Logger: quiet})
				worker.Handle(w, render, returns(test.err))
				m := message("j", test.opts...)
				time.Sleep(2 * time.Second)
				a := &answerer{lost: test.lost}
				got := w.Work(broker.NewDelivery(t.Context(), "pdf", m, a))
				if got.Outcome != test.want || test.err != nil && got.Err == nil {
					t.Errorf("got %+v, want %s, and the handler's error %v", got, test.want, test.err)
				}
				if !test.lost && a.got != broker.Acked {
					t.Errorf("answered with %v, want an ack", a.got)
				}
			})
		})
	}
}

// Work waits for a handler that ignores its context: it runs on the caller's goroutine.
func TestWorkOfAHandlerThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := worker.New(jobtest.NewBroker(t), worker.Config{Logger: quiet, Timeout: time.Second, Grace: time.Second})
		worker.Handle(w, render, func(context.Context, args) error { time.Sleep(time.Minute); return nil })
		if got := w.Work(broker.NewDelivery(t.Context(), "pdf", message("j"), &answerer{})); got.Outcome != worker.Retried || !errors.Is(got.Err, worker.ErrAbandoned) {
			t.Errorf("got %+v, want it retried as abandoned", got)
		}
	})
}

func TestWorkOfAnotherQueuePanics(t *testing.T) {
	t.Parallel()
	w := worker.New(jobtest.NewBroker(t), worker.Config{Logger: quiet})
	mustPanic(t, `no handlers for queue "pdf"`, func() { w.Work(broker.NewDelivery(t.Context(), "pdf", message("j"), &answerer{})) })
}

// Declare makes all queues but the temporary ones, which are a connection's own.
func TestDeclare(t *testing.T) {
	t.Parallel()
	f := watch(t)
	w := worker.New(f, worker.Config{Logger: quiet})
	worker.Handle(w, render, returns(nil))
	worker.Handle(w, heard, returns(nil))
	worker.Handle(w, passing, returns(nil))
	if got, want := w.Queues(), []string{"audit", "pdf", "temporary 1"}; !slices.Equal(got, want) {
		t.Errorf("Queues: got %q, want %q", got, want)
	}
	if err := w.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.declared) != 1 {
		t.Fatalf("declared %d times, want once", len(f.declared))
	}
	got := f.declared[0].String()
	for text, want := range map[string]bool{"queue pdf ": true, "queue audit ": true, "queue pdf.dead ": true, "temporary": false} {
		if strings.Contains(got, text) != want {
			t.Errorf("declared\n%s\nwant %q in it: %v", got, text, want)
		}
	}
}

func TestDeclareErrors(t *testing.T) {
	t.Parallel()
	b := jobtest.NewBroker(t)
	w := worker.New(b, worker.Config{Logger: quiet})
	worker.Handle(w, job.Define[args](""), returns(nil))
	if err := w.Declare(t.Context()); !errors.Is(err, job.ErrInvalid) {
		t.Errorf("an invalid kind: got %v, want %v", err, job.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w = worker.New(b, worker.Config{Logger: quiet})
	worker.Handle(w, render, returns(nil))
	if err := w.Declare(ctx); !errors.Is(err, broker.ErrNotConnected) || !strings.HasPrefix(err.Error(), "worker: ") {
		t.Errorf("a context that is over: got %v, want %v with worker: before it", err, broker.ErrNotConnected)
	}
}
