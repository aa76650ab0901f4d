package worker_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// check fails the test unless the journal says exactly this, at this simulated time.
func check(t *testing.T, f *watched, at time.Duration, want ...string) {
	t.Helper()
	es := f.entries()
	if !slices.Equal(f.verbs(), want) {
		t.Errorf("journal is %q, want %q", f.verbs(), want)
		return
	}
	for _, e := range es {
		if e.at != at {
			t.Errorf("%s came after %v, want %v", e.what, e.at, at)
		}
	}
}

// The longest duration there is stands for no limit, and must not overflow into the past.
func TestTimeoutOfTheLongestDuration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, func(context.Context, args) error {
			time.Sleep(time.Hour)
			return nil
		}, worker.Timeout(math.MaxInt64))
		stop := start(t, w)
		f.put("pdf", message("j"))
		time.Sleep(2 * time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
		check(t, f, time.Hour, "ack")
		if n := w.Stats().Abandoned; n != 0 {
			t.Errorf("%d handlers count as abandoned", n)
		}
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	const configured, own = 20 * time.Second, 3 * time.Second
	tests := []struct {
		name string
		opts []worker.Option
		want time.Duration
	}{
		{"of the config", nil, configured},
		{"of the handler", []worker.Option{worker.Timeout(own)}, own},
		{"zero means the config's", []worker.Option{worker.Timeout(0)}, configured},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				f.alone = true
				w := worker.New(f, worker.Config{Logger: quiet, Timeout: configured, Retry: retry.Steps{time.Second}})
				var cause error
				worker.Handle(w, render, func(ctx context.Context, _ args) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return ctx.Err()
				}, test.opts...)
				stop := start(t, w)
				f.put("pdf", message("j"))
				time.Sleep(time.Hour)
				if err := stop(); err != nil {
					t.Error(err)
				}
				if !errors.Is(cause, worker.ErrTimeout) {
					t.Errorf("cause is %v, want ErrTimeout", cause)
				}
				check(t, f, test.want, "publish errand.delay.10", "ack")
				if got := f.published(t); got.Attempt != 2 || !strings.Contains(got.Failure.Error, worker.ErrTimeout.Error()) {
					t.Errorf("copy is attempt %d with %+v, want attempt 2 with a timeout", got.Attempt, got.Failure)
				}
			})
		})
	}
}

func TestHandlerThatSucceedsAfterItsTimeoutIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Timeout: time.Second})
		worker.Handle(w, render, func(ctx context.Context, _ args) error { <-ctx.Done(); return nil })
		stop := start(t, w)
		f.put("pdf", message("j"))
		time.Sleep(time.Minute)
		check(t, f, time.Second, "ack")
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestNoTimeout(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]worker.Option{"config": nil, "handler": {worker.Timeout(-1)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				cfg := worker.Config{Logger: quiet, Timeout: -1}
				if opts != nil {
					cfg.Timeout = time.Second
				}
				w := worker.New(f, cfg)
				worker.Handle(w, render, func(ctx context.Context, _ args) error {
					time.Sleep(48 * time.Hour)
					return ctx.Err()
				}, opts...)
				stop := start(t, w)
				f.put("pdf", message("j"))
				time.Sleep(72 * time.Hour)
				check(t, f, 48*time.Hour, "ack")
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestAbandonedHandlerIsAnsweredAndKeepsItsSlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		f.alone = true
		w := worker.New(f, worker.Config{Logger: quiet, Concurrency: 1, Prefetch: 5, Timeout: 10 * time.Second, Grace: 5 * time.Second, Retry: retry.Steps{time.Second}})
		deaf := make(chan struct{})
		worker.Handle(w, render, func(context.Context, args) error { <-deaf; return errDisk })
		worker.Handle(w, thumbnail, returns(nil))
		stop := start(t, w)
		f.put("pdf", message("deaf"), thumbnail.New(args{}).Message())

		time.Sleep(15*time.Second - 1)
		check(t, f, 0)
		time.Sleep(time.Hour)
		check(t, f, 15*time.Second, "publish errand.delay.10", "ack")
		if got := f.published(t); got.Failure == nil || got.Failure.Error != worker.ErrAbandoned.Error() {
			t.Errorf("failure is %+v, want ErrAbandoned", got.Failure)
		}
		if got, want := w.Stats(), (worker.Stats{Running: 1, Retried: 1, Abandoned: 1}); got != want {
			t.Errorf("stats are %+v, want %+v: the slot must not be lent", got, want)
		}

		close(deaf)
		synctest.Wait()
		if got, want := w.Stats(), (worker.Stats{Done: 1, Retried: 1, Abandoned: 1}); got != want {
			t.Errorf("stats are %+v, want %+v: the slot is free again, and the late error counts for nothing", got, want)
		}
		if err := stop(); err != nil {
			t.Errorf("Run: %v, want nil: the handler has come back", err)
		}
	})
}

// All handlers of a queue are watched by one timer.
func TestEachHandlerIsGivenUpAtItsOwnTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		f.alone = true
		w := worker.New(f, worker.Config{Logger: quiet, Timeout: 10 * time.Second, Grace: 5 * time.Second})
		deaf := make(chan struct{})
		stuck := func(context.Context, args) error { <-deaf; return nil }
		worker.Handle(w, render, stuck)
		worker.Handle(w, thumbnail, stuck, worker.Timeout(2*time.Second))
		endless := job.Define[args]("endless", job.Queue("pdf"))
		worker.Handle(w, endless, stuck, worker.Timeout(-1)) // never given up
		stop := start(t, w)
		began := time.Now()
		at := func(seconds time.Duration) { time.Sleep(time.Until(began.Add(seconds * time.Second))) }
		put := func(id string) { f.put("pdf", thumbnail.New(args{}, job.ID(id)).Message()) }

		f.put("pdf", message("first, and longest"), endless.New(args{}).Message())
		at(1)
		put("second")
		at(3)
		put("third")
		at(60) // the timer had nothing to wait for
		put("fourth")
		at(120)

		var given []time.Duration
		for _, e := range f.entries() {
			if e.what == "ack" {
				given = append(given, e.at)
			}
		}
		if want := []time.Duration{8 * time.Second, 10 * time.Second, 15 * time.Second, 67 * time.Second}; !slices.Equal(given, want) {
			t.Errorf("handlers were given up after %v, want %v", given, want)
		}
		if n := w.Stats().Abandoned; n != 4 {
			t.Errorf("%d handlers count as given up, want 4", n)
		}
		close(deaf)
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestRunTellsOfHandlersThatItLeavesRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Timeout: time.Second, Grace: time.Second})
		deaf := make(chan struct{})
		worker.Handle(w, render, func(context.Context, args) error { <-deaf; return nil })
		stop := start(t, w)
		f.put("pdf", message("j"))
		time.Sleep(time.Minute)
		began := time.Now()
		if err := stop(); !errors.Is(err, worker.ErrAbandoned) {
			t.Errorf("Run: %v, want ErrAbandoned", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("Run took %v to return, want no waiting for what is given up", took)
		}
		close(deaf)
	})
}

func TestHandlerIgnoringTheLossOfItsDeliveryDoesNotHoldUpTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Concurrency: 2})
		deaf := make(chan struct{})
		var calls atomic.Int64
		worker.Handle(w, render, func(_ context.Context, a args) error {
			if a.N == 0 && calls.Add(1) == 1 {
				<-deaf
			}
			return nil
		})
		stop := start(t, w)
		f.put("pdf", render.New(args{N: 0}, job.ID("deaf")).Message())
		synctest.Wait()
		f.Cut()
		f.put("pdf", render.New(args{N: 1}).Message(), render.New(args{N: 2}).Message())
		time.Sleep(time.Second) // until the connection is there again
		if got := f.verbs(); !slices.Equal(got, []string{"ack", "ack", "ack"}) {
			t.Errorf("journal is %q, want the other two done, and the lost one that came again", got)
		}
		close(deaf)
		synctest.Wait()
		if got, want := w.Stats(), (worker.Stats{Done: 3, Lost: 1}); got != want {
			t.Errorf("stats are %+v, want %+v", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestMaxTimeCoversTheWholePrefetch(t *testing.T) {
	t.Parallel()
	const week = 7 * 24 * time.Hour
	tests := []struct {
		name    string
		cfg     worker.Config
		timeout time.Duration // of the second handler
		want    time.Duration
	}{
		{"zero value", worker.Config{}, 0, 15*time.Minute + 30*time.Second},
		{"longest handler", worker.Config{Grace: time.Second}, time.Hour, time.Hour + time.Second},
		{"two turns", worker.Config{Concurrency: 4, Prefetch: 8, Timeout: time.Minute, Grace: time.Second}, 0, 2 * (time.Minute + time.Second)},
		{"three turns, the last one short", worker.Config{Concurrency: 4, Prefetch: 9, Timeout: time.Minute, Grace: time.Second}, 0, 3 * (time.Minute + time.Second)},
		{"no timeout", worker.Config{}, -1, week},
		{"absurd timeout", worker.Config{}, 1<<63 - 1, week},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				test.cfg.Logger = quiet
				w := worker.New(f, test.cfg)
				worker.Handle(w, render, returns(nil))
				worker.Handle(w, thumbnail, returns(nil), worker.Timeout(test.timeout))
				stop := start(t, w)
				synctest.Wait()
				if got := f.subscription("pdf").MaxTime; got != test.want {
					t.Errorf("MaxTime is %v, want %v", got, test.want)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestCopyIsConfirmedBeforeTheAck(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"retry": errDisk, "put aside": retry.Permanent(errDisk), "snooze": worker.Snooze(time.Second)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				confirm := make(chan struct{})
				f.onPublish = func(context.Context, broker.Message) error { <-confirm; return nil }
				w := worker.New(f, worker.Config{Logger: quiet})
				worker.Handle(w, render, returns(err))
				stop := start(t, w)
				f.put("pdf", message("j"))
				time.Sleep(time.Minute)
				check(t, f, 0)
				close(confirm)
				synctest.Wait()
				if got := f.verbs(); len(got) != 2 || got[1] != "ack" {
					t.Errorf("journal is %q, want the copy and then the ack", got)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
