package event_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/group"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

type note struct{ Text string }

var (
	noted  = event.Define[note]("noted", event.Exchange("notes", event.Pattern))
	erased = event.Define[note]("erased", event.Exchange("notes", event.Pattern))
)

// inMemory calls f in a bubble with a broker, a producer and a worker.
func inMemory(t *testing.T, cfg worker.Config, f func(t *testing.T, b *jobtest.Broker, p *producer.Producer, w *worker.Worker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := jobtest.NewBroker(t)
		p := producer.New(b, producer.Config{})
		cfg.Logger = slog.New(slog.DiscardHandler)
		if cfg.Retry == nil {
			cfg.Retry = retry.Exponential{Initial: time.Minute, Attempts: 5}
		}
		f(t, b, p, worker.New(b, cfg))
	})
}

func ignore(context.Context, note) error { return nil }

// publishRaw publishes what somebody without errand would, to the exchange of noted.
func publishRaw(t *testing.T, b *jobtest.Broker, m broker.Message) {
	t.Helper()
	m.Exchange, m.Key = "notes", "public.x"
	if err := b.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// Whoever may publish events must not be able to have a worker enqueue what it likes.
func TestEventIsNoMemberOfAGroup(t *testing.T) {
	evil := job.Define[note]("drop.tables", job.Queue("admin"))
	e := &jobtest.Recorder{}
	cfg := worker.Config{Middleware: []worker.Middleware{group.Count(group.NewMemory(), e)}}
	inMemory(t, cfg, func(t *testing.T, b *jobtest.Broker, _ *producer.Producer, w *worker.Worker) {
		event.Subscribe(w, noted, event.Durable("q", event.On("#")), ignore)
		jobtest.Drain(t, b, w)
		member := job.Define[note](noted.Name(), job.Queue("q"))
		publishRaw(t, b, job.Group(evil.New(note{}), member.New(note{}))[0].Message())
		if got := jobtest.Drain(t, b, w); len(got) != 1 || got[0].Outcome != worker.Done {
			t.Errorf("got %+v, want the event to be worked as one", got)
		}
		if jobs := e.Jobs(); len(jobs) != 0 {
			t.Errorf("an outsider's event had %v enqueued", jobs)
		}
	})
}

func TestHeadersDoNotSayWhereAnEventWasPublished(t *testing.T) {
	inMemory(t, worker.Config{}, func(t *testing.T, b *jobtest.Broker, _ *producer.Producer, w *worker.Worker) {
		var got event.Event
		event.Subscribe(w, noted, event.Durable("q", event.On("#")), func(ctx context.Context, _ note) error {
			got, _ = event.From(ctx)
			return nil
		})
		jobtest.Drain(t, b, w)
		publishRaw(t, b, broker.Message{ID: "1", Body: []byte(`{}`), Headers: map[string]any{"errand-exchange": "audit", "errand-key": "admin.root"}})
		jobtest.Drain(t, b, w)
		if got.Exchange != "notes" || got.Key != "public.x" {
			t.Errorf("got exchange %q, key %q, want where it was published", got.Exchange, got.Key)
		}
	})
}

// A retry declares the queue again. It must not take away what another topic of the
// subscription asks for.
func TestRetryUnbindsNothingThatAnotherTopicWants(t *testing.T) {
	inMemory(t, worker.Config{}, func(t *testing.T, b *jobtest.Broker, p *producer.Producer, w *worker.Worker) {
		event.Subscribe(w, noted, event.Durable("q", event.On("note.made"), event.Former(event.On("note.*"))), func(context.Context, note) error {
			return errors.New("boom")
		})
		event.Subscribe(w, erased, event.Durable("q", event.On("note.*")), ignore)
		jobtest.Drain(t, b, w)
		if err := noted.Publish(t.Context(), p, note{}, event.Key("note.made")); err != nil {
			t.Fatal(err)
		}
		if got := jobtest.Drain(t, b, w); len(got) != 1 || got[0].Outcome != worker.Retried {
			t.Fatalf("got %+v, want a retry", got)
		}
		if err := erased.Publish(t.Context(), p, note{}, event.Key("note.erased"), event.Mandatory()); err != nil {
			t.Errorf("after the retry: %v", err)
		}
	})
}

func TestOneExchangeOfTwoRoutings(t *testing.T) {
	all := event.Define[note]("all", event.Exchange("notes", event.Fanout))
	inMemory(t, worker.Config{}, func(t *testing.T, _ *jobtest.Broker, p *producer.Producer, _ *worker.Worker) {
		if err := all.Publish(t.Context(), p, note{}); err != nil {
			t.Fatal(err)
		}
		err := noted.Publish(t.Context(), p, note{}, event.Key("a"))
		if _, ok := errors.AsType[*broker.DeclareError](err); !ok {
			t.Errorf("got %v, want a DeclareError: it would be routed to everybody", err)
		}
	})
}

// What an event can't be made into now it can't be made into later.
func TestInvalidStepsArePutAside(t *testing.T) {
	kind := job.Define[note]("kind", job.Queue("k"))
	large := event.Job(kind, func(note) note { return note{string(make([]byte, 40<<10))} })
	inMemory(t, worker.Config{}, func(t *testing.T, b *jobtest.Broker, p *producer.Producer, w *worker.Worker) {
		event.Subscribe(w, noted, event.Durable("q", event.On("#")), event.EnqueueGroup(p, large, event.Job(kind, func(n note) note { return n })))
		jobtest.Drain(t, b, w)
		if err := noted.Publish(t.Context(), p, note{}, event.Key("a")); err != nil {
			t.Fatal(err)
		}
		if got := jobtest.Drain(t, b, w); len(got) != 1 || got[0].Outcome != worker.Dead || !errors.Is(got[0].Err, job.ErrInvalid) {
			t.Errorf("got %+v, want it put aside as invalid", got)
		}
	})
}

// Two events of one ID, of two topics, make jobs of two IDs.
func TestDerivedIDsDifferByTopic(t *testing.T) {
	kind := job.Define[note]("kind", job.Queue("k"))
	inMemory(t, worker.Config{}, func(t *testing.T, b *jobtest.Broker, p *producer.Producer, w *worker.Worker) {
		step := event.Job(kind, func(n note) note { return n })
		event.Subscribe(w, noted, event.Durable("q", event.On("a")), event.Enqueue(p, step))
		event.Subscribe(w, erased, event.Durable("q", event.On("b")), event.Enqueue(p, step))
		jobtest.Drain(t, b, w)
		first := noted.New(note{"a"}, event.Key("a"), event.ID("42"))
		second := erased.New(note{"b"}, event.Key("b"), event.ID("42"))
		if err := p.Enqueue(t.Context(), first, second); err != nil {
			t.Fatal(err)
		}
		jobtest.Drain(t, b, w)
		jobs := jobtest.Enqueued(t, b, kind)
		if len(jobs) != 2 || jobs[0].ID == jobs[1].ID {
			t.Errorf("got %+v, want two jobs of two IDs", jobs)
		}
	})
}

func TestMemberWithoutAnIDIsMalformed(t *testing.T) {
	member, then := job.Define[note]("member", job.Queue("q")), job.Define[note]("then", job.Queue("q"))
	inMemory(t, worker.Config{}, func(t *testing.T, b *jobtest.Broker, _ *producer.Producer, w *worker.Worker) {
		worker.Handle(w, member, ignore)
		m := job.Group(then.New(note{}), member.New(note{}))[0].Message()
		m.ID = ""
		d := broker.NewDelivery(t.Context(), "q", m, answered{})
		if got := w.Work(d); got.Outcome != worker.Dead || !errors.Is(got.Err, job.ErrMalformed) {
			t.Errorf("got %+v, want it put aside: each delivery of it would count as another member", got)
		}
		jobtest.WantDead(t, b, member, note{})
	})
}

type answered struct{}

func (answered) Answer(*broker.Delivery, broker.Verdict) error { return nil }
