package worker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

func TestShutdownFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, func(ctx context.Context, _ args) error {
			time.Sleep(20 * time.Second)
			return ctx.Err() // not cancelled within the grace
		})
		stop := start(t, w)
		f.put("pdf", message("1"), message("2"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		check(t, f, 20*time.Second, "ack", "ack")
	})
}

func TestShutdownCutsOffAtTheEndOfGrace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		grace time.Duration
		cut   time.Duration
	}{
		{"zero value", 0, 29 * time.Second},
		{"a second", time.Second, 900 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				w := worker.New(f, worker.Config{Logger: quiet, Grace: test.grace})
				var cause error
				worker.Handle(w, render, func(ctx context.Context, _ args) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return errDisk
				})
				stop := start(t, w)
				m := message("j")
				f.put("pdf", m)
				synctest.Wait()
				if err := stop(); err != nil {
					t.Errorf("Run: %v", err)
				}
				if !errors.Is(cause, worker.ErrShutdown) {
					t.Errorf("cause is %v, want ErrShutdown", cause)
				}
				check(t, f, test.cut, "requeue")
				if got := w.Stats(); got != (worker.Stats{Requeued: 1}) {
					t.Errorf("stats are %+v, want one requeued", got)
				}
			})
		})
	}
}

func TestHandlerThatSucceedsAfterTheCutIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, func(ctx context.Context, _ args) error { <-ctx.Done(); return nil })
		stop := start(t, w)
		f.put("pdf", message("j"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		check(t, f, 29*time.Second, "ack")
	})
}

func TestShutdownLeavesADeafHandlerWithinGrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Grace: 10 * time.Second, Timeout: -1})
		deaf := make(chan struct{})
		worker.Handle(w, render, func(context.Context, args) error { <-deaf; return nil })
		stop := start(t, w)
		f.put("pdf", message("j"))
		synctest.Wait()
		began := time.Now()
		err := stop()
		if !errors.Is(err, worker.ErrAbandoned) {
			t.Errorf("Run: %v, want ErrAbandoned", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run took %v, want at most the grace of 10s", took)
		}
		if got := f.verbs(); len(got) > 0 {
			t.Errorf("journal is %q, want no answer: the end of the channel gives the job back", got)
		}
		close(deaf)
		synctest.Wait()
	})
}

func TestShutdownDuringAnOutageGivesUpTheCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		f.onPublish = func(ctx context.Context, _ broker.Message) error {
			<-ctx.Done()
			return fmt.Errorf("%w: %w", broker.ErrNotConnected, context.Cause(ctx))
		}
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, returns(errDisk))
		stop := start(t, w)
		f.put("pdf", message("j"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		check(t, f, 29*time.Second, "requeue")
	})
}

func TestShutdownStartsNothingThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Concurrency: 1, Prefetch: 3})
		ran := 0
		worker.Handle(w, render, func(context.Context, args) error {
			ran++
			time.Sleep(10 * time.Second)
			return nil
		})
		stop := start(t, w)
		f.put("pdf", message("1"), message("2"), message("3"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if ran != 1 {
			t.Errorf("%d jobs ran, want 1: the others go to workers that stay", ran)
		}
		es := f.entries()
		last := es[len(es)-1]
		if last.what != "ack" || last.message.ID != "1" || last.at != 10*time.Second {
			t.Errorf("journal ends with %+v, want job 1 acked after 10s", last)
		}
		for _, e := range es[:len(es)-1] {
			if e.what != "requeue" || e.at != 0 {
				t.Errorf("journal has %s of job %s after %v, want all others requeued at once", e.what, e.message.ID, e.at)
			}
		}
	})
}

func TestRunEndsWhenTheBrokerIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		closed := make(chan struct{})
		f.onConsume = func(queue string) error {
			if queue == "other" {
				<-closed
				return broker.ErrClosed
			}
			return nil
		}
		other := job.Define[args]("other", job.Queue("other"))
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, func(context.Context, args) error { time.Sleep(10 * time.Second); return nil })
		worker.Handle(w, other, returns(nil))
		done := make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		f.put("pdf", message("j"))
		synctest.Wait()
		close(closed)
		if err := <-done; !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Run: %v, want ErrClosed", err)
		}
		check(t, f, 10*time.Second, "ack")
	})
}

// A closingBroker hands out one delivery and is then closed under it.
type closingBroker struct{ broker.Broker }

func (b closingBroker) Consume(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
	ctx, lose := context.WithCancelCause(ctx)
	deliver(broker.NewDelivery(ctx, s.Queue, message("j"), closingBroker{}))
	synctest.Wait() // until the handler runs
	lose(broker.ErrDeliveryLost)
	return broker.ErrClosed
}

// Answer implements [broker.Answerer].
func (closingBroker) Answer(*broker.Delivery, broker.Verdict) error { return broker.ErrDeliveryLost }

func TestRunDoesNotWaitForDeafHandlersOnceTheBrokerIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := worker.New(closingBroker{watch(t)}, worker.Config{Logger: quiet, Timeout: -1, Grace: 10 * time.Second})
		deaf := make(chan struct{})
		worker.Handle(w, render, func(context.Context, args) error { <-deaf; return nil })
		began := time.Now()
		if err := w.Run(t.Context()); !errors.Is(err, broker.ErrClosed) {
			t.Errorf("Run: %v, want ErrClosed", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Run took %v, want at most the grace of 10s", took)
		}
		close(deaf)
	})
}
