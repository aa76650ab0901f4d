package worker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

var errDisk = errors.New("disk is full")

// nilError is what a function returns that declares `var err *nilError` and forgets to
// check it: an error that is not nil, with a method that panics.
type nilError struct{ err error }

func (e *nilError) Error() string { return e.err.Error() }
func (e *nilError) Unwrap() error { return e.err }

// work runs one message of queue pdf through a handler until nothing happens any more.
func work(t *testing.T, m broker.Message, fn func(context.Context, args) error, opts ...worker.Option) (*watched, worker.Stats) {
	t.Helper()
	f := watch(t)
	f.alone = true
	w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{4 * time.Second}})
	worker.Handle(w, render, fn, opts...)
	stop := start(t, w)
	f.put("pdf", m)
	synctest.Wait()
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	return f, w.Stats()
}

func returns(err error) func(context.Context, args) error {
	return func(context.Context, args) error { return err }
}

// ranAnyway is the handler of a job that must not run.
func ranAnyway(t *testing.T) func(context.Context, args) error {
	return func(context.Context, args) error {
		t.Error("the handler ran")
		return nil
	}
}

func TestOutcomeOfAnAttempt(t *testing.T) {
	t.Parallel()
	// 4 s is 32 steps of the ladder, rounded up; 9 s is 71 steps, rounded to 80.
	retried := []string{"publish errand.delay.12", "ack"}
	dead := []string{"publish errand.dead", "ack"}
	tests := []struct {
		name    string
		attempt int
		err     error
		want    []string
		next    int // the copy's attempt; 0: no copy
		reason  job.Reason
		stats   worker.Stats
	}{
		{"nil", 1, nil, []string{"ack"}, 0, "", worker.Stats{Done: 1}},
		{"error", 1, errDisk, retried, 2, "", worker.Stats{Retried: 1}},
		{"error of the last attempt", 2, errDisk, dead, 2, job.Exhausted, worker.Stats{Dead: 1}},
		{"permanent", 1, retry.Permanent(errDisk), dead, 1, job.Permanent, worker.Stats{Dead: 1}},
		{"permanent, wrapped", 1, fmt.Errorf("render: %w", retry.Permanent(errDisk)), dead, 1, job.Permanent, worker.Stats{Dead: 1}},
		{"permanent in the last attempt", 2, retry.Permanent(errDisk), dead, 2, job.Permanent, worker.Stats{Dead: 1}},
		{"after", 1, retry.After(9*time.Second, errDisk), []string{"publish errand.delay.13", "ack"}, 2, "", worker.Stats{Retried: 1}},
		{"after, in the last attempt", 2, retry.After(9*time.Second, errDisk), dead, 2, job.Exhausted, worker.Stats{Dead: 1}},
		{"snooze", 1, worker.Snooze(9 * time.Second), []string{"publish errand.delay.13", "ack"}, 1, "", worker.Stats{Snoozed: 1}},
		{"snooze in the last attempt", 2, worker.Snooze(9 * time.Second), []string{"publish errand.delay.13", "ack"}, 2, "", worker.Stats{Snoozed: 1}},
		{"snooze for no time", 1, worker.Snooze(-1), []string{"publish errand.jobs", "ack"}, 1, "", worker.Stats{Snoozed: 1}},
		{"an error that panics", 1, (*nilError)(nil), retried, 2, "", worker.Stats{Retried: 1, Panicked: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := render.New(args{N: 1}, job.Header("tenant", "blue"))
				j.Attempt = test.attempt
				f, stats := work(t, j.Message(), returns(test.err))
				if got := f.verbs(); !slices.Equal(got, test.want) {
					t.Errorf("journal is %q, want %q", got, test.want)
				}
				if stats != test.stats {
					t.Errorf("stats are %+v, want %+v", stats, test.stats)
				}
				if test.next > 0 {
					checkCopy(t, f.published(t), j, test.next, test.reason)
				}
			})
		})
	}
}

func checkCopy(t *testing.T, got, of job.Job, attempt int, reason job.Reason) {
	t.Helper()
	if got.ID != of.ID || got.Kind != of.Kind || !bytes.Equal(got.Body, of.Body) ||
		got.Headers["tenant"] != of.Headers["tenant"] || !got.CreatedAt.Equal(of.CreatedAt) {
		t.Errorf("the copy is %+v, want that of %+v", got, of)
	}
	if got.Attempt != attempt {
		t.Errorf("the copy is attempt %d, want %d", got.Attempt, attempt)
	}
	if reason == "" {
		return
	}
	if got.Failure == nil || got.Failure.Reason != reason || !strings.Contains(got.Failure.Error, errDisk.Error()) || !got.Failure.At.Equal(time.Now()) {
		t.Errorf("the copy's failure is %+v, want %q for reason %s, just now", got.Failure, errDisk, reason)
	}
}

func TestPanicIsAFailedAttemptWithItsStackInTheLog(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		value any
		want  string // in the copy's failure
	}{
		{"string", "out of paper", "handler panicked: out of paper"},
		{"error", errDisk, "handler panicked: disk is full"},
		{"permanent error", retry.Permanent(errDisk), "handler panicked: disk is full"},
		{"nil", nil, "handler panicked"},
		{"error that panics", (*nilError)(nil), "handler panicked"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				f := watch(t)
				w := worker.New(f, worker.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				worker.Handle(w, render, func(context.Context, args) error { panic(test.value) })
				stop := start(t, w)
				f.put("pdf", message("j"))
				synctest.Wait()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if got := f.published(t); got.Failure == nil || !strings.Contains(got.Failure.Error, test.want) {
					t.Errorf("the copy's failure is %+v, want text with %q", got.Failure, test.want)
				}
				if s := w.Stats(); s.Panicked != 1 || s.Retried+s.Dead != 1 {
					t.Errorf("stats are %+v, want one panic and one copy", s)
				}
				if !strings.Contains(log.String(), "outcome_test.go") {
					t.Errorf("no stack in the log: %s", &log)
				}
			})
		})
	}
}

func TestPanicErrorUnwrapsItsValue(t *testing.T) {
	t.Parallel()
	if err := error(&worker.PanicError{Value: errDisk}); !errors.Is(err, errDisk) {
		t.Errorf("%v does not unwrap to its value", err)
	}
	if err := error(&worker.PanicError{Value: "text"}); errors.Unwrap(err) != nil {
		t.Errorf("%v unwraps to %v", err, errors.Unwrap(err))
	}
}

func TestGoexitInTheHandlerIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, stats := work(t, message("j"), func(context.Context, args) error { runtime.Goexit(); return nil })
		if got, want := f.verbs(), []string{"publish errand.delay.12", "ack"}; !slices.Equal(got, want) {
			t.Errorf("journal is %q, want %q", got, want)
		}
		if stats != (worker.Stats{Retried: 1}) {
			t.Errorf("stats are %+v, want one retried and nothing running", stats)
		}
	})
}

func TestRetryCarriesTheFailureAndDropsTheOldDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := message("j", job.At(time.Now().Add(-time.Hour)), job.ExpireIn(time.Hour))
		f, _ := work(t, m, returns(errDisk))
		got := f.published(t)
		if got.Failure == nil || got.Failure.Error != errDisk.Error() || got.Failure.Reason != "" {
			t.Errorf("failure is %+v, want %q without a reason", got.Failure, errDisk)
		}
		if !got.NotBefore.IsZero() || got.ExpiresAt.IsZero() {
			t.Errorf("NotBefore is %v and ExpiresAt %v, want none and the job's", got.NotBefore, got.ExpiresAt)
		}
	})
}

func TestJobsThatAreNotRun(t *testing.T) {
	t.Parallel()
	hostile := message("j")
	hostile.Headers = map[string]any{"errand-attempt": "many", "tenant": "blue"}
	broken := message("j")
	broken.Body = []byte(`{"n":`)
	typed := message("j")
	typed.ContentType = "text/xml"
	wrong := message("j")
	wrong.Type = strings.Repeat("x", 255) // the longest that AMQP has
	untyped := message("j")
	untyped.Type = ""
	tests := []struct {
		name    string
		message broker.Message
		reason  job.Reason
	}{
		{"no handler for the kind", wrong, job.UnknownKind},
		{"no type", untyped, job.Malformed},
		{"hostile header", hostile, job.Malformed},
		{"broken body", broken, job.Malformed},
		{"another content type", typed, job.Malformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, stats := work(t, test.message, ranAnyway(t))
				if got, want := f.verbs(), []string{"publish errand.dead", "ack"}; !slices.Equal(got, want) {
					t.Fatalf("journal is %q, want %q", got, want)
				}
				m := f.entries()[0].message
				if m.Key != "pdf" || m.ID != "j" || !bytes.Equal(m.Body, test.message.Body) || m.Headers["errand-reason"] != string(test.reason) {
					t.Errorf("put aside with key %q, ID %q, headers %v, want pdf, j, and reason %s", m.Key, m.ID, m.Headers, test.reason)
				}
				if text, ok := m.Headers["errand-error"].(string); !ok || text == "" || len(text) > job.MaxError {
					t.Errorf("error header is %.100v, want a short text", m.Headers["errand-error"])
				}
				if stats != (worker.Stats{Dead: 1}) {
					t.Errorf("stats are %+v, want one dead", stats)
				}
			})
		})
	}
}

func TestExpiredJobIsDroppedUnrun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := message("j", job.ExpireIn(time.Second))
		time.Sleep(time.Second)
		f, stats := work(t, m, ranAnyway(t))
		if got := f.verbs(); !slices.Equal(got, []string{"ack"}) || stats != (worker.Stats{Expired: 1}) {
			t.Errorf("journal is %q, stats %+v, want one ack of an expired job", got, stats)
		}
	})
}

func TestJobThatSurfacesEarlyGoesRoundAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := 2 * topology.MaxDelay
		f, stats := work(t, message("j", job.Delay(far)), ranAnyway(t))
		if got, want := f.verbs(), []string{"publish errand.delay.34", "ack"}; !slices.Equal(got, want) {
			t.Errorf("journal is %q, want %q", got, want)
		}
		if got := f.published(t); got.Attempt != 1 || !got.NotBefore.Equal(time.Now().Add(far).Truncate(time.Millisecond)) {
			t.Errorf("copy is attempt %d, not before %v, want both unchanged", got.Attempt, got.NotBefore)
		}
		if stats != (worker.Stats{}) {
			t.Errorf("stats are %+v, want nothing counted", stats)
		}
	})
}

func TestMessageWithoutIDGetsOneThatLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen string
		m := broker.Message{Type: "pdf.render", Body: []byte(`{"n":7}`)}
		f, _ := work(t, m, func(ctx context.Context, a args) error {
			j, _ := worker.JobFrom(ctx)
			seen = j.ID
			if a.N != 7 {
				t.Errorf("args are %+v, want n 7", a)
			}
			return errDisk
		})
		if got := f.published(t); seen == "" || got.ID != seen {
			t.Errorf("handler saw ID %q, the copy has %q, want the same", seen, got.ID)
		}
	})
}

func TestPublishFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		queue string
		want  []string
		after time.Duration
		stats worker.Stats
	}{
		{"own queue is dead-lettered by the server", "pdf", []string{"dead-letter"}, 0, worker.Stats{Dead: 1}},
		{"existing queue gets it back after a pause", "theirs", []string{"requeue", "publish errand.dead", "ack"}, 5 * time.Second, worker.Stats{Requeued: 1, Dead: 1}},
		{"existing queue with retries, too", "adopted", []string{"requeue", "publish errand.dead", "ack"}, 5 * time.Second, worker.Stats{Requeued: 1, Dead: 1}},
	}
	kinds := map[string]job.Kind[args]{"pdf": render, "theirs": foreign, "adopted": adopted}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				f.onPublish = func(context.Context, broker.Message) error {
					if time.Since(f.start) < 5*time.Second {
						return broker.ErrTooLarge
					}
					return nil
				}
				w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Never})
				worker.Handle(w, kinds[test.queue], returns(errDisk))
				stop := start(t, w)
				f.put(test.queue, kinds[test.queue].New(args{}).Message())
				time.Sleep(time.Minute)
				if err := stop(); err != nil {
					t.Error(err)
				}
				es := f.entries()
				if !slices.Equal(f.verbs(), test.want) || es[0].at != test.after {
					t.Errorf("journal is %q, want %q after %v: %+v", f.verbs(), test.want, test.after, es)
				}
				if got := w.Stats(); got != test.stats {
					t.Errorf("stats are %+v, want %+v", got, test.stats)
				}
			})
		})
	}
}

// A panicPolicy has a mistake in it.
type panicPolicy struct{}

func (panicPolicy) Next(int, error) (time.Duration, bool) { panic("no such attempt") }

func TestPanicInThePolicyGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, stats := work(t, message("j"), returns(errDisk), worker.Retry(panicPolicy{}))
		check(t, f, 0, "publish errand.dead", "ack")
		if got := f.published(t).Failure; got.Reason != job.Exhausted || !strings.Contains(got.Error, "no such attempt") || !strings.Contains(got.Error, errDisk.Error()) {
			t.Errorf("failure is %+v, want both errors", got)
		}
		if stats.Panicked != 1 || stats.Dead != 1 {
			t.Errorf("stats are %+v, want one panic and one dead job", stats)
		}
	})
}

// Whoever closes the broker under its worker ends the connection for publishing and the one
// for consuming, in no order. A job that could be tried again is not put aside by that.
func TestBrokerIsClosedBeforeTheCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		f.alone = true
		closed := false
		f.onPublish = func(context.Context, broker.Message) error {
			if closed {
				return nil
			}
			closed = true
			return broker.ErrClosed
		}
		w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{time.Second}})
		worker.Handle(w, render, returns(errDisk))
		stop := start(t, w)
		f.put("pdf", message("j"))
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		check(t, f, 0, "requeue", "publish errand.delay.10", "ack")
	})
}

func TestExistingQueue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		kind   job.Kind[args]
		err    error
		want   []string
		reason job.Reason
	}{
		{"nil", foreign, nil, []string{"ack"}, ""},
		{"error: nothing can come back", foreign, errDisk, []string{"publish errand.dead", "ack"}, job.NoRetry},
		{"snooze: nothing can come back", foreign, worker.Snooze(time.Minute), []string{"publish errand.dead", "ack"}, job.NoRetry},
		{"permanent", foreign, retry.Permanent(errDisk), []string{"publish errand.dead", "ack"}, job.Permanent},
		{"with retries, error", adopted, errDisk, []string{"publish errand.delay.10", "ack"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				w := worker.New(f, worker.Config{Logger: quiet, Retry: retry.Steps{time.Second}})
				worker.Handle(w, test.kind, returns(test.err))
				stop := start(t, w)
				// As a stranger sends it: no type, no ID.
				f.put(test.kind.Queue(), broker.Message{Body: []byte(`{"n":1}`)})
				synctest.Wait()
				if err := stop(); err != nil {
					t.Error(err)
				}
				if got := f.verbs(); !slices.Equal(got, test.want) {
					t.Fatalf("journal is %q, want %q", got, test.want)
				}
				if len(test.want) > 1 {
					got := f.published(t)
					if got.Kind != test.kind.Name() || got.ID == "" || got.Failure.Reason != test.reason {
						t.Errorf("copy is %+v with failure %+v, want kind %s, an ID, reason %q", got, got.Failure, test.kind.Name(), test.reason)
					}
				}
			})
		})
	}
}

func TestUntypedMessageOfAQueueWithTwoKindsIsMalformed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		other := job.Define[args]("other", job.Queue("theirs", topology.Existing()))
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, foreign, ranAnyway(t))
		worker.Handle(w, other, ranAnyway(t))
		stop := start(t, w)
		f.put("theirs", broker.Message{Body: []byte(`{"n":1}`)})
		synctest.Wait()
		if err := stop(); err != nil {
			t.Error(err)
		}
		if m := f.entries()[0].message; m.Headers["errand-reason"] != string(job.Malformed) {
			t.Errorf("headers are %v, want reason malformed", m.Headers)
		}
	})
}

func TestLostDeliveryIsNeitherAnsweredNorCopied(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{"nil": nil, "error": errDisk, "permanent": retry.Permanent(errDisk), "snooze": worker.Snooze(1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				w := worker.New(f, worker.Config{Logger: quiet})
				var cause error
				worker.Handle(w, render, func(ctx context.Context, _ args) error {
					<-ctx.Done()
					cause = context.Cause(ctx)
					return err
				})
				stop := start(t, w)
				f.put("pdf", message("j"))
				synctest.Wait()
				f.Cut()
				synctest.Wait()
				if !errors.Is(cause, worker.ErrDeliveryLost) {
					t.Errorf("cause is %v, want ErrDeliveryLost", cause)
				}
				if got := f.verbs(); len(got) > 0 {
					t.Errorf("journal is %q, want it empty", got)
				}
				if got := w.Stats(); got != (worker.Stats{Lost: 1}) {
					t.Errorf("stats are %+v, want one lost", got)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestDeliveryLostWhileTheCopyIsPublished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		f.onPublish = func(ctx context.Context, _ broker.Message) error {
			<-ctx.Done() // an outage
			return fmt.Errorf("%w: %w", broker.ErrUnconfirmed, context.Cause(ctx))
		}
		w := worker.New(f, worker.Config{Logger: quiet})
		worker.Handle(w, render, returns(errDisk))
		stop := start(t, w)
		f.put("pdf", message("j"))
		synctest.Wait()
		f.Cut()
		synctest.Wait()
		if got := f.verbs(); len(got) > 0 || w.Stats() != (worker.Stats{Lost: 1}) {
			t.Errorf("journal is %q, stats %+v, want one lost and no answer", got, w.Stats())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
