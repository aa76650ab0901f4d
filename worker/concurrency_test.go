package worker_test

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

func TestConcurrencyIsALimitAndIsReached(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		cfg      worker.Config
		want     int64 // handlers at once
		prefetch int
	}{
		{"zero value", worker.Config{}, 10, 10},
		{"own", worker.Config{Concurrency: 3}, 3, 3},
		{"prefetch above it", worker.Config{Concurrency: 3, Prefetch: 7}, 3, 7},
		{"prefetch below it is raised", worker.Config{Concurrency: 3, Prefetch: 1}, 3, 3},
		{"of the queue", worker.Config{Concurrency: 3, Queues: map[string]worker.Queue{"pdf": {Concurrency: 5}, "x": {Concurrency: 1}}}, 5, 5},
		{"prefetch of the queue", worker.Config{Queues: map[string]worker.Queue{"pdf": {Concurrency: 2, Prefetch: 4}}}, 2, 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				test.cfg.Logger = quiet
				w := worker.New(f, test.cfg)
				var now, most atomic.Int64
				worker.Handle(w, render, func(context.Context, args) error {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return nil
				})
				stop := start(t, w)
				for i := range 20 {
					f.put("pdf", message(strconv.Itoa(i)))
				}
				synctest.Wait()
				if got := w.Stats().Running; got != test.want {
					t.Errorf("%d are running, want %d", got, test.want)
				}
				time.Sleep(time.Minute)
				if got := most.Load(); got != test.want {
					t.Errorf("%d ran at once, want %d", got, test.want)
				}
				if got := w.Stats(); got != (worker.Stats{Done: 20}) {
					t.Errorf("stats are %+v, want 20 done", got)
				}
				if got := f.subscription("pdf").Prefetch; got != test.prefetch {
					t.Errorf("prefetch is %d, want %d", got, test.prefetch)
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestQueuesDoNotShareSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		quick := job.Define[args]("quick", job.Queue("quick"))
		w := worker.New(f, worker.Config{Logger: quiet, Concurrency: 1})
		worker.Handle(w, render, func(context.Context, args) error { time.Sleep(time.Minute); return nil })
		worker.Handle(w, quick, returns(nil))
		stop := start(t, w)
		f.put("pdf", message("slow"))
		f.put("quick", quick.New(args{}).Message())
		synctest.Wait()
		check(t, f, 0, "ack")
		time.Sleep(time.Hour)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestDeliveryLostWhileItWaitsForASlotIsNotRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := watch(t)
		w := worker.New(f, worker.Config{Logger: quiet, Concurrency: 1, Prefetch: 2})
		ran := make(chan string, 10)
		worker.Handle(w, render, func(ctx context.Context, _ args) error {
			j, _ := worker.JobFrom(ctx)
			ran <- j.ID
			time.Sleep(time.Second)
			return nil
		})
		stop := start(t, w)
		f.put("pdf", message("1"), message("2"))
		synctest.Wait()
		f.Cut()
		time.Sleep(time.Minute)
		var got []string
		for range len(ran) {
			got = append(got, <-ran)
		}
		if want := []string{"1", "1", "2"}; !slices.Equal(got, want) {
			t.Errorf("ran %q, want %q: both came again, and only the first had begun", got, want)
		}
		if got, want := w.Stats(), (worker.Stats{Lost: 1, Done: 2}); got != want {
			t.Errorf("stats are %+v, want %+v", got, want)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestWorkerDeclaresItsQueues(t *testing.T) {
	t.Parallel()
	for _, kind := range []job.Kind[args]{render, foreign, adopted} {
		t.Run(kind.Queue(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := watch(t)
				w := worker.New(f, worker.Config{Logger: quiet, Namespace: "shop"})
				worker.Handle(w, kind, returns(nil))
				stop := start(t, w)
				synctest.Wait()
				if err := stop(); err != nil {
					t.Error(err)
				}
				want := topology.Work("shop", kind.Queue(), kind.QueueOptions()...)
				if got := f.subscription(kind.Queue()).Topology; got.String() != want.String() {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		})
	}
}
