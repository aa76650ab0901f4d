package topology_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/errandq/errand/topology"
)

// from is a subscription to an exchange of that kind, by bindings of the queue.
func from(exchange, kind string, bs ...topology.Binding) topology.Option {
	for i := range bs {
		bs[i].Source = exchange
	}
	return topology.From(topology.Topology{Exchanges: []topology.Exchange{{Name: exchange, Kind: kind}}, Bindings: bs})
}

func byKeys(keys ...string) (bs []topology.Binding) {
	for _, key := range keys {
		bs = append(bs, topology.Binding{Key: key})
	}
	return bs
}

func TestDeclarationsOfSubscriptions(t *testing.T) {
	t.Parallel()
	labels := []topology.Binding{
		{Args: map[string]any{"x-match": "all", "device": "kernel", "severity": "error"}},
		{Args: map[string]any{"x-match": "any", "urgent": nil, "level": 3}},
	}
	former := topology.From(topology.Topology{Unbind: []topology.Binding{{Source: "devices", Key: "old.*"}}})
	for name, opts := range map[string][]topology.Option{
		"fanout":            {from("news", "fanout", topology.Binding{})},
		"direct":            {from("severities", "direct", byKeys("error", "critical")...)},
		"topic":             {from("devices", "topic", byKeys("kernel.*", "#.critical")...)},
		"headers":           {from("labels", "headers", labels...)},
		"former":            {from("devices", "topic", byKeys("kernel.*")...), former},
		"two-exchanges":     {from("news", "fanout", topology.Binding{}), from("devices", "topic", byKeys("#")...)},
		"temporary":         {from("devices", "topic", byKeys("kernel.*", "#.critical")...), topology.Temporary()},
		"existing-exchange": {topology.From(topology.Topology{Bindings: []topology.Binding{{Source: "amq.topic", Key: "#"}}})},
		"existing-queue":    {from("news", "fanout", topology.Binding{}), topology.Existing(), topology.Retries()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, topology.Work("", "audit", opts...).String())
		})
	}
}

// Beside what it takes from elsewhere a subscription's queue is a job queue like any other.
func TestSubscriptionIsAJobQueue(t *testing.T) {
	t.Parallel()
	plain := topology.Work("shop", "audit")
	subscription := topology.Work("shop", "audit", from("news", "fanout", topology.Binding{}))
	if both := topology.Join(subscription, plain); both.String() != subscription.String() {
		t.Errorf("a subscription declares\n%s\nwant all of\n%s", subscription, plain)
	}
	more := strings.Count(subscription.String(), "\n") - strings.Count(plain.String(), "\n")
	if more != 2 {
		t.Errorf("a subscription declares\n%s\nwant an exchange and a binding more than\n%s", subscription, plain)
	}
	if !slices.EqualFunc(subscription.Queues, plain.Queues, func(a, b topology.Queue) bool { return a.String() == b.String() }) {
		t.Errorf("got queues %v, want %v", subscription.Queues, plain.Queues)
	}
}

func TestTemporaryDeclaresNoQueue(t *testing.T) {
	t.Parallel()
	if got := topology.Work("", "any", topology.Temporary()); !got.IsZero() {
		t.Errorf("got\n%s\nwant nothing", got)
	}
	got := topology.Work("", "any", topology.Temporary(), from("news", "fanout", topology.Binding{}))
	if len(got.Queues) > 0 || len(got.Bindings) != 1 || got.Bindings[0].Destination != "" {
		t.Errorf("got\n%s\nwant an exchange, and a binding of whichever queue it will be", got)
	}
}

// The bindings that have no destination are the queue's; others are left as they are, and so
// is what the caller has given.
func TestFromLeavesItsArgumentAlone(t *testing.T) {
	t.Parallel()
	given := topology.Topology{
		Exchanges: []topology.Exchange{{Name: "in", Kind: "fanout"}, {Name: "out", Kind: "topic"}},
		Bindings:  []topology.Binding{{Source: "in", Destination: "out", ToExchange: true}, {Source: "out", Key: "#"}},
		Unbind:    []topology.Binding{{Source: "out", Key: "old"}},
	}
	before := given.String()
	option := topology.From(given)
	for _, queue := range []string{"a", "b"} {
		got := topology.Work("", queue, option).String()
		for _, want := range []string{
			`bind in "" -> exchange out`, `bind out "#" -> queue ` + queue, `unbind out "old" -> queue ` + queue,
		} {
			if !strings.Contains(got, want+"\n") {
				t.Errorf("queue %s: got\n%s\nwant also\n%s", queue, got, want)
			}
		}
	}
	if given.String() != before {
		t.Errorf("it has become\n%s\nwant\n%s", given, before)
	}
}

func TestOptionsOfSubscriptions(t *testing.T) {
	t.Parallel()
	news := from("news", "fanout", topology.Binding{})
	type answers struct{ temporary, others, existing, retries bool }
	tests := []struct {
		name string
		opts []topology.Option
		want answers
	}{
		{"none", nil, answers{retries: true}},
		{"from nothing", []topology.Option{topology.From(topology.Topology{})}, answers{retries: true}},
		{"durable", []topology.Option{news}, answers{others: true, retries: true}},
		{"temporary", []topology.Option{topology.Temporary()}, answers{temporary: true}},
		{"temporary from an exchange", []topology.Option{topology.Temporary(), news}, answers{temporary: true, others: true}},
		{"temporary with retries", []topology.Option{topology.Retries(), topology.Temporary()}, answers{temporary: true}},
		{"existing", []topology.Option{topology.Existing()}, answers{others: true, existing: true}},
		{"existing from an exchange, with retries", []topology.Option{topology.Existing(), news, topology.Retries()},
			answers{others: true, existing: true, retries: true}},
	}
	for _, test := range tests {
		got := answers{topology.IsTemporary(test.opts...), topology.IsOthers(test.opts...),
			topology.IsExisting(test.opts...), topology.HasRetries(test.opts...)}
		if got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}
