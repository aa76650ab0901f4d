package integration_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// Delays of one hop and of many, some of them just past the border of a level.
var delays = []time.Duration{
	time.Millisecond,
	128 * time.Millisecond,
	129 * time.Millisecond,
	300 * time.Millisecond,
	time.Second,
	1024 * time.Millisecond,
	1700 * time.Millisecond,
	3 * time.Second,
}

// Jobs come out of the ladder not early, and little late. They are taken from the queue
// itself, because a worker would send early ones round again.
func TestLadderIsPunctual(t *testing.T) {
	t.Parallel()
	const jobs = 200
	url := rabbit.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("delayed", job.Queue("delayed"))
	p := producer.New(conn, producer.Config{})
	enqueue(t, conn, kind.New(numbered{}, job.Delay(slices.Max(delays)))) // declares everything

	type arrival struct {
		job  job.Job
		time time.Time
	}
	arrivals := make(chan arrival, jobs+1)
	ctx, end := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- conn.Consume(ctx, broker.Subscription{Queue: "delayed", Prefetch: jobs}, func(d *broker.Delivery) {
			now := time.Now()
			j, err := job.Parse(d.Message)
			if err != nil {
				t.Errorf("%s: %v", d.ID, err)
			}
			arrivals <- arrival{j, now}
			if err := d.Ack(); err != nil {
				t.Errorf("Ack: %v", err)
			}
		})
	}()
	asked := make(map[string]time.Duration, jobs)
	for i := range jobs {
		delay := delays[i%len(delays)]
		j := kind.New(numbered{i}, job.Delay(delay))
		asked[j.ID] = delay
		if err := p.Enqueue(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	var late []time.Duration
	for len(late) < jobs {
		a := receive(t, "a delayed job", arrivals)
		delay, ok := asked[a.job.ID]
		if !ok {
			continue // the very first one
		}
		lateness := a.time.Sub(a.job.NotBefore)
		if lateness < 0 {
			t.Errorf("a job with a delay of %v came %v early", delay, -lateness)
		}
		late = append(late, lateness)
	}
	end()
	if err := receive(t, "the end of Consume", done); err != nil {
		t.Errorf("Consume: %v", err)
	}
	p50, p99 := quantile(late, 0.5), quantile(late, 0.99)
	t.Logf("late by %v (p50), %v (p99), %v at most, of which up to %v are rounding",
		p50.Round(time.Millisecond), p99.Round(time.Millisecond), slices.Max(late).Round(time.Millisecond), topology.Resolution)
	if p50 > time.Second {
		t.Errorf("half of the jobs were more than %v late", p50)
	}
}

// Both ways to say when.
func TestDelayedJobIsWorked(t *testing.T) {
	t.Parallel()
	conn := dial(t, rabbit.URL(t))
	kind := job.Define[numbered]("delayed", job.Delay(500*time.Millisecond))
	ran := make(chan time.Time, 2)
	w := newWorker(conn, 1)
	worker.Handle(w, kind, func(context.Context, numbered) error {
		ran <- time.Now()
		return nil
	})
	start(t, w)
	delayed, at := kind.New(numbered{1}), time.Now().Add(time.Second)
	enqueue(t, conn, delayed, kind.New(numbered{2}, job.At(at)))
	first, second := receive(t, "the first job", ran), receive(t, "the second job", ran)
	if first.Before(delayed.NotBefore) || second.Before(at.Truncate(time.Millisecond)) {
		t.Errorf("the jobs ran %v and %v late", first.Sub(delayed.NotBefore), second.Sub(at))
	}
}

// A job that reaches its queue too early, as one does whose delay is longer than the ladder
// is high, waits once more.
func TestEarlyJobGoesRoundAgain(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	ran := make(chan time.Time, 1)
	w := newWorker(conn, 1)
	worker.Handle(w, job.Define[numbered]("early"), func(context.Context, numbered) error {
		ran <- time.Now()
		return nil
	})
	start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	due := time.Now().Add(700 * time.Millisecond).Truncate(time.Millisecond)
	r.publish(job.DefaultQueue, broker.Message{
		Type: "early", Body: []byte(`{}`), Headers: map[string]any{"errand-not-before": due.UnixMilli()},
	})
	if at := receive(t, "the job", ran); at.Before(due) {
		t.Errorf("the job ran %v early", due.Sub(at))
	}
}

func TestDelayedJobWithoutQueueIsParked(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	j := job.Define[numbered]("orphan", job.Queue("orphans")).New(numbered{8}, job.Delay(3*time.Second)) // after the queue is gone
	enqueue(t, conn, j)
	r := dialRaw(t, url)
	r.delete("orphans")
	m := r.await(topology.Namespace("").Parked())
	if m.ID != j.ID || string(m.Body) != `{"N":8}` {
		t.Errorf("got %+v parked, want job %s", m, j.ID)
	}
}

// A dead letter whose dead-letter queue is gone must not hold up the others.
func TestDeadLetterWithoutQueueIsParked(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	enqueueNumbered(t, conn, job.Define[numbered]("orphan"), 100)
	r := dialRaw(t, url)
	r.delete(topology.DeadQueue(job.DefaultQueue))
	ctx, end := context.WithCancel(t.Context())
	defer end()
	done := make(chan error, 1)
	go func() {
		done <- conn.Consume(ctx, broker.Subscription{Queue: job.DefaultQueue, Prefetch: 10}, func(d *broker.Delivery) {
			if err := d.DeadLetter(); err != nil {
				t.Errorf("DeadLetter: %v", err)
			}
		})
	}()
	eventually(t, "all dead letters in the parked queue", func() bool {
		return r.ready(topology.Namespace("").Parked()) == 100
	})
	end()
	if err := receive(t, "the end of Consume", done); err != nil {
		t.Errorf("Consume: %v", err)
	}
}

// Levels are declared as they are needed, and a higher one later joins the lower ones.
func TestLadderGrows(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	r := dialRaw(t, url)
	kind := job.Define[numbered]("growing")
	for i, c := range []struct {
		delay time.Duration
		level int
	}{{100 * time.Millisecond, 7}, {time.Second, 10}, {time.Hour, 21}, {397 * 24 * time.Hour, 34}} {
		enqueue(t, conn, kind.New(numbered{i}, job.Delay(c.delay)))
		highest := topology.Namespace("").Delay(c.level)
		if !r.exists(highest) {
			t.Errorf("a delay of %v: queue %s is missing", c.delay, highest)
		}
		if next := topology.Namespace("").Delay(c.level + 1); r.exists(next) {
			t.Errorf("a delay of %v: queue %s exists", c.delay, next)
		}
	}
	eventually(t, "the job of an hour on its way", func() bool { return r.ready(topology.Namespace("").Delay(21)) == 1 })
	eventually(t, "the job of a year on its way", func() bool { return r.ready(topology.Namespace("").Delay(34)) == 1 })
}
