package integration_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// Any client enqueues a job with a type and a JSON body.
func TestForeignJob(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	got := make(chan job.Job, 2)
	w := worker.New(conn, worker.Config{Retry: soon, Logger: quiet})
	worker.Handle(w, job.Define[numbered]("foreign"), func(ctx context.Context, n numbered) error {
		j, _ := worker.JobFrom(ctx)
		got <- j
		if n.N != 5 {
			t.Errorf("got %+v, want 5", n)
		}
		if j.Attempt == 1 {
			return errBoom
		}
		return nil
	})
	start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	r.publish(job.DefaultQueue, broker.Message{Type: "foreign", Body: []byte(`{"N": 5}`)})
	first, second := receive(t, "the job", got), receive(t, "its second attempt", got)
	if first.ID == "" || first.Attempt != 1 {
		t.Errorf("got %+v, want an ID and attempt 1", first)
	}
	if second.ID != first.ID || second.Attempt != 2 {
		t.Errorf("got %+v, want ID %s and attempt 2", second, first.ID)
	}
}

// What is no job goes aside at once, whatever is wrong with it, and disturbs nobody.
func TestGarbage(t *testing.T) {
	t.Parallel()
	good := func() broker.Message { return broker.Message{Type: "good", Body: []byte(`{"N": 1}`)} }
	with := func(name string, value any) broker.Message {
		m := good()
		m.Headers = map[string]any{name: value}
		return m
	}
	garbage := map[string]broker.Message{
		"no type":            {Body: []byte(`{"N": 1}`)},
		"nothing at all":     {},
		"broken JSON":        {Type: "good", Body: []byte(`{"N": `)},
		"other JSON":         {Type: "good", Body: []byte(`["N"]`)},
		"no body":            {Type: "good"},
		"not UTF-8":          {Type: "good", Body: []byte("\xff\xfe")},
		"wrong type":         {Type: "good", ContentType: "text/xml", Body: []byte(`<n>1</n>`)},
		"broken type":        {Type: "good", ContentType: ";;;\x00", Body: []byte(`{"N": 1}`)},
		"pickled":            {Type: "good", ContentType: "application/x-python-serialize", Body: []byte{0x80, 4}},
		"attempt, a string":  with("errand-attempt", "2"),
		"attempt, a float":   with("errand-attempt", 2.0),
		"attempt, a boolean": with("errand-attempt", true),
		"attempt, a list":    with("errand-attempt", []any{int64(2)}),
		"attempt, zero":      with("errand-attempt", int64(0)),
		"attempt, negative":  with("errand-attempt", int64(-1)),
		"attempt, huge":      with("errand-attempt", int64(1)<<62),
		"not before, a time": with("errand-not-before", time.Unix(1_700_000_000, 0)),
		"not before, huge":   with("errand-not-before", int64(1)<<62),
		"expiry, negative":   with("errand-expires-at", int64(-1)),
		"expiry, bytes":      with("errand-expires-at", []byte{1, 2}),
		"error, a number":    with("errand-error", int64(1)),
		"exotic headers":     {Headers: exotic()},
	}
	url := rabbit.URL(t)
	conn := dial(t, url)
	var worked tally
	w := newWorker(conn, 2)
	worker.Handle(w, job.Define[numbered]("good"), worked.work)
	stop := start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	for name, m := range garbage {
		m.ID = name
		r.publish(job.DefaultQueue, m)
	}
	r.publish(job.DefaultQueue, good())
	want := worker.Stats{Done: 1, Dead: int64(len(garbage))}
	eventually(t, "all messages", func() bool { return w.Stats() == want })
	stop()
	for range garbage {
		m := r.await(topology.DeadQueue(job.DefaultQueue))
		sent, ok := garbage[m.ID]
		if !ok || m.Headers["errand-reason"] != string(job.Malformed) || m.Headers["errand-error"] == "" {
			t.Errorf("%q: got headers %v, want reason malformed", m.ID, m.Headers)
		}
		if string(m.Body) != string(sent.Body) || m.Type != sent.Type || m.ContentType != sent.ContentType {
			t.Errorf("%q: got %+v put aside, want it as it was sent", m.ID, m)
		}
	}
	r.empty(job.DefaultQueue, topology.DeadQueue(job.DefaultQueue))
}

// Headers that are too large to be sent again: RabbitMQ itself has to put the job aside.
func TestHugeHeader(t *testing.T) {
	t.Parallel()
	huge := map[string]any{"novel": strings.Repeat("x", 100_000)}
	url := rabbit.URL(t)
	conn := dial(t, url)
	w := newWorker(conn, 1)
	worker.Handle(w, job.Define[numbered]("fails"), func(context.Context, numbered) error { return errBoom })
	worker.Handle(w, job.Define[numbered]("good"), new(tally).work)
	stop := start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	body := []byte(`{"N": 1}`)
	r.publish(job.DefaultQueue,
		broker.Message{ID: "fails", Type: "fails", Headers: huge, Body: body},
		broker.Message{ID: "no type", Headers: huge, Body: body},
		broker.Message{ID: "good", Type: "good", Headers: huge, Body: body})
	eventually(t, "all messages", func() bool { return w.Stats() == worker.Stats{Done: 1, Dead: 2} })
	stop()
	for range 2 {
		m := r.await(topology.DeadQueue(job.DefaultQueue))
		if m.ID == "good" || m.Headers["x-first-death-reason"] != "rejected" {
			t.Errorf("got %q put aside, for reason %v, want the two others as rejected", m.ID, m.Headers["x-first-death-reason"])
		}
	}
	r.empty(job.DefaultQueue)
}

// A kind as long as AMQP allows is just an unknown one.
func TestLongestKind(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	w := newWorker(conn, 1)
	worker.Handle(w, job.Define[numbered]("short"), new(tally).work)
	start(t, w)
	long := strings.Repeat("k", 255)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	r.publish(job.DefaultQueue, broker.Message{Type: long, Body: []byte(`{}`)})
	m := r.await(topology.DeadQueue(job.DefaultQueue))
	checkDead(t, m, job.UnknownKind, "worker: no handler for kind")
	if m.Type != long || m.ID == "" {
		t.Errorf("got type %q and ID %q, want the type as it was, and an ID", m.Type, m.ID)
	}
}

// A user's headers survive retries, whatever their types.
func TestHeadersAreCarriedThroughRetries(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	got := make(chan job.Job, 3)
	w := worker.New(conn, worker.Config{Retry: soon, Logger: quiet})
	worker.Handle(w, job.Define[numbered]("headers"), func(ctx context.Context, _ numbered) error {
		j, _ := worker.JobFrom(ctx)
		got <- j
		return errBoom
	})
	start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	r.publish(job.DefaultQueue, broker.Message{Type: "headers", Headers: exotic(), Body: []byte(`{}`)})
	want := receive(t, "the first attempt", got).Headers
	if len(want) != len(exotic()) {
		t.Errorf("got %d headers at first, want %d", len(want), len(exotic()))
	}
	for attempt := 2; attempt <= 3; attempt++ {
		j := receive(t, "the next attempt", got)
		for name, value := range want {
			if !reflect.DeepEqual(j.Headers[name], value) {
				t.Errorf("attempt %d, header %s: got %#v, want %#v", attempt, name, j.Headers[name], value)
			}
		}
		if len(j.Headers) != len(want) {
			t.Errorf("attempt %d: got headers %v, want no others than %v", attempt, j.Headers, want)
		}
	}
}

// Up to 3.13 RabbitMQ believes an x-death that it is sent, and drops what seems to go in
// circles.
func TestForgedDeathsDoNotLoseTheJob(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	attempts := make(chan int, 3)
	w := worker.New(conn, worker.Config{Retry: soon, Logger: quiet})
	worker.Handle(w, job.Define[numbered]("forged"), func(ctx context.Context, _ numbered) error {
		j, _ := worker.JobFrom(ctx)
		attempts <- j.Attempt
		return errBoom
	})
	start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer(job.DefaultQueue)
	r.publish(job.DefaultQueue, broker.Message{
		Type: "forged", Body: []byte(`{}`),
		Headers: forgedDeath(topology.Namespace("").Delay(7), job.DefaultQueue, topology.DeadQueue(job.DefaultQueue)),
	})
	for want := range 3 {
		if a := receive(t, "an attempt", attempts); a != want+1 {
			t.Errorf("got attempt %d, want %d", a, want+1)
		}
	}
	r.await(topology.DeadQueue(job.DefaultQueue))
}

// taskQueue is the queue of RabbitMQ's second tutorial: durable, classic, filled with plain
// text by the default exchange, without type, ID or content type.
func taskQueue(opts ...topology.Option) job.Kind[[]byte] {
	opts = append(opts, topology.Existing())
	return job.Define[[]byte]("task", job.Queue("task_queue", opts...), job.Codec(codec.Bytes))
}

var tutorialTasks = []string{"First message.", "Second message..", "Third message...", "\xff\x00 not text"}

func TestTutorialQueue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		opts     []topology.Option
		attempts int
		reason   job.Reason
		aside    string
	}{
		{"as it is", nil, 1, job.NoRetry, topology.Namespace("").Parked()},
		{"with retries", []topology.Option{topology.Retries()}, 3, job.Exhausted, topology.DeadQueue("task_queue")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			r := dialRaw(t, url)
			r.declare("task_queue")
			for _, task := range append(slices.Clone(tutorialTasks), "fails") {
				r.publish("task_queue", broker.Message{Body: []byte(task)})
			}
			var mu sync.Mutex
			var got []string
			w := worker.New(dial(t, url), worker.Config{Concurrency: 1, Retry: soon, Logger: quiet})
			worker.Handle(w, taskQueue(c.opts...), func(_ context.Context, task []byte) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, string(task))
				if string(task) == "fails" {
					return errBoom
				}
				return nil
			})
			stop := start(t, w)
			m := r.await(c.aside)
			checkDead(t, m, c.reason, "boom")
			if string(m.Body) != "fails" || m.ID == "" {
				t.Errorf("got %+v put aside, want the failed task with an ID", m)
			}
			stop()
			want := slices.Concat(tutorialTasks, slices.Repeat([]string{"fails"}, c.attempts))
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
			r.empty("task_queue", c.aside)
		})
	}
}

// Where nothing can come back, a delay is refused before anything is sent.
func TestTutorialQueueCannotDelay(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	r := dialRaw(t, url)
	r.declare("task_queue")
	conn := dial(t, url)
	enqueue(t, conn, taskQueue().New([]byte("now")))
	w := newWorker(conn, 1)
	got := make(chan string, 1)
	worker.Handle(w, taskQueue(), func(_ context.Context, task []byte) error {
		got <- string(task)
		return retry.After(0, errBoom)
	})
	start(t, w)
	if task := receive(t, "the task", got); task != "now" {
		t.Errorf("got %q, want now", task)
	}
	checkDead(t, r.await(topology.Namespace("").Parked()), job.NoRetry, fmt.Sprint("retry after 0s: ", errBoom))
}
