package integration_test

import (
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// enqueueNumbered sends jobs 0 to n-1, a few hundred a call.
func enqueueNumbered(t *testing.T, conn *broker.Conn, kind job.Kind[numbered], n int) {
	t.Helper()
	const batch = 500
	for from := 0; from < n; from += batch {
		jobs := make([]job.Job, 0, batch)
		for i := from; i < min(from+batch, n); i++ {
			jobs = append(jobs, kind.New(numbered{i}))
		}
		enqueue(t, conn, jobs...)
	}
}

// produce sends jobs from..to-1 one by one, from as many goroutines as callers says, and
// wants no error.
func produce(t *testing.T, wg *sync.WaitGroup, conn *broker.Conn, kind job.Kind[numbered], from, to, callers int) {
	p := producer.New(conn, producer.Config{})
	numbers := make(chan int)
	wg.Go(func() {
		defer close(numbers)
		for i := from; i < to; i++ {
			numbers <- i
		}
	})
	for range callers {
		wg.Go(func() {
			for i := range numbers {
				if err := p.Enqueue(t.Context(), kind.New(numbered{i})); err != nil {
					t.Errorf("job %d: %v", i, err)
				}
			}
		})
	}
}

func TestManyJobsThroughFourWorkers(t *testing.T) {
	t.Parallel()
	const jobs, workers = 10_000, 4
	url := rabbit.URL(t)
	kind := job.Define[numbered]("many", job.Queue("many"))
	var worked tally
	var ws [workers]*worker.Worker
	for i := range ws {
		ws[i] = worker.New(dial(t, url), worker.Config{Concurrency: 8, Prefetch: 100, Logger: quiet})
		worker.Handle(ws[i], kind, worked.work)
		start(t, ws[i])
	}
	began := time.Now()
	var wg sync.WaitGroup
	produce(t, &wg, dial(t, url), kind, 0, jobs, 100)
	wg.Wait()
	eventually(t, "all jobs", func() bool { return worked.worked() == jobs })
	took := time.Since(began)
	for i, w := range ws {
		if s := w.Stats(); s.Done == 0 {
			t.Errorf("worker %d has got no job: %+v", i, s)
		}
	}
	if n := worked.duplicates(); n != 0 {
		t.Errorf("%d jobs were worked twice", n)
	}
	t.Logf("%d jobs in %v, %.0f a second", jobs, took.Round(time.Millisecond), jobs/took.Seconds())
}

// Producers and workers that start together all declare the same queue, and the first jobs
// come while it is only half made.
func TestEverybodyIsTheFirst(t *testing.T) {
	t.Parallel()
	const peers = 12
	url := rabbit.URL(t)
	kind := job.Define[numbered]("rush", job.Queue("rush"))
	var worked tally
	var ws [peers]*worker.Worker
	var ps [peers]*producer.Producer
	for i := range peers {
		ws[i] = newWorker(dial(t, url), 1)
		worker.Handle(ws[i], kind, worked.work)
		ps[i] = producer.New(dial(t, url), producer.Config{})
	}
	var wg sync.WaitGroup
	for i := range peers {
		start(t, ws[i])
		wg.Go(func() {
			j := kind.New(numbered{i}, job.Delay(time.Duration(i%3)*100*time.Millisecond))
			if err := ps[i].Enqueue(t.Context(), j); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	eventually(t, "all jobs", func() bool { return worked.worked() == peers })
	if n := worked.duplicates(); n != 0 {
		t.Errorf("%d jobs were worked twice", n)
	}
}
