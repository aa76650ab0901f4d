package topology_test

import (
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
