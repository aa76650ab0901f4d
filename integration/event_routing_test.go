package integration_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/errandq/errand/event"
)

// A route is a subscription's filters, and the numbers of the events that it takes.
type route struct {
	name    string
	filters []event.Filter
	want    []int
}

// A routed exchange is tried with the events 0, 1, 2, …, each with its options. The last of
// them is one that each subscription takes.
type routed struct {
	topic  event.Topic[numbered]
	events [][]event.PublishOption
	routes []route
}

func key(k string) []event.PublishOption { return []event.PublishOption{event.Key(k)} }

func labels(pairs map[string]any) (opts []event.PublishOption) {
	for name, value := range pairs {
		opts = append(opts, event.Header(name, value))
	}
	return opts
}

var exchanges = map[string]routed{
	"fanout": {
		topic:  event.Define[numbered]("fanout"),
		events: [][]event.PublishOption{nil, key("any.key"), labels(map[string]any{"x": 1})},
		routes: []route{{"a", nil, []int{0, 1, 2}}, {"b", nil, []int{0, 1, 2}}},
	},
	"direct": {
		topic:  event.Define[numbered]("direct", event.Exchange("severities", event.Direct)),
		events: [][]event.PublishOption{key("error"), key("warning"), key("info"), key("*"), key("err.or"), key("end")},
		routes: []route{
			{"error", []event.Filter{event.On("error")}, []int{0}},
			{"error, warning", []event.Filter{event.On("error"), event.On("warning"), event.On("error")}, []int{0, 1}},
			{"no wildcards here", []event.Filter{event.On("*"), event.On("#")}, []int{3}},
			{"nothing of this", []event.Filter{event.On("debug")}, nil},
		},
	},
	"pattern": {
		topic: event.Define[numbered]("pattern", event.Exchange("devices", event.Pattern)),
		events: [][]event.PublishOption{
			key("kernel"), key("kernel.critical"), key("cron.critical"), key("kernel.disk.critical"),
			key("logs.devices.kernel.notice"), key("cron.info"), key("end"),
		},
		routes: []route{
			{"kernel, one word", []event.Filter{event.On("kernel.*")}, []int{1}},
			{"kernel, all", []event.Filter{event.On("kernel.#")}, []int{0, 1, 3}},
			{"critical", []event.Filter{event.On("#.critical")}, []int{1, 2, 3}},
			{"in the midst", []event.Filter{event.On("*.*.kernel.*"), event.On("#.devices.#")}, []int{4}},
			{"all", []event.Filter{event.On("#"), event.On("kernel.*"), event.On("*.critical")}, []int{0, 1, 2, 3, 4, 5}},
			{"several patterns", []event.Filter{event.On("kernel.*"), event.On("*.critical"), event.On("cron.info")}, []int{1, 2, 5}},
			{"a very key", []event.Filter{event.On("cron.info")}, []int{5}},
			{"two words", []event.Filter{event.On("*.*")}, []int{1, 2, 5}},
		},
	},
	"headers": {
		topic: event.Define[numbered]("headers", event.Exchange("labels", event.Headers)),
		events: [][]event.PublishOption{
			labels(map[string]any{"device": "kernel", "severity": "error"}),
			labels(map[string]any{"device": "kernel", "severity": "info", "urgent": false}),
			labels(map[string]any{"device": "cron", "severity": "error", "level": 3}),
			labels(map[string]any{"level": int32(3), "urgent": "yes"}),
			labels(map[string]any{"level": "3"}),
			key("no.headers"),
			labels(map[string]any{"end": true}),
		},
		routes: []route{
			{"all", []event.Filter{event.All(map[string]any{"device": "kernel", "severity": "error"})}, []int{0}},
			{"any", []event.Filter{event.Any(map[string]any{"device": "kernel", "severity": "error"})}, []int{0, 1, 2}},
			{"a number", []event.Filter{event.All(map[string]any{"level": 3})}, []int{2, 3}},
			{"a number or its text", []event.Filter{event.All(map[string]any{"level": int64(3)}), event.All(map[string]any{"level": "3"})}, []int{2, 3, 4}},
			{"there, whatever it says", []event.Filter{event.All(map[string]any{"urgent": nil})}, []int{1, 3}},
			{"two filters", []event.Filter{event.All(map[string]any{"device": "cron"}), event.Any(map[string]any{"urgent": "yes", "level": "3"})}, []int{2, 3, 4}},
			{"nothing of this", []event.Filter{event.All(map[string]any{"device": "kernel", "level": 3})}, nil},
		},
	},
}

// end are the options of an event that each subscription of x takes, if it has endFilter.
func (x routed) end() []event.PublishOption { return x.events[len(x.events)-1] }

// endFilter is a filter for the last event, or none where all events come.
func endFilter(routing string) []event.Filter {
	switch routing {
	case "direct", "pattern":
		return []event.Filter{event.On("end")}
	case "headers":
		return []event.Filter{event.All(map[string]any{"end": true})}
	}
	return nil
}

// Each subscription gets what one of its filters takes, once and in order, whether it is
// durable or temporary.
func TestEventsAreRouted(t *testing.T) {
	t.Parallel()
	for name, x := range exchanges {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			w := newWorker(dial(t, url), 1)
			var ears ears
			for i, r := range x.routes {
				filters := slices.Concat(r.filters, endFilter(name))
				event.Subscribe(w, x.topic, event.Durable(fmt.Sprint("durable-", i), filters...), ears.on("durable "+r.name))
				event.Subscribe(w, x.topic, event.Temporary(filters...), ears.on("temporary "+r.name))
			}
			start(t, w)
			p := newProducer(t, url)
			ears.await(t, p, x.topic, x.end()...)
			for n, opts := range x.events {
				publish(t, p, x.topic, numbered{n}, opts...)
			}
			last := len(x.events) - 1
			eventually(t, "the last event in each subscription", func() bool { return ears.all(last) })
			for _, r := range x.routes {
				want := slices.Compact(append(slices.Clone(r.want), last))
				for _, kind := range []string{"durable ", "temporary "} {
					if got := ears.heard(kind + r.name); !slices.Equal(got, want) {
						t.Errorf("%s%s: got events %v, want %v", kind, r.name, got, want)
					}
				}
			}
		})
	}
}
