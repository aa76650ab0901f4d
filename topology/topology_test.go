package topology_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/topology"
)

func TestZeroTopology(t *testing.T) {
	t.Parallel()
	var zero topology.Topology
	if !zero.IsZero() || zero.String() != "" || !topology.Join().IsZero() || !topology.Join(zero, zero).IsZero() {
		t.Error("the zero Topology declares something")
	}
	for _, top := range []topology.Topology{
		{Exchanges: []topology.Exchange{{}}}, {Queues: []topology.Queue{{}}}, {Bindings: []topology.Binding{{}}},
		{Unbind: []topology.Binding{{}}},
	} {
		if top.IsZero() {
			t.Errorf("%+v declares nothing", top)
		}
	}
}

func TestJoinKeepsEachDeclarationOnceInOrder(t *testing.T) {
	t.Parallel()
	a, b := topology.Work("", "a"), topology.Work("", "b")
	joined := topology.Join(a, b, a, topology.Ladder("", time.Minute), b)
	lines := strings.Split(strings.TrimSpace(joined.String()), "\n")
	slices.Sort(lines)
	if once := slices.Compact(slices.Clone(lines)); len(once) != len(lines) {
		t.Errorf("something is declared twice:\n%s", joined)
	}
	for _, part := range []topology.Topology{a, b, topology.Ladder("", time.Minute)} {
		if again := topology.Join(joined, part); again.String() != joined.String() {
			t.Errorf("joined lacks something of\n%s", part)
		}
	}
	if got := topology.Join(a); got.String() != a.String() {
		t.Errorf("alone it becomes\n%s\nwant\n%s", got, a)
	}
}

func TestJoinTellsDeclarationsApart(t *testing.T) {
	t.Parallel()
	with := topology.Topology{Queues: []topology.Queue{{Name: "q", Args: map[string]any{"x-max-length": 1}}}}
	without := topology.Topology{Queues: []topology.Queue{{Name: "q"}}}
	if got := topology.Join(with, without); len(got.Queues) != 2 {
		t.Errorf("got\n%s\nwant both: that one can't be declared is RabbitMQ's to say", got)
	}
	toQueue := topology.Topology{Bindings: []topology.Binding{{Source: "x", Key: "k", Destination: "d"}}}
	toExchange := topology.Topology{Bindings: []topology.Binding{{Source: "x", Key: "k", Destination: "d", ToExchange: true}}}
	if got := topology.Join(toQueue, toExchange); len(got.Bindings) != 2 {
		t.Errorf("got\n%s\nwant both bindings", got)
	}
}

// A headers exchange finds the text "1" another value than the number.
func TestJoinTellsTypesOfArgumentsApart(t *testing.T) {
	t.Parallel()
	by := func(value any) topology.Topology {
		return topology.Topology{Bindings: []topology.Binding{{Source: "x", Args: map[string]any{"v": value}, Destination: "q"}}}
	}
	got := topology.Join(by("1"), by(1), by("1"), by(true), by("true"), by(nil), by("<nil>"))
	if len(got.Bindings) != 6 {
		t.Errorf("got\n%s\nwant six bindings", got)
	}
}

// Whatever somebody still asks for is not taken away, in whichever order it is said.
func TestJoinKeepsABindingThatIsWanted(t *testing.T) {
	t.Parallel()
	binding := topology.Binding{Source: "x", Key: "k", Destination: "q"}
	wanted := topology.Topology{Bindings: []topology.Binding{binding}}
	other := binding
	other.Key = "old"
	former := topology.Topology{Unbind: []topology.Binding{binding, other}}
	for _, got := range []topology.Topology{topology.Join(wanted, former), topology.Join(former, wanted), topology.Join(topology.Join(former, former), wanted)} {
		if got, want := got.String(), wanted.String()+"un"+other.String()+"\n"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	if len(former.Unbind) != 2 || former.Unbind[0].Key != "k" {
		t.Errorf("Join has changed its argument to\n%s", former)
	}
}

func TestJoinLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	a := topology.Work("", "a")
	before := a.String()
	joined := topology.Join(a)
	joined.Queues[0].Name = "changed"
	if a.String() != before {
		t.Errorf("it has become\n%s\nwant\n%s", a, before)
	}
}

func TestExchangesOfANamespace(t *testing.T) {
	t.Parallel()
	for _, ns := range []topology.Namespace{"", "shop"} {
		top := topology.Join(topology.Base(ns), topology.Ladder(ns, topology.MaxDelay))
		for _, x := range top.Exchanges {
			if !ns.Owns(x.Name) {
				t.Errorf("namespace %q: %s is its exchange, and not owned", ns, x.Name)
			}
		}
	}
	for _, name := range []string{"", "shop", "shop.", "shop.orders", "shop.jobs.failed", "errand.jobs", "shopping.jobs", "jobs", "amq.topic"} {
		if topology.Namespace("shop").Owns(name) {
			t.Errorf("namespace shop owns exchange %q, want it somebody else's", name)
		}
	}
}

func TestCheckExchange(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, want string }{
		{"a", ""},
		{"logs.* and #", ""},
		{"größe", ""},
		{"amqp", ""},
		{"errands", ""},
		{strings.Repeat("x", 255), ""},
		{"", "is empty"},
		{strings.Repeat("x", 256), "256 bytes, at most 255"},
		{"a\x00", "control characters"},
		{"\xc3", "not valid UTF-8"},
		{"amq.direct", "reserved"},
		{"errand.", "reserved"},
	}
	for _, test := range tests {
		err := topology.CheckExchange(test.name)
		if test.want == "" && err != nil {
			t.Errorf("exchange %q: got %v, want no error", test.name, err)
		}
		if test.want != "" && (!errors.Is(err, topology.ErrName) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("exchange %q: got %v, want ErrName with %q", test.name, err, test.want)
		}
	}
}

func TestQueueOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name              string
		opts              []topology.Option
		existing, retries bool
	}{
		{"none", nil, false, true},
		{"existing", []topology.Option{topology.Existing()}, true, false},
		{"existing with retries", []topology.Option{topology.Existing(), topology.Retries()}, true, true},
		{"the other way round", []topology.Option{topology.Retries(), topology.Existing()}, true, true},
		{"retries alone change nothing", []topology.Option{topology.Retries()}, false, true},
	}
	for _, test := range tests {
		if existing, retries := topology.IsExisting(test.opts...), topology.HasRetries(test.opts...); existing != test.existing || retries != test.retries {
			t.Errorf("%s: existing is %v, retries are %v, want %v, %v", test.name, existing, retries, test.existing, test.retries)
		}
	}
	if got, want := topology.Work("", "q", topology.Retries()), topology.Work("", "q"); got.String() != want.String() {
		t.Errorf("Retries without Existing declares\n%s\nwant\n%s", got, want)
	}
}

// Every queue dead-letters at least once, which RabbitMQ does only with reject-publish, and
// into an exchange that keeps what it can't route; and every queue names its type.
func TestEveryQueueIsSafe(t *testing.T) {
	t.Parallel()
	top := topology.Join(topology.Work("", "pdf"), topology.Ladder("", topology.MaxDelay))
	exchanges := map[string]topology.Exchange{}
	for _, x := range top.Exchanges {
		exchanges[x.Name] = x
	}
	for _, q := range top.Queues {
		if q.Args["x-queue-type"] != "quorum" || q.Args["x-delivery-limit"] == nil {
			t.Errorf("%v: want a quorum queue with a delivery limit", q)
		}
		to, letters := q.Args["x-dead-letter-exchange"].(string)
		if !letters {
			continue
		}
		if q.Args["x-dead-letter-strategy"] != "at-least-once" || q.Args["x-overflow"] != "reject-publish" {
			t.Errorf("%v: want dead letters at least once", q)
		}
		if _, declared := exchanges[to]; !declared {
			t.Errorf("%v: dead letters go to an exchange that is not declared", q)
		}
	}
}
