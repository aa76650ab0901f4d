package event_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

var (
	news     = event.Define[order]("news")
	direct   = event.Define[order]("direct", event.Exchange("severities", event.Direct))
	pattern  = event.Define[order]("pattern", event.Exchange("devices", event.Pattern))
	headers  = event.Define[order]("headers", event.Exchange("labels", event.Headers))
	severity = map[string]any{"severity": "error"}
)

func TestMistakesInSubscriptions(t *testing.T) {
	t.Parallel()
	const asksForNothing, wrongFilter = "it asks for nothing", "Direct and Pattern take On, Headers takes All and Any"
	tests := []struct {
		name         string
		topic        event.Topic[order]
		subscription event.Subscription
		want         string
	}{
		{"zero", news, event.Subscription{}, "a queue's name is empty"},
		{"durable without a name", news, event.Durable(""), "a queue's name is empty"},
		{"long name", news, event.Durable(strings.Repeat("q", 181)), "181 bytes, at most 180"},
		{"wildcard in the name", news, event.Durable("q.#"), "* and # are not allowed"},
		{"name of errand's", news, event.Durable("errand.parked"), "reserved"},
		{"fanout with a key", news, event.Durable("q", event.On("a")), "a Fanout exchange has no filters"},
		{"fanout with headers", news, event.Temporary(event.All(severity)), "a Fanout exchange has no filters"},
		{"fanout with a former filter", news, event.Durable("q", event.Former(event.On("a"))), "a Fanout exchange has no filters"},
		{"direct without a key", direct, event.Durable("q"), asksForNothing},
		{"temporary without a pattern", pattern, event.Temporary(), asksForNothing},
		{"headers without any", headers, event.Durable("q"), asksForNothing},
		{"nothing but former filters", pattern, event.Durable("q", event.Former(event.On("a"))), asksForNothing},
		{"headers on a direct exchange", direct, event.Durable("q", event.All(severity)), wrongFilter},
		{"headers on a topic exchange", pattern, event.Durable("q", event.On("a"), event.Any(severity)), wrongFilter},
		{"a key on a headers exchange", headers, event.Durable("q", event.On("a")), wrongFilter},
		{"a zero filter", headers, event.Durable("q", event.Filter{}), wrongFilter},
		{"a zero filter on a direct exchange", direct, event.Durable("q", event.Filter{}), emptyKey},
		{"all of no headers", headers, event.Durable("q", event.All(nil)), "no headers are named"},
		{"any of no headers", headers, event.Temporary(event.Any(map[string]any{})), "no headers are named"},
		{"another x-match", headers, event.Durable("q", event.All(map[string]any{"a": 1, "x-match": "any"})), `header "x-match": RabbitMQ does not look at`},
		{"a hidden header", headers, event.Durable("q", event.Any(map[string]any{"x-tenant": 1})), `header "x-tenant": RabbitMQ does not look at`},
		{"a header of no type of AMQP", headers, event.Durable("q", event.All(map[string]any{"n": uint64(1)})), "a uint64 has no form in an AMQP header"},
		{"a header of a long name", headers, event.Durable("q", event.All(map[string]any{strings.Repeat("n", 256): 1})), "AMQP allows 255"},
		{"former and temporary", pattern, event.Temporary(event.On("a"), event.Former(event.On("b"))), "a temporary subscription has no former filters"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := subscribeError(t, test.topic, test.subscription)
			checkError(t, "Run", err, test.want, test.topic.Name())
			if !errors.Is(err, event.ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

// What a subscription declares is what a job queue bound to the exchange does.
func TestDeclarationsOfSubscriptions(t *testing.T) {
	t.Parallel()
	from := func(x topology.Exchange, bs ...topology.Binding) topology.Option {
		return topology.From(topology.Topology{Exchanges: []topology.Exchange{x}, Bindings: bs})
	}
	devices := topology.Exchange{Name: "devices", Kind: "topic"}
	labels := topology.Exchange{Name: "labels", Kind: "headers"}
	former := topology.From(topology.Topology{Unbind: []topology.Binding{{Source: "devices", Key: "old.*"}}})
	tests := []struct {
		name         string
		topic        event.Topic[order]
		subscription event.Subscription
		want         topology.Topology
	}{
		{"fanout", news, event.Durable("q"),
			topology.Work("", "q", from(topology.Exchange{Name: "news", Kind: "fanout"}, topology.Binding{Source: "news"}))},
		{"direct", direct, event.Durable("q", event.On("error"), event.On("*")),
			topology.Work("", "q", from(topology.Exchange{Name: "severities", Kind: "direct"},
				topology.Binding{Source: "severities", Key: "error"}, topology.Binding{Source: "severities", Key: "*"}))},
		{"pattern, former, twice the same", pattern, event.Durable("q", event.On("#"), event.Former(event.On("old.*")), event.On("#")),
			topology.Work("", "q", from(devices, topology.Binding{Source: "devices", Key: "#"}), former)},
		{"former and wanted", pattern, event.Durable("q", event.On("a"), event.Former(event.On("a"))),
			topology.Work("", "q", from(devices, topology.Binding{Source: "devices", Key: "a"}))},
		{"headers", headers, event.Durable("q", event.All(severity), event.Any(map[string]any{"a": nil, "b": 2})),
			topology.Work("", "q", from(labels,
				topology.Binding{Source: "labels", Args: map[string]any{"x-match": "all", "severity": "error"}},
				topology.Binding{Source: "labels", Args: map[string]any{"x-match": "any", "a": nil, "b": 2}}))},
		{"the same text and number", headers, event.Durable("q", event.All(map[string]any{"v": "1"}), event.All(map[string]any{"v": 1})),
			topology.Work("", "q", from(labels,
				topology.Binding{Source: "labels", Args: map[string]any{"x-match": "all", "v": "1"}},
				topology.Binding{Source: "labels", Args: map[string]any{"x-match": "all", "v": 1}}))},
		{"temporary", pattern, event.Temporary(event.On("a"), event.On("b")),
			topology.Topology{Exchanges: []topology.Exchange{devices},
				Bindings: []topology.Binding{{Source: "devices", Key: "a"}, {Source: "devices", Key: "b"}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			subs := runBriefly(t, func(w *worker.Worker) { event.Subscribe(w, test.topic, test.subscription, nothing) })
			if len(subs) != 1 {
				t.Fatalf("got %d subscriptions, want one", len(subs))
			}
			if got := subs[0].Topology; got.String() != test.want.String() {
				t.Errorf("declared\n%s\nwant\n%s", got, test.want)
			}
			if want := strings.TrimPrefix(test.name, "temporary"); (subs[0].Queue == "") != (want == "") {
				t.Errorf("consumes queue %q", subs[0].Queue)
			}
		})
	}
}

// What a topic says that its subscriptions consist of is what their workers declare.
func TestTopologyOfSubscriptions(t *testing.T) {
	t.Parallel()
	all := []event.Subscription{
		event.Durable("a", event.On("#")), event.Temporary(event.On("b")), event.Durable("c", event.On("d"), event.Former(event.On("e"))),
	}
	got, err := pattern.Topology("", all...)
	if err != nil {
		t.Fatal(err)
	}
	want := topology.Topology{Exchanges: []topology.Exchange{{Name: "devices", Kind: "topic"}}}
	for _, s := range []event.Subscription{all[0], all[2]} {
		subs := runBriefly(t, func(w *worker.Worker) { event.Subscribe(w, pattern, s, nothing) })
		want = topology.Join(want, subs[0].Topology)
	}
	if got.String() != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := pattern.Topology("", all[1]); err != nil || got.String() != "exchange devices topic\n" {
		t.Errorf("of a temporary one: got\n%s%v, want the exchange alone", got, err)
	}
	if got, err := pattern.Topology("shop", all[0]); err != nil || !strings.Contains(got.String(), "bind shop.due ") || strings.Contains(got.String(), "errand.") {
		t.Errorf("in another namespace: got\n%s%v, want nothing of errand's", got, err)
	}
	_, err = pattern.Topology("", all[0], event.Durable("q", event.On("")))
	checkError(t, "a bad subscription", err, emptyKey)
	_, err = (event.Topic[order]{}).Topology("", all[0])
	checkError(t, "a bad topic", err, "use event.Define")
}

// Filters are values: who changes the map afterwards changes nothing.
func TestFiltersKeepTheirHeaders(t *testing.T) {
	t.Parallel()
	mine := map[string]any{"a": 1}
	s := event.Durable("q", event.All(mine))
	mine["a"], mine["b"] = 2, 3
	subs := runBriefly(t, func(w *worker.Worker) { event.Subscribe(w, headers, s, nothing) })
	if got, want := subs[0].Topology.String(), `bind labels "" a=1 x-match=all -> queue q`; !strings.Contains(got, want) {
		t.Errorf("declared\n%swant\n%s", got, want)
	}
	if len(mine) != 2 {
		t.Errorf("the caller's map has become %v", mine)
	}
}

func TestTopicsThatShareASubscription(t *testing.T) {
	t.Parallel()
	paid := event.Define[order]("paid", event.Exchange("devices", event.Pattern))
	subs := runBriefly(t, func(w *worker.Worker) {
		event.Subscribe(w, pattern, event.Durable("q", event.On("a"), event.Former(event.On("b"))), nothing)
		event.Subscribe(w, paid, event.Durable("q", event.On("b")), nothing)
		event.Subscribe(w, news, event.Durable("q"), nothing)
	})
	if len(subs) != 1 {
		t.Fatalf("got %d subscriptions, want one", len(subs))
	}
	got := subs[0].Topology.String()
	for _, want := range []string{`bind devices "a" -> queue q`, `bind devices "b" -> queue q`, `bind news "" -> queue q`} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("declared\n%swant also\n%s", got, want)
		}
	}
	if strings.Contains(got, "unbind") {
		t.Errorf("declared\n%swant nothing removed that another topic asks for", got)
	}
}

// Each temporary subscription is one of its own, also to the same topic in one worker, and to
// exchanges whose names no queue could have.
func TestSeveralTemporarySubscriptions(t *testing.T) {
	t.Parallel()
	builtIn := event.Define[order]("t", event.Exchange("amq.fanout", event.Fanout), event.Existing())
	odd := event.Define[order]("odd", event.Exchange("#"+strings.Repeat("x", 254), event.Fanout))
	subs := runBriefly(t, func(w *worker.Worker) {
		for _, topic := range []event.Topic[order]{news, news, builtIn, odd} {
			event.Subscribe(w, topic, event.Temporary(), nothing)
		}
	})
	if len(subs) != 4 {
		t.Errorf("got %d subscriptions, want 4", len(subs))
	}
	for _, s := range subs {
		if s.Queue != "" {
			t.Errorf("consumes queue %q, want one that the server names", s.Queue)
		}
	}
}

func TestSubscribePanics(t *testing.T) {
	t.Parallel()
	for name, subscribe := range map[string]func(w *worker.Worker){
		`nil handler for kind "news"`: func(w *worker.Worker) { event.Subscribe(w, news, event.Durable("q"), nil) },
		`two handlers for kind "news" on queue "q"`: func(w *worker.Worker) {
			event.Subscribe(w, news, event.Durable("q"), nothing)
			event.Subscribe(w, news, event.Durable("q"), nothing)
		},
	} {
		func() {
			defer func() {
				if v := recover(); !strings.Contains(fmt.Sprint(v), name) {
					t.Errorf("panicked with %v, want %s", v, name)
				}
			}()
			subscribe(worker.New(&fakeBroker{}, worker.Config{Logger: quiet}))
		}()
	}
}

func TestFrom(t *testing.T) {
	t.Parallel()
	if e, ok := event.From(t.Context()); ok || !reflect.DeepEqual(e, event.Event{}) {
		t.Errorf("outside of a handler: got %+v, %v, want none", e, ok)
	}
	j := pattern.New(order{}, event.Key("a.b"), event.Header("tenant", "acme"), event.ID("row-1"))
	want := event.Event{ID: "row-1", Topic: "pattern", Subscription: "q", Exchange: "devices", Key: "a.b",
		Headers: map[string]any{"tenant": "acme"}, PublishedAt: j.CreatedAt, Attempt: 1}
	m := j.Message()
	m.Exchange, m.Key = j.Exchange, j.Key
	if got := received(t, m); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	again := j.On("q")
	again.Attempt = 3
	want.Attempt = 3
	m = again.Message()
	m.Exchange, m.Key = "errand.due", "0.1.q"
	if got := received(t, m); !reflect.DeepEqual(got, want) {
		t.Errorf("in a retry: got %+v, want %+v", got, want)
	}
}

// What comes from others has what it has, and whatever headers it claims, none reach the
// handler that are not the event's.
func TestFromOfForeignMessages(t *testing.T) {
	t.Parallel()
	got := received(t, broker.Message{Exchange: "devices", Key: "a", Body: []byte(`{}`)})
	if got.ID == "" || got.Topic != "pattern" || got.Exchange != "devices" || got.Key != "a" || !got.PublishedAt.IsZero() || got.Attempt != 1 {
		t.Errorf("got %+v, want the topic and a new ID", got)
	}
	straight := received(t, broker.Message{Exchange: "", Key: "q", Body: []byte(`{}`)})
	if straight.Exchange != "" || straight.Key != "" {
		t.Errorf("got exchange %q and key %q of what was sent straight to the queue, want none", straight.Exchange, straight.Key)
	}
	similar := received(t, broker.Message{Exchange: "errand.jobs.of.mine", Key: "k", Body: []byte(`{}`)})
	if similar.Exchange != "errand.jobs.of.mine" || similar.Key != "k" {
		t.Errorf("got exchange %q and key %q, want those of an exchange that is not errand's", similar.Exchange, similar.Key)
	}
}

// received is the event that the handler of a subscription to pattern sees when m arrives.
func received(t *testing.T, m broker.Message) event.Event {
	t.Helper()
	got := make(chan event.Event, 1)
	deliver(t, m, func(w *worker.Worker) {
		event.Subscribe(w, pattern, event.Durable("q", event.On("#")), func(ctx context.Context, _ order) error {
			e, ok := event.From(ctx)
			if !ok {
				t.Error("there is no event in the handler's context")
			}
			got <- e
			return nil
		})
	})
	select {
	case e := <-got:
		return e
	default:
		t.Fatalf("no event reached the handler of %+v", m)
		panic("unreachable")
	}
}

// A retry goes to the subscription's queue, never to the exchange, and says where the event
// came from.
func TestRetryAddress(t *testing.T) {
	t.Parallel()
	j := pattern.New(order{}, event.Key("a.b"), event.ID("row-1"))
	m := j.Message()
	m.Exchange, m.Key = j.Exchange, j.Key
	f := deliver(t, m, func(w *worker.Worker) {
		event.Subscribe(w, pattern, event.Durable("q", event.On("#")), func(context.Context, order) error {
			return errors.New("not yet")
		}, worker.Retry(retry.Steps{time.Millisecond}))
	})
	copied := f.sent(t)
	if copied.ID != "row-1" || !strings.HasSuffix(copied.Key, ".q") || copied.Optional || !topology.Namespace("").Owns(copied.Exchange) {
		t.Errorf("got %+v, want a copy for the queue alone", copied)
	}
	if copied.Headers["errand-exchange"] != "devices" || copied.Headers["errand-key"] != "a.b" {
		t.Errorf("got headers %v, want where it was published", copied.Headers)
	}
	got, err := job.Parse(copied)
	if err != nil || got.Exchange != "devices" || got.Key != "a.b" || got.Attempt != 2 {
		t.Errorf("parsed as %+v, %v", got, err)
	}
}
