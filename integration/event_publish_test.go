package integration_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	news    = event.Define[numbered]("news")
	devices = event.Define[numbered]("devices", event.Exchange("devices", event.Pattern))
)

// within is a context that ends long before the test does: what hangs is told from what waits.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// declareOnly makes a subscription's queue, and leaves no worker at it.
func declareOnly[T any](t *testing.T, url string, topic event.Topic[T], queue string, filters ...event.Filter) {
	t.Helper()
	w := newWorker(dial(t, url), 1)
	event.Subscribe(w, topic, event.Durable(queue, filters...), func(context.Context, T) error { return nil })
	stop := start(t, w)
	dialRaw(t, url).awaitConsumer(queue)
	stop()
}

// unmatched wants that an event that must be heard is not.
func unmatched(t *testing.T, p *producer.Producer, topic event.Topic[numbered], opts ...event.PublishOption) {
	t.Helper()
	err := topic.Publish(t.Context(), p, numbered{}, append(opts, event.Mandatory())...)
	if !errors.Is(err, event.ErrUnmatched) || !strings.HasPrefix(err.Error(), "event: publish: ") {
		t.Errorf("got %v, want ErrUnmatched", err)
	}
}

func TestEventThatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	publish(t, p, news, numbered{1})
	publish(t, p, devices, numbered{1}, event.Key("cron.info"))
	unmatched(t, p, news)
	unmatched(t, p, devices, event.Key("cron.info"))

	declareOnly(t, url, news, "audit")
	declareOnly(t, url, devices, "kernel", event.On("kernel.*"))
	publish(t, p, news, numbered{2}, event.Mandatory())
	publish(t, p, devices, numbered{3}, event.Mandatory(), event.Key("kernel.info"))
	unmatched(t, p, devices, event.Key("cron.info"))
	r := dialRaw(t, url)
	for queue, want := range map[string]string{"audit": `{"N":2}`, "kernel": `{"N":3}`} {
		if m := r.await(queue); string(m.Body) != want {
			t.Errorf("queue %s: got %s, want %s", queue, m.Body, want)
		}
		r.empty(queue)
	}
}

// An exchange that somebody has deleted is made again by the next event. Its bindings are the
// subscribers' to make, which they do when they connect again.
func TestExchangeIsDeletedBetweenTwoEvents(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p, r := newProducer(t, url), dialRaw(t, url)
	var ears ears
	w := newWorker(dial(t, url), 1)
	event.Subscribe(w, devices, event.Durable("audit", event.On("#")), ears.on("durable"))
	event.Subscribe(w, devices, event.Temporary(event.On("#")), ears.on("temporary"))
	start(t, w)
	ears.await(t, p, devices, event.Key("k"))

	r.must(func(ch *amqp.Channel) error { return ch.ExchangeDelete("devices", false, false) })
	ship := job.Define[numbered]("ship", job.Queue("ship"))
	// What goes out with the event is not harmed by it.
	if err := p.Enqueue(within(t, patience), ship.New(numbered{7}), devices.New(numbered{1}, event.Key("k")), ship.New(numbered{8})); err != nil {
		t.Errorf("got %v, want no error: an event that nobody takes is none", err)
	}
	r.must(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclarePassive("devices", "topic", true, false, false, false, nil)
	})
	unmatched(t, p, devices, event.Key("k"))
	// They may come twice: their channel was closed over the event before they were confirmed.
	for seven, eight := false, false; !seven || !eight; {
		body := string(r.await("ship").Body)
		seven, eight = seven || body == `{"N":7}`, eight || body == `{"N":8}`
	}

	if err := rabbit.Server(t).CloseConnections(t.Context(), "for the bindings", url); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both subscriptions hear again", func() bool {
		publish(t, p, devices, numbered{2}, event.Key("k"))
		return ears.all(2)
	})
}

// An exchange that is gone before a subscription comes is no loss: the event finds it made
// again, with the binding.
func TestExchangeIsDeletedBeforeASubscription(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p, r := newProducer(t, url), dialRaw(t, url)
	publish(t, p, news, numbered{1})
	r.must(func(ch *amqp.Channel) error { return ch.ExchangeDelete("news", false, false) })
	declareOnly(t, url, news, "audit")
	publish(t, p, news, numbered{2}, event.Mandatory())
	if m := r.await("audit"); string(m.Body) != `{"N":2}` {
		t.Errorf("got %s, want the second event", m.Body)
	}
}

// Events and jobs of one call are confirmed together, and the one that fails is named.
func TestEventsAndJobsInOneCall(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	declareOnly(t, url, devices, "audit", event.On("kernel.#"))
	ship := job.Define[numbered]("ship", job.Queue("ship"))
	var jobs []job.Job
	for n := range 300 {
		jobs = append(jobs, devices.New(numbered{n}, event.Key("kernel.info")), ship.New(numbered{n}),
			devices.New(numbered{n}, event.Key("cron.info")), news.New(numbered{n}))
	}
	loud := devices.New(numbered{}, event.Key("cron.loud"), event.Mandatory(), event.ID("loud"))
	err := p.Enqueue(t.Context(), slices.Insert(jobs, 500, loud)...)
	failures := broker.Failures(err)
	if !errors.Is(err, event.ErrUnmatched) || len(failures) != 1 || failures[0].ID != "loud" || failures[0].Key != "cron.loud" {
		t.Errorf("got %v, want ErrUnmatched of the one that must be heard", err)
	}
	r := dialRaw(t, url)
	for _, queue := range []string{"audit", "ship"} {
		eventually(t, "300 messages in "+queue, func() bool { return r.ready(queue) >= 300 })
		if n := r.ready(queue); n != 300 {
			t.Errorf("queue %s: got %d messages, want 300", queue, n)
		}
	}
}

// RabbitMQ's own exchanges are used as they are, and one that is missing is told at once.
func TestExchangesOfOthers(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	builtIn := event.Define[numbered]("built-in", event.Exchange("amq.topic", event.Pattern), event.Existing())
	var ears ears
	w := newWorker(dial(t, url), 1)
	event.Subscribe(w, builtIn, event.Durable("audit", event.On("a.#")), ears.on("durable"))
	event.Subscribe(w, builtIn, event.Temporary(event.On("a.#")), ears.on("temporary"))
	start(t, w)
	ears.await(t, p, builtIn, event.Key("a.b"))

	missing := event.Define[numbered]("missing", event.Exchange("missing", event.Direct), event.Existing())
	if err := missing.Publish(within(t, patience), p, numbered{}, event.Key("k")); !errors.Is(err, broker.ErrUnroutable) || !strings.Contains(err.Error(), "no exchange 'missing'") {
		t.Errorf("Publish: got %v, want that there is no such exchange", err)
	}
	for name, s := range map[string]event.Subscription{
		"durable": event.Durable("q", event.On("k")), "temporary": event.Temporary(event.On("k")),
	} {
		w := newWorker(dial(t, url), 1)
		event.Subscribe(w, missing, s, ears.on("missing"))
		if err := w.Run(within(t, patience)); err == nil || !strings.Contains(err.Error(), "no exchange 'missing'") {
			t.Errorf("Run, %s: got %v, want that there is no such exchange", name, err)
		}
	}
}

// Whoever defines an exchange in another way than it is hears of it.
func TestExchangeOfAnotherType(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	dialRaw(t, url).must(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare("news", "topic", true, false, false, false, nil)
	})
	err := news.Publish(within(t, patience), newProducer(t, url), numbered{})
	checkConflict(t, "Publish", err)
	for name, s := range map[string]event.Subscription{"durable": event.Durable("q"), "temporary": event.Temporary()} {
		w := newWorker(dial(t, url), 1)
		event.Subscribe(w, news, s, new(ears).on("any"))
		checkConflict(t, "Run, "+name, w.Run(within(t, patience)))
	}
}

func checkConflict(t *testing.T, what string, err error) {
	t.Helper()
	conflict, ok := errors.AsType[*broker.DeclareError](err)
	if !ok || conflict.Object != "exchange news fanout" || !strings.Contains(err.Error(), "inequivalent arg 'type'") {
		t.Errorf("%s: got %v, want a DeclareError about the exchange's type", what, err)
	}
}

// An event that no server would take is a mistake, not something to try for ever.
func TestEventsThatCanNotBeSent(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	declareOnly(t, url, news, "audit")
	err := news.Publish(within(t, patience), p, numbered{}, event.Header("x", strings.Repeat("x", 64<<10)))
	if !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	err = news.Publish(within(t, patience), p, numbered{}, event.Header("x", uint64(1)))
	if !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
	publish(t, p, news, numbered{1}, event.Header("x", strings.Repeat("x", 60<<10)), event.Mandatory())
	dialRaw(t, url).await("audit")
}

// An event that has been to a subscription is enqueued again by hand as what it is there: a
// job of the subscription's queue.
func TestEventIsEnqueuedAgainFromItsHandler(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	p := producer.New(conn, producer.Config{})
	other := make(chan event.Event, 4)
	got := make(chan event.Event, 4)
	w := newWorker(conn, 1)
	keep := func(c chan<- event.Event) func(context.Context, numbered) error {
		return func(ctx context.Context, _ numbered) error {
			e, _ := event.From(ctx)
			c <- e
			if j, _ := worker.JobFrom(ctx); j.Queue == "audit" && len(c) == 1 {
				return p.Enqueue(ctx, j)
			}
			return nil
		}
	}
	event.Subscribe(w, devices, event.Durable("audit", event.On("#")), keep(got))
	event.Subscribe(w, devices, event.Durable("other", event.On("#")), keep(other))
	stop := start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer("audit")
	r.awaitConsumer("other")
	publish(t, p, devices, numbered{1}, event.Key("k"), event.ID("once"))
	eventually(t, "three handlers", func() bool { return w.Stats().Done == 3 })
	stop()
	if len(got) != 2 || len(other) != 1 {
		t.Fatalf("got %d events in the one and %d in the other, want 2 and 1", len(got), len(other))
	}
	first, second := <-got, <-got
	if first.ID != "once" || second.ID != "once" || second.Exchange != "devices" || second.Key != "k" {
		t.Errorf("got %+v and %+v, want the same event twice", first, second)
	}
	r.empty("audit", "other", topology.DeadQueue("audit"), topology.DeadQueue("other"))
}
