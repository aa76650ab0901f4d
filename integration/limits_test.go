package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

func TestUnroutable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		declare topology.Topology // by the administrator
		never   bool              // Config.NoDeclare
		options []job.Option
	}{
		{
			name:  "nothing is declared",
			never: true,
		},
		{
			name:    "the exchanges are there, the queue is not",
			declare: topology.Base(""),
			never:   true,
		},
		{
			name:    "the ladder is missing",
			declare: topology.Work("", job.DefaultQueue),
			never:   true,
			options: []job.Option{job.Delay(patience)},
		},
		{
			name:    "an existing queue that does not exist",
			options: []job.Option{job.Queue("elsewhere", topology.Existing())},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			if err := dial(t, url).Declare(t.Context(), c.declare); err != nil {
				t.Fatal(err)
			}
			conn := dialWith(t, url, broker.Config{NoDeclare: c.never})
			j := job.Define[numbered]("stray", c.options...).New(numbered{})
			err := producer.New(conn, producer.Config{}).Enqueue(t.Context(), j)
			if !errors.Is(err, broker.ErrUnroutable) || errors.Is(err, broker.ErrUnconfirmed) {
				t.Errorf("got %v, want ErrUnroutable", err)
			}
			if fs := broker.Failures(err); len(fs) != 1 || fs[0].ID != j.ID {
				t.Errorf("got failures %v, want one, of job %s", fs, j.ID)
			}
		})
	}
}

func TestUnroutableAmongOthers(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	good := job.Define[numbered]("good")
	stray := job.Define[numbered]("stray", job.Queue("elsewhere", topology.Existing()))
	j := stray.New(numbered{3})
	err := producer.New(conn, producer.Config{}).Enqueue(t.Context(),
		good.New(numbered{1}), good.New(numbered{2}), j, good.New(numbered{4}))
	if fs := broker.Failures(err); len(fs) != 1 || fs[0].ID != j.ID || !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("got %v, want ErrUnroutable of job %s alone", err, j.ID)
	}
	r := dialRaw(t, url)
	for range 3 {
		r.await(job.DefaultQueue)
	}
	r.empty(job.DefaultQueue)
}

func TestTooLargeIsNotSent(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dialWith(t, url, broker.Config{MaxBody: 1000})
	kind := job.Define[string]("large")
	for name, j := range map[string]job.Job{
		"body":    kind.New(strings.Repeat("x", 1000)),
		"headers": kind.New("", job.Header("novel", strings.Repeat("x", 64<<10))),
	} {
		// A good one beside it shows that nothing at all is sent.
		err := producer.New(conn, producer.Config{}).Enqueue(t.Context(), kind.New("good"), j)
		if !errors.Is(err, broker.ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", name, err)
		}
	}
	if n := conn.Status().Publish.Generation; n != 1 {
		t.Errorf("it took %d connections, want one", n)
	}
	dialRaw(t, url).empty(job.DefaultQueue)
}

// bystanders enqueues n jobs from several callers, while f sends what the server does not
// like and closes the channel over, and wants that none of them notices.
func bystanders(t *testing.T, conn *broker.Conn, n int, f func()) {
	t.Helper()
	kind := job.Define[numbered]("bystander", job.Queue("bystanders"))
	enqueue(t, conn, kind.New(numbered{n})) // declares the queue
	var worked tally
	w := newWorker(conn, 10)
	worker.Handle(w, kind, worked.work)
	start(t, w)
	var wg sync.WaitGroup
	produce(t, &wg, conn, kind, 0, n, 20)
	f()
	wg.Wait()
	eventually(t, "all bystanders' jobs", func() bool { return worked.worked() == n+1 })
	t.Logf("%d duplicates among %d bystanders", worked.duplicates(), n)
}

func TestServerRefusesLargeMessage(t *testing.T) {
	t.Parallel()
	conn := dial(t, private.URL(t))
	p := producer.New(conn, producer.Config{})
	kind := job.Define[string]("large")
	bystanders(t, conn, 2000, func() {
		for range 5 {
			err := p.Enqueue(t.Context(), kind.New(strings.Repeat("x", 2*serverMaxMessage)))
			if !errors.Is(err, broker.ErrTooLarge) || errors.Is(err, broker.ErrUnconfirmed) {
				t.Errorf("got %v, want ErrTooLarge", err)
			}
		}
	})
	if n := conn.Status().Publish.Generation; n != 1 {
		t.Errorf("it took %d connections, want one", n)
	}
}

func TestExchangeIsMissing(t *testing.T) {
	t.Parallel()
	conn := dial(t, rabbit.URL(t))
	bystanders(t, conn, 2000, func() {
		for i := range 5 {
			m := broker.Message{Exchange: "nowhere", ID: fmt.Sprint(i)}
			if err := conn.Publish(t.Context(), m); !errors.Is(err, broker.ErrUnroutable) {
				t.Errorf("got %v, want ErrUnroutable", err)
			}
		}
	})
}

func TestExchangeIsMissingForOneOfMany(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	enqueueNumbered(t, conn, job.Define[numbered]("first"), 1)
	ms := make([]broker.Message, 100)
	for i := range ms {
		ms[i] = broker.Message{Key: job.DefaultQueue, ID: fmt.Sprint(i)}
	}
	ms[50].Exchange = "nowhere"
	err := conn.Publish(t.Context(), ms...)
	if fs := broker.Failures(err); len(fs) != 1 || fs[0].ID != "50" || !errors.Is(err, broker.ErrUnroutable) {
		t.Errorf("got %v, want ErrUnroutable of message 50 alone", err)
	}
	got := map[string]bool{}
	r := dialRaw(t, url)
	eventually(t, "the others", func() bool {
		if m, ok := r.take(job.DefaultQueue); ok {
			got[m.ID] = true
		}
		return len(got) == len(ms) // the first job, and all but one
	})
}

func TestQueueIsDeletedBetweenTwoJobs(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := producer.New(dial(t, url), producer.Config{})
	kind := job.Define[numbered]("deleted")
	r := dialRaw(t, url)
	for i := range 3 {
		if err := p.Enqueue(t.Context(), kind.New(numbered{i}), kind.New(numbered{i})); err != nil {
			t.Fatal(err)
		}
		eventually(t, "both jobs", func() bool { return r.ready(job.DefaultQueue) == 2 })
		r.delete(job.DefaultQueue)
	}
}

// What was declared is declared again on a new connection, also beside something that
// somebody else has made anew with other properties.
func TestDeclaredAgainBesideAConflict(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProxy(t, url)
	conn := dial(t, p.url)
	if err := conn.Declare(t.Context(), topology.Join(topology.Work("", "first"), topology.Work("", "second"))); err != nil {
		t.Fatal(err)
	}
	r := dialRaw(t, url)
	r.delete("first")
	r.delete("second")
	r.declare("first") // a classic one
	p.cut()
	eventually(t, "the other queue", func() bool { return r.exists("second") })
}

// The server closes the whole connection over it, each time that it is tried.
func TestDeclareOfWhatClosesTheConnection(t *testing.T) {
	t.Parallel()
	conn := dial(t, rabbit.URL(t))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := conn.Declare(ctx, topology.Topology{Exchanges: []topology.Exchange{{Name: "odd", Kind: "x-of-a-plugin"}}})
	if e, ok := errors.AsType[*broker.DeclareError](err); !ok || ctx.Err() != nil || e.Object != "exchange odd x-of-a-plugin" {
		t.Errorf("got %v, want a DeclareError of it before the context's end", err)
	}
	if n := conn.Status().Publish.Generation; n > 4 {
		t.Errorf("it took %d connections", n)
	}
}

func TestDeclareConflict(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	dialRaw(t, url).declare(job.DefaultQueue)
	kind := job.Define[numbered]("conflict")

	w := newWorker(conn, 1)
	worker.Handle(w, kind, new(tally).work)
	_, done := run(t, w)
	for name, err := range map[string]error{
		"Enqueue": producer.New(conn, producer.Config{}).Enqueue(t.Context(), kind.New(numbered{})),
		"Run":     receive(t, "the end of Run", done),
	} {
		d, ok := errors.AsType[*broker.DeclareError](err)
		if !ok || !strings.HasPrefix(d.Object, "queue default ") {
			t.Errorf("%s: got %v, want a DeclareError of queue default", name, err)
			continue
		}
		for _, word := range []string{"x-queue-type", "topology.Existing()"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: got %q, want %q in it", name, err, word)
			}
		}
	}
}
