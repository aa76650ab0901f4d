package integration_test

import (
	"context"
	"slices"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A temporary subscription is gone with its worker, and nothing is kept for it.
func TestTemporarySubscriptionEnds(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	var ears ears
	conn := dial(t, url)
	w := newWorker(conn, 1)
	event.Subscribe(w, devices, event.Temporary(event.On("a"), event.On("b")), ears.on("one"))
	event.Subscribe(w, devices, event.Temporary(event.On("a")), ears.on("two"))
	stop := start(t, w)
	ears.await(t, p, devices, event.Key("a"))
	publish(t, p, devices, numbered{1}, event.Key("b"), event.Mandatory())
	publish(t, p, devices, numbered{2}, event.Key("a"), event.Mandatory())
	eventually(t, "both", func() bool { return ears.all(2) })
	if one, two := ears.heard("one"), ears.heard("two"); !slices.Equal(one, []int{1, 2}) || !slices.Equal(two, []int{2}) {
		t.Errorf("got events %v and %v, want 1, 2 and 2", one, two)
	}
	stop() // the connection is still there
	eventually(t, "the end of the queues", func() bool {
		err := devices.Publish(t.Context(), p, numbered{3}, event.Key("a"), event.Mandatory())
		return err != nil
	})
	unmatched(t, p, devices, event.Key("a"))

	again := newWorker(conn, 1)
	event.Subscribe(again, devices, event.Temporary(event.On("a")), ears.on("again"))
	start(t, again)
	eventually(t, "the new subscription", func() bool {
		publish(t, p, devices, numbered{4}, event.Key("a"))
		return slices.Contains(ears.heard("again"), 4)
	})
	if got := ears.heard("again"); slices.Contains(got, 3) {
		t.Errorf("got %v, want nothing of the time before", got)
	}
}

// It is made again, with all its bindings, when the server has closed its connection or has
// deleted its exchange.
func TestTemporarySubscriptionIsMadeAgain(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	labelled := event.Define[numbered]("labelled", event.Exchange("labels", event.Headers))
	var ears ears
	w := newWorker(dial(t, url), 1)
	event.Subscribe(w, devices, event.Temporary(event.On("a.*"), event.On("b")), ears.on("devices"))
	event.Subscribe(w, labelled, event.Temporary(event.All(map[string]any{"x": 1}), event.Any(map[string]any{"y": nil})), ears.on("labels"))
	event.Subscribe(w, news, event.Temporary(), ears.on("news"))
	start(t, w)
	n := 0
	reached := func(name string, topic event.Topic[numbered], opts ...event.PublishOption) {
		t.Helper()
		n++
		eventually(t, name, func() bool {
			publish(t, p, topic, numbered{n}, opts...)
			return slices.Contains(ears.heard(name), n)
		})
	}
	all := func() {
		t.Helper()
		reached("devices", devices, event.Key("a.x"))
		reached("devices", devices, event.Key("b"))
		reached("labels", labelled, event.Header("x", 1))
		reached("labels", labelled, event.Header("y", "z"))
		reached("news", news)
	}
	all()
	for range 2 {
		if err := rabbit.Server(t).CloseConnections(t.Context(), "for a test", url); err != nil {
			t.Fatal(err)
		}
		all()
	}
	dialRaw(t, url).must(func(ch *amqp.Channel) error { return ch.ExchangeDelete("devices", false, false) })
	if err := rabbit.Server(t).CloseConnections(t.Context(), "for a test", url); err != nil {
		t.Fatal(err)
	}
	all()
}

// What happens while the network is down is not seen, and what comes later is.
func TestTemporarySubscriptionMissesAnOutage(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p, proxy := newProducer(t, url), newProxy(t, url)
	var ears ears
	w := newWorker(dialWith(t, proxy.url, broker.Config{}), 1)
	event.Subscribe(w, news, event.Temporary(), ears.on("news"))
	start(t, w)
	ears.await(t, p, news)
	proxy.setDown(true)
	eventually(t, "the end of the queue", func() bool {
		return news.Publish(t.Context(), p, numbered{probe}, event.Mandatory()) != nil
	})
	publish(t, p, news, numbered{1})
	unmatched(t, p, news)
	proxy.setDown(false)
	eventually(t, "an event after the outage", func() bool {
		publish(t, p, news, numbered{2})
		return slices.Contains(ears.heard("news"), 2)
	})
	if got := ears.heard("news"); slices.Contains(got, 1) {
		t.Errorf("got %v, want nothing of the outage", got)
	}
}

// An event that can't be worked is dropped and counted. There is no retry, no copy, and no
// queue where one could be.
func TestTemporarySubscriptionDropsWhatFails(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProducer(t, url)
	log, book := newLog()
	w := worker.New(dial(t, url), worker.Config{Concurrency: 1, Retry: soon, Logger: log})
	var ears ears
	hear := ears.on("news")
	event.Subscribe(w, news, event.Temporary(), func(ctx context.Context, n numbered) error {
		if err := hear(ctx, n); err != nil || n.N == probe {
			return err
		}
		switch n.N {
		case 1:
			return errBoom
		case 2:
			return retry.Permanent(errBoom)
		case 3:
			return worker.Snooze(0)
		case 4:
			panic("ouch")
		}
		return nil
	})
	stop := start(t, w)
	ears.await(t, p, news)
	r := dialRaw(t, url)
	for n := 1; n <= 4; n++ {
		publish(t, p, news, numbered{n}, event.ID("dropped"), event.Mandatory())
	}
	r.emit("news", "", amqp.Publishing{Body: []byte("{")})
	r.emit("news", "", amqp.Publishing{Body: []byte("{}"), Type: "another"})
	publish(t, p, news, numbered{5}, event.Mandatory())
	eventually(t, "the last event", func() bool { return slices.Contains(ears.heard("news"), 5) })
	stop()
	if got := ears.heard("news"); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Errorf("got events %v, want each once", got)
	}
	if s := w.Stats(); s.Dropped != 6 || s.Dead != 0 || s.Retried != 0 || s.Snoozed != 0 || s.Panicked != 1 {
		t.Errorf("got %+v, want six dropped and no copy", s)
	}
	if lines := book.lines("level=ERROR", "job dropped", "job=dropped", "kind=news"); len(lines) != 4 {
		t.Errorf("got log lines %q, want one for each that its handler failed", lines)
	}
	if parked := topology.Namespace("").Parked(); r.exists(parked) {
		t.Errorf("there is a queue %s, and nothing that could come into it", parked)
	}
}
