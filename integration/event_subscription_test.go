package integration_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
	amqp "github.com/rabbitmq/amqp091-go"
)

// retrying is a worker of one handler at a time that makes three attempts.
func retrying(t *testing.T, url string) *worker.Worker {
	t.Helper()
	return worker.New(dial(t, url), worker.Config{Concurrency: 1, Retry: soon, Logger: quiet})
}

// Witness is a handler that keeps what it can know of its events.
type witness struct {
	mu     sync.Mutex
	events []event.Event
	probed bool // by an event with the key probe, which is not among events
	// fail, if set, decides what a call returns.
	fail func(attempt int) error
}

func (w *witness) handle(ctx context.Context, _ numbered) error {
	e, ok := event.From(ctx)
	if !ok {
		return retry.Permanent(errors.New("there is no event in the context"))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if e.Key != "probe" {
		w.events = append(w.events, e)
	}
	w.probed = w.probed || e.Key == "probe"
	if w.fail != nil {
		return w.fail(e.Attempt)
	}
	return nil
}

// attempts are those of all events so far.
func (w *witness) attempts() (all []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		all = append(all, e.Attempt)
	}
	return all
}

// An event is the same in all subscriptions and in all attempts; what one subscription makes
// of it is not the others' concern.
func TestOneEventInSeveralSubscriptions(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	fine, failing, hopeless, passing := &witness{}, &witness{}, &witness{}, &witness{}
	failing.fail = failTwice()
	hopeless.fail = func(int) error { return errBoom }
	w := retrying(t, url)
	event.Subscribe(w, devices, event.Durable("fine", event.On("kernel.#")), fine.handle)
	event.Subscribe(w, devices, event.Durable("failing", event.On("kernel.*"), event.On("*.info")), failing.handle)
	event.Subscribe(w, devices, event.Durable("hopeless", event.On("kernel.info")), hopeless.handle)
	event.Subscribe(w, devices, event.Temporary(event.On("kernel.*"), event.On("probe")), passing.handle)
	stop := start(t, w)
	p := newProducer(t, url)
	eventually(t, "the temporary subscription", func() bool {
		publish(t, p, devices, numbered{}, event.Key("probe"))
		passing.mu.Lock()
		defer passing.mu.Unlock()
		return passing.probed
	})
	r := dialRaw(t, url)
	for _, queue := range []string{"fine", "failing", "hopeless"} {
		r.awaitConsumer(queue)
	}
	began := time.Now().Truncate(time.Second)
	publish(t, p, devices, numbered{1}, event.Key("kernel.info"), event.Header("tenant", "acme"), event.ID("row-1"))
	m := r.await(topology.DeadQueue("hopeless"))
	all := []*witness{fine, failing, hopeless, passing}
	attempts := [][]int{{1}, {1, 2, 3}, {1, 2, 3}, {1}}
	eventually(t, "all attempts", func() bool {
		return !slices.ContainsFunc([]int{0, 1, 2, 3}, func(i int) bool { return len(all[i].attempts()) < len(attempts[i]) })
	})
	stop()
	for i, want := range attempts {
		if got := all[i].attempts(); !slices.Equal(got, want) {
			t.Errorf("subscription %d: got attempts %v, want %v", i, got, want)
		}
		for _, e := range all[i].events {
			if e.ID != "row-1" || e.Topic != "devices" || e.Exchange != "devices" || e.Key != "kernel.info" || e.PublishedAt.Before(began) {
				t.Errorf("subscription %d: got %+v, want the event as it was published", i, e)
			}
			if want := map[string]any{"tenant": "acme"}; !maps.Equal(e.Headers, want) {
				t.Errorf("subscription %d: got headers %v, want %v", i, e.Headers, want)
			}
		}
	}
	checkDead(t, m, job.Exhausted, "boom")
	if m.ID != "row-1" || m.Headers["errand-exchange"] != "devices" || m.Headers["errand-key"] != "kernel.info" || m.Headers["errand-attempt"] != int64(3) {
		t.Errorf("got %+v put aside, want the event and where it was published", m)
	}
	r.empty("fine", "failing", "hopeless", topology.DeadQueue("fine"), topology.DeadQueue("failing"), topology.DeadQueue("hopeless"),
		topology.Namespace("").Parked())
}

func TestWorkersOfOneNameShareAndOfTwoNamesDoNot(t *testing.T) {
	t.Parallel()
	const events = 400
	url := rabbit.URL(t)
	tallies := make([]tally, 4)
	for i, queue := range []string{"shared", "shared", "alone"} {
		w := newWorker(dial(t, url), 2)
		event.Subscribe(w, news, event.Durable(queue), tallies[i].work)
		if queue == "alone" {
			event.Subscribe(w, news, event.Durable("second"), tallies[3].work)
		}
		start(t, w)
	}
	r := dialRaw(t, url)
	r.awaitConsumer("alone")
	r.awaitConsumer("second")
	eventually(t, "two workers of shared", func() bool { return r.exists("shared") && r.consumers("shared") == 2 })
	p := newProducer(t, url)
	var jobs []job.Job
	for n := range events {
		jobs = append(jobs, news.New(numbered{n}, event.Mandatory()))
	}
	if err := p.Enqueue(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
	one, two := &tallies[0], &tallies[1]
	eventually(t, "all events", func() bool {
		return one.worked()+two.worked() >= events && tallies[2].worked() == events && tallies[3].worked() == events
	})
	if one.worked() == 0 || two.worked() == 0 || one.worked()+two.worked() != events {
		t.Errorf("shared: got %d and %d events, want %d in all and some each", one.worked(), two.worked(), events)
	}
	for i := range tallies {
		if n := tallies[i].duplicates(); n > 0 {
			t.Errorf("worker %d: %d events came twice", i, n)
		}
	}
}

func TestEventsAreKeptWhileTheWorkersAreAway(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	declareOnly(t, url, news, "audit")
	p := newProducer(t, url)
	for n := range 20 {
		publish(t, p, news, numbered{n}, event.Mandatory())
	}
	var heard tally
	w := newWorker(dial(t, url), 4)
	event.Subscribe(w, news, event.Durable("audit"), heard.work)
	stop := start(t, w)
	eventually(t, "all events", func() bool { return heard.worked() == 20 })
	stop()
	dialRaw(t, url).empty("audit")
}

// A durable subscription has its bindings again when its queue was deleted.
func TestSubscriptionIsMadeAgain(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	var ears ears
	w := newWorker(dial(t, url), 1)
	event.Subscribe(w, devices, event.Durable("audit", event.On("a"), event.On("b")), ears.on("audit"))
	start(t, w)
	ears.await(t, p, devices, event.Key("a"))
	dialRaw(t, url).delete("audit")
	for n, k := range []string{"a", "b"} {
		eventually(t, "an event with key "+k, func() bool {
			publish(t, p, devices, numbered{n}, event.Key(k))
			return slices.Contains(ears.heard("audit"), n)
		})
	}
}

// What an earlier release has asked for is taken away, and nothing else.
func TestFormerFilters(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	labelled := event.Define[numbered]("labelled", event.Exchange("labels", event.Headers))
	old, kept := event.All(map[string]any{"release": 1}), event.Any(map[string]any{"release": 2, "kept": nil})
	declareOnly(t, url, devices, "audit", event.On("old.*"), event.On("kept.*"))
	declareOnly(t, url, devices, "others", event.On("others.*"), event.On("old.others"))
	declareOnly(t, url, labelled, "labels", old, kept)
	publish(t, p, devices, numbered{1}, event.Key("old.a"), event.Mandatory())
	publish(t, p, labelled, numbered{1}, event.Header("release", 1), event.Mandatory())

	for range 2 { // to remove what is gone is no mistake
		declareOnly(t, url, devices, "audit", event.On("kept.*"), event.On("new.*"), event.Former(event.On("old.*")), event.Former(event.On("never.#")))
		declareOnly(t, url, labelled, "labels", kept, event.Former(old))
		unmatched(t, p, devices, event.Key("old.a"))
		unmatched(t, p, labelled, event.Header("release", 1))
	}
	for _, k := range []string{"kept.a", "new.a", "old.others"} {
		publish(t, p, devices, numbered{2}, event.Key(k), event.Mandatory())
	}
	publish(t, p, labelled, numbered{2}, event.Header("release", 2), event.Mandatory())
	// What was in the queue before stays there: declareOnly's worker has worked the rest.
	r := dialRaw(t, url)
	for queue, want := range map[string]int{"audit": 2, "others": 1, "labels": 1} {
		for range want {
			if m := r.await(queue); string(m.Body) != `{"N":2}` {
				t.Errorf("queue %s: got %s, want a later event", queue, m.Body)
			}
		}
		r.empty(queue)
	}
}

var (
	placed    = event.Define[numbered]("order.placed", event.Exchange("shop", event.Pattern))
	cancelled = event.Define[string]("order.cancelled", event.Exchange("shop", event.Pattern))
	lost      = event.Define[string]("order.lost", event.Exchange("shop", event.Pattern))
)

// Two topics on one exchange come to one queue, each to its handler. One that has none there
// is put aside, as an unknown kind of job is.
func TestTopicsShareExchangeAndSubscription(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	numbers, texts := make(chan int, 1), make(chan string, 1)
	w := retrying(t, url)
	event.Subscribe(w, placed, event.Durable("shop", event.On("eu.*")), func(_ context.Context, n numbered) error { numbers <- n.N; return nil })
	event.Subscribe(w, cancelled, event.Durable("shop", event.On("us.*")), func(_ context.Context, s string) error { texts <- s; return nil })
	stop := start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer("shop")
	// The queue has the bindings of both; which handler it is says the topic, not the key.
	publish(t, p, placed, numbered{7}, event.Key("us.ca"), event.Mandatory())
	publish(t, p, cancelled, "seven", event.Key("eu.de"), event.Mandatory())
	publish(t, p, lost, "!", event.Key("eu.de"), event.Mandatory())
	if n := receive(t, "an order", numbers); n != 7 {
		t.Errorf("got order %d, want 7", n)
	}
	if s := receive(t, "a cancellation", texts); s != "seven" {
		t.Errorf("got %q, want seven", s)
	}
	checkDead(t, r.await(topology.DeadQueue("shop")), job.UnknownKind, `worker: no handler for kind "order.lost" on queue "shop"`)
	stop()
	r.empty("shop", topology.DeadQueue("shop"))
}

// emit publishes to an exchange as programs do that know nothing of errand.
func (r *raw) emit(exchange, key string, m amqp.Publishing) {
	r.t.Helper()
	r.must(func(ch *amqp.Channel) error { return ch.Publish(exchange, key, true, false, m) })
}

// A message without a type is for the only topic that there is. Where there are two it is
// nobody's.
func TestUntypedEvents(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	r := dialRaw(t, url)
	single, lonely := &witness{fail: failTwice()}, &witness{}
	w := retrying(t, url)
	event.Subscribe(w, placed, event.Durable("one", event.On("#")), single.handle)
	event.Subscribe(w, placed, event.Durable("two", event.On("#")), lonely.handle)
	event.Subscribe(w, cancelled, event.Durable("two", event.On("#")), func(context.Context, string) error { return nil })
	stop := start(t, w)
	r.awaitConsumer("one")
	r.awaitConsumer("two")
	r.emit("shop", "eu.de", amqp.Publishing{Body: []byte(`{"N":7}`), Headers: amqp.Table{"tenant": "acme"}})
	m := r.await(topology.DeadQueue("two"))
	checkDead(t, m, job.Malformed, "job: malformed message: no type")
	if m.Headers["errand-exchange"] != "shop" || m.Headers["errand-key"] != "eu.de" || m.Headers["tenant"] != "acme" {
		t.Errorf("got headers %v put aside, want where it was published", m.Headers)
	}
	eventually(t, "the third attempt", func() bool { return len(single.attempts()) == 3 })
	stop()
	for i, e := range single.events {
		if e.ID == "" || e.ID != single.events[0].ID || e.Topic != "order.placed" || e.Exchange != "shop" || e.Key != "eu.de" || e.Attempt != i+1 {
			t.Errorf("attempt %d: got %+v, want the same event", i+1, e)
		}
	}
	if n := len(lonely.attempts()); n > 0 {
		t.Errorf("a message of no type was worked %d times where there are two", n)
	}
	r.empty("one", topology.DeadQueue("one"))
}

func failTwice() func(attempt int) error {
	return func(attempt int) error {
		if attempt < 3 {
			return errBoom
		}
		return nil
	}
}

// Whatever a foreign message says of itself, it is put aside or worked, and the worker goes on.
func TestHostileEvents(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	var heard tally
	w := retrying(t, url)
	event.Subscribe(w, news, event.Durable("audit"), heard.work)
	start(t, w)
	r := dialRaw(t, url)
	r.awaitConsumer("audit")
	body := []byte(`{"N":1}`)
	hostile := []amqp.Publishing{
		{Body: []byte("{")},
		{Body: body, Type: "another"},
		{Body: body, ContentType: "text/plain"},
		{Body: body, Headers: amqp.Table{"errand-exchange": int64(1)}},
		{Body: body, Headers: amqp.Table{"errand-group": "g"}},
		{Body: body, Headers: amqp.Table{"errand-group": "g", "errand-group-size": int64(1),
			"errand-group-then": amqp.Table{"id": "g", "type": "t", "queue": "errand.jobs"}}},
		{Body: body, Headers: amqp.Table{"errand-attempt": "many"}},
	}
	for _, m := range hostile {
		r.emit("news", "", m)
	}
	good := []amqp.Publishing{
		{Body: []byte(`{"N":2}`), Headers: exotic()},
		{Body: []byte(`{"N":3}`), Headers: amqp.Table{"errand-exchange": "elsewhere", "errand-key": strings.Repeat("k", 1000)}},
		{Body: []byte(`{"N":4}`), Headers: forgedDeath("audit", "news")},
	}
	for _, m := range good {
		r.emit("news", "", m)
	}
	eventually(t, "the good ones", func() bool { return heard.has(2) && heard.has(3) && heard.has(4) })
	eventually(t, "the others put aside", func() bool { return w.Stats().Dead == int64(len(hostile)) })
	if heard.has(1) {
		t.Error("a hostile event was worked")
	}
}

// A subscription to an exchange of another namespace's application is no job of either.
func TestNamespacesOfSubscribers(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	orders := event.Define[numbered]("orders", event.Exchange("shop.orders", event.Fanout))
	one := &witness{fail: failTwice()}
	w := worker.New(conn, worker.Config{Namespace: "shop", Retry: soon, Logger: quiet})
	event.Subscribe(w, orders, event.Durable("audit"), one.handle)
	stop := start(t, w)
	dialRaw(t, url).awaitConsumer("audit")
	publish(t, newProducer(t, url), orders, numbered{1}, event.Key("k"), event.Mandatory())
	eventually(t, "three attempts", func() bool { return len(one.attempts()) == 3 })
	stop()
	for _, e := range one.events {
		if e.Exchange != "shop.orders" || e.Key != "k" {
			t.Errorf("attempt %d: got exchange %q and key %q, want shop.orders and k", e.Attempt, e.Exchange, e.Key)
		}
	}
}
