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
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// workBroken runs one job on a broker where publishing does what onPublish says.
func workBroken(t *testing.T, kind job.Kind[args], m broker.Message, onPublish func(broker.Message) error) (*watched, worker.Stats) {
	t.Helper()
	f := watch(t)
	f.onPublish = func(_ context.Context, m broker.Message) error { return onPublish(m) }
	w := worker.New(f, worker.Config{Logger: quiet})
	worker.Handle(w, kind, returns(errDisk))
	stop := start(t, w)
	f.put(kind.Queue(), m)
	time.Sleep(time.Second)
	if err := stop(); err != nil {
		t.Error(err)
	}
	return f, w.Stats()
}

// A job that can't go into the ladder, because a level is missing and may not be declared,
// is put aside with both errors.
func TestRetryThatCanNotBeSentIsPutAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errNoLevel := errors.New("no such level")
		f, stats := workBroken(t, render, message("j"), func(m broker.Message) error {
			if m.Exchange != topology.Namespace("").Dead() {
				return errNoLevel
			}
			return nil
		})
		if want := (worker.Stats{Dead: 1}); stats != want {
			t.Errorf("stats are %+v, want %+v", stats, want)
		}
		if got := f.verbs(); !slices.Equal(got, []string{"publish errand.dead", "ack"}) {
			t.Fatalf("journal is %q", got)
		}
		got := f.published(t).Failure
		if got.Reason != job.NoRetry || !strings.Contains(got.Error, errDisk.Error()) || !strings.Contains(got.Error, errNoLevel.Error()) {
			t.Errorf("failure is %+v, want both errors", got)
		}
	})
}

// On somebody else's queue, headers that are too large to be sent are given up before the
// job is.
func TestExistingQueueGivesUpHeadersBeforeTheJob(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := foreign.New(args{}, job.Header("novel", "long")).Message()
		f, stats := workBroken(t, foreign, m, func(m broker.Message) error {
			if m.Headers["novel"] != nil {
				return broker.ErrTooLarge
			}
			return nil
		})
		if want := (worker.Stats{Dead: 1}); stats != want {
			t.Errorf("stats are %+v, want %+v", stats, want)
		}
		if got := f.published(t); got.Failure.Reason != job.NoRetry || got.ID != m.ID {
			t.Errorf("got %+v put aside, want the job with its reason", got)
		}
	})
}

// A delay beyond the ladder is not cut: the job knows when it may run.
func TestDelayBeyondTheLadder(t *testing.T) {
	t.Parallel()
	const long = topology.MaxDelay + 24*time.Hour
	for name, err := range map[string]error{"snooze": worker.Snooze(long), "after": retry.After(long, errDisk)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, _ := work(t, message("j"), returns(err))
				if got, want := f.published(t).NotBefore, time.Now().Add(long).Truncate(time.Millisecond); !got.Equal(want) {
					t.Errorf("it may run from %v, want %v", got, want)
				}
			})
		})
	}
}
