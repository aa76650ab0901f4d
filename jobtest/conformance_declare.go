package jobtest

import (
	"context"
	"errors"
	"strings"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func declareCases() []conformanceCase {
	return []conformanceCase{
		{"nothing", func(c *trial) { c.declare(topology.Topology{}) }},
		{"again", declareAgain},
		{"conflicting queue", conflictingQueue},
		{"conflicting exchange", conflictingExchange},
		{"conflict ends it", conflictEndsIt},
		{"arguments of the other type", argumentsOfTheOtherType},
		{"binding without ends", bindingWithoutEnds},
		{"binding twice", bindingTwice},
		{"unbind", unbind},
		{"predeclared exchanges", predeclaredExchanges},
		{"context over", declareContextOver},
	}
}

func declareAgain(c *trial) {
	t := topology.Join(topology.Work("", c.name("work")), topology.Requests(c.name("requests")))
	for range 2 {
		c.declare(t)
	}
}

// wantConflict wants a *broker.DeclareError about object.
func (c *trial) wantConflict(t topology.Topology, object string) {
	c.Helper()
	err := c.b.Declare(c.Context(), t)
	var e *broker.DeclareError
	if !errors.As(err, &e) {
		c.Fatalf("Declare of\n%vgot %v, want a *broker.DeclareError", t, err)
	}
	if e.Object != object {
		c.Errorf("Declare: the error is about %q, want %q", e.Object, object)
	}
}

func conflictingQueue(c *trial) {
	args := map[string]any{
		"x-queue-type": "quorum", "x-delivery-limit": 5, "x-message-ttl": 60_000, "x-max-length": 10,
		"x-dead-letter-exchange": "nowhere", "x-dead-letter-routing-key": "key", "x-overflow": "reject-publish",
		"x-dead-letter-strategy": "at-least-once", "x-expires": 600_000, "x-single-active-consumer": true,
		"x-max-length-bytes": 10_000,
	}
	name := c.name("queue")
	c.declare(topology.Topology{Queues: []topology.Queue{{Name: name, Args: args}}})
	for arg, other := range map[string]any{
		"x-delivery-limit": 6, "x-message-ttl": 60_001, "x-max-length": 11, "x-dead-letter-exchange": "elsewhere",
		"x-dead-letter-routing-key": "another", "x-dead-letter-strategy": "at-most-once", "x-expires": 600_001,
		"x-single-active-consumer": false, "x-max-length-bytes": 10_001, "x-overflow": "drop-head",
	} {
		for _, changed := range []any{other, nil} {
			q := topology.Queue{Name: name, Args: map[string]any{}}
			for k, v := range args {
				q.Args[k] = v
			}
			q.Args[arg] = changed
			if changed == nil {
				delete(q.Args, arg)
			}
			c.wantConflict(topology.Topology{Queues: []topology.Queue{q}}, q.String())
		}
	}
	c.holds(name)
}

func conflictingExchange(c *trial) {
	name := c.exchange("topic", map[string]any{"alternate-exchange": "elsewhere"})
	for _, x := range []topology.Exchange{
		{Name: name, Kind: "direct", Args: map[string]any{"alternate-exchange": "elsewhere"}},
		{Name: name, Kind: "topic", Args: map[string]any{"alternate-exchange": "nowhere"}},
		{Name: name, Kind: "topic"},
	} {
		c.wantConflict(topology.Topology{Exchanges: []topology.Exchange{x}}, x.String())
	}
}

// What comes before the conflict is made, and nothing behind it.
func conflictEndsIt(c *trial) {
	taken := c.queue("classic")
	before, behind := c.name("before"), c.name("behind")
	classic := map[string]any{"x-queue-type": "classic"}
	conflict := topology.Queue{Name: taken, Args: map[string]any{"x-queue-type": "quorum"}}
	c.wantConflict(topology.Topology{Queues: []topology.Queue{
		{Name: before, Args: classic}, conflict, {Name: behind, Args: classic},
	}}, conflict.String())
	c.fill(before, "here")
	c.refused(c.message(behind, "not here"), broker.ErrUnroutable)
}

func argumentsOfTheOtherType(c *trial) {
	for _, q := range []topology.Queue{
		{Name: c.name("queue"), Args: map[string]any{"x-queue-type": "quorum", "x-max-priority": 5}},
		{Name: c.name("queue"), Args: map[string]any{"x-queue-type": "classic", "x-delivery-limit": 5}},
		{Name: c.name("queue"), Args: map[string]any{"x-queue-type": "classic", "x-dead-letter-strategy": "at-least-once"}},
	} {
		c.wantConflict(topology.Topology{Queues: []topology.Queue{q}}, q.String())
	}
}

func bindingWithoutEnds(c *trial) {
	x, q := c.exchange("direct", nil), c.queue("classic")
	for _, b := range []topology.Binding{
		{Source: x, Key: "k", Destination: c.name("missing")},
		{Source: c.name("missing"), Key: "k", Destination: q},
		{Source: x, Key: "k", Destination: c.name("missing"), ToExchange: true},
		{Source: x, Key: "k", Destination: q, ToExchange: true},
	} {
		c.wantConflict(topology.Topology{Bindings: []topology.Binding{b}}, b.String())
	}
}

func bindingTwice(c *trial) {
	x, q := c.exchange("topic", nil), c.queue("classic")
	b := topology.Binding{Source: x, Key: "a.*", Destination: q}
	c.bind(b, b, topology.Binding{Source: x, Key: "*.b", Destination: q})
	c.bind(b)
	c.publish(c.to(x, "a.b", "once"))
	c.holds(q, "once")
}

func unbind(c *trial) {
	x, q := c.exchange("direct", nil), c.queue("classic")
	gone, stays := topology.Binding{Source: x, Key: "gone", Destination: q}, topology.Binding{Source: x, Key: "stays", Destination: q}
	c.bind(gone, stays)
	c.publish(c.to(x, "gone", "before"))
	for range 2 { // the second time there is nothing to remove
		c.declare(topology.Topology{Unbind: []topology.Binding{gone}})
	}
	c.refused(c.to(x, "gone", "after"), broker.ErrUnroutable)
	c.publish(c.to(x, "stays", "after"))
	c.declare(topology.Topology{Bindings: []topology.Binding{gone}, Unbind: []topology.Binding{gone}})
	c.refused(c.to(x, "gone", "at last"), broker.ErrUnroutable)
	c.holds(q, "before", "after")
}

func predeclaredExchanges(c *trial) {
	for name, kind := range map[string]string{
		"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
	} {
		m := c.to(name, c.name("key"), "nobody takes it")
		m.Optional = kind == "fanout" // somebody may
		if m.Optional {
			c.publish(m)
			continue
		}
		c.refused(m, broker.ErrUnroutable)
	}
}

func declareContextOver(c *trial) {
	ctx, cancel := context.WithCancelCause(c.Context())
	cancel(errOver)
	name := c.name("queue")
	err := c.b.Declare(ctx, topology.Topology{Queues: []topology.Queue{{Name: name}}})
	if !errors.Is(err, errOver) || !strings.Contains(err.Error(), errOver.Error()) {
		c.Errorf("Declare: got %v, want the cause of the context's end, %v", err, errOver)
	}
}
