package jobtest

import (
	"fmt"
	"slices"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func deadLetterCases() []conformanceCase {
	return slices.Concat(
		onBoth("rejected", deadRejected),
		onBoth("expired", deadExpired),
		onBoth("maxlen", deadMaxlen),
		onBoth("by another key", deadByAnotherKey),
		onBoth("by the old key", deadByTheOldKey),
		onBoth("circle", deadInACircle),
		onBoth("circle with a rejection", deadInARejectedCircle),
		[]conformanceCase{
			{"several deaths", severalDeaths},
			{"alternate exchange", deadToAnAlternate},
			{"exchange missing", deadWithoutExchange},
			{"at least once", deadAtLeastOnce},
			{"by the default exchange", deadByTheDefaultExchange},
		},
	)
}

// A deathLine is what all versions say in one line of x-death.
type deathLine struct {
	queue, reason string
	count         int64
}

func deathsOf(d *broker.Delivery) (lines []deathLine) {
	list, _ := d.Headers["x-death"].([]any)
	for _, v := range list {
		table, _ := v.(map[string]any)
		queue, _ := table["queue"].(string)
		reason, _ := table["reason"].(string)
		count, _ := table["count"].(int64)
		lines = append(lines, deathLine{queue, reason, count})
	}
	return lines
}

// wantDeath wants the one line of x-death of a message that died in q by way of exchange and key,
// and the headers that tell of the first death.
func (c *trial) wantDeath(d *broker.Delivery, q, reason, exchange, key string) {
	c.Helper()
	if got := deathsOf(d); len(got) != 1 || got[0] != (deathLine{q, reason, 1}) {
		c.Fatalf("x-death: got %v, want one death of %s in %s", got, reason, q)
	}
	line := d.Headers["x-death"].([]any)[0].(map[string]any)
	keys, _ := line["routing-keys"].([]any)
	at, _ := line["time"].(time.Time)
	if line["exchange"] != exchange || len(keys) != 1 || keys[0] != key || time.Since(at).Abs() > time.Hour {
		c.Errorf("x-death: got %v, want exchange %q, the key %q and the time", line, exchange, key)
	}
	for header, want := range map[string]string{
		"x-first-death-queue": q, "x-first-death-reason": reason, "x-first-death-exchange": exchange,
	} {
		if got := d.Headers[header]; got != want {
			c.Errorf("%s: got %v, want %q", header, got, want)
		}
	}
}

func deadRejected(c *trial, queueType string) {
	q, dead := c.withDead(queueType, nil)
	x := c.exchange("direct", nil)
	c.bind(topology.Binding{Source: x, Key: "k", Destination: q})
	m := c.to(x, "k", "a")
	m.Type, m.Headers, m.Priority = "the type", map[string]any{"h": "v"}, 2
	c.publish(m)
	i := c.take(q, 1)
	c.answer((*broker.Delivery).DeadLetter, i.next())
	d := c.take(dead, 1).next()
	c.wantDeath(d, q, "rejected", x, "k")
	if string(d.Body) != "a" || d.ID != m.ID || d.Type != m.Type || d.Headers["h"] != "v" || d.Priority != 2 {
		c.Errorf("the dead letter: got %+v, want it as it was published: %+v", d.Message, m)
	}
	// Whether its counts begin anew depends on the version, and on the types of both queues.
}

func deadExpired(c *trial, queueType string) {
	q, dead := c.withDead(queueType, nil)
	m := c.message(q, "a")
	m.Expiration = 50 * time.Millisecond
	c.publish(m)
	d := c.take(dead, 1).next()
	c.wantDeath(d, q, "expired", "", q)
	line := d.Headers["x-death"].([]any)[0].(map[string]any)
	if got := line["original-expiration"]; got != "50" {
		c.Errorf("original-expiration: got %v, want 50", got)
	}
}

func deadMaxlen(c *trial, queueType string) {
	q, dead := c.withDead(queueType, map[string]any{"x-max-length": 2})
	c.fill(q, "1", "2", "3")
	d := c.take(dead, 1).want("1")[0]
	c.wantDeath(d, q, "maxlen", "", q)
	i := c.take(q, 2)
	c.ack(i.want("2", "3")...)
}

func deadByAnotherKey(c *trial, queueType string) {
	x, dead := c.exchange("direct", nil), c.queue("classic")
	c.bind(topology.Binding{Source: x, Key: "dead", Destination: dead})
	q := c.queue(queueType, map[string]any{"x-dead-letter-exchange": x, "x-dead-letter-routing-key": "dead"})
	c.fill(q, "a")
	i := c.take(q, 1)
	c.answer((*broker.Delivery).DeadLetter, i.next())
	d := c.take(dead, 1).next()
	if d.Key != "dead" || d.Exchange != x {
		c.Errorf("the dead letter came from exchange %q by key %q, want %q, dead", d.Exchange, d.Key, x)
	}
	c.wantDeath(d, q, "rejected", "", q)
}

func deadByTheOldKey(c *trial, queueType string) {
	in, out, dead := c.exchange("direct", nil), c.exchange("topic", nil), c.queue("classic")
	q := c.queue(queueType, map[string]any{"x-dead-letter-exchange": out})
	c.bind(
		topology.Binding{Source: in, Key: "old.key", Destination: q},
		topology.Binding{Source: out, Key: "old.*", Destination: dead},
	)
	c.publish(c.to(in, "old.key", "a"))
	i := c.take(q, 1)
	c.answer((*broker.Delivery).DeadLetter, i.next())
	if d := c.take(dead, 1).next(); d.Key != "old.key" || d.Exchange != out {
		c.Errorf("the dead letter came from exchange %q by key %q, want %q, old.key", d.Exchange, d.Key, out)
	}
}

// A message that would come back to where it has expired is dropped, or it would go round for
// ever.
func deadInACircle(c *trial, queueType string) {
	x, copies := c.exchange("fanout", nil), c.queue("classic")
	q := c.queue(queueType, map[string]any{"x-message-ttl": 50, "x-dead-letter-exchange": x})
	c.bind(topology.Binding{Source: x, Destination: q}, topology.Binding{Source: x, Destination: copies})
	c.fill(q, "a")
	i := c.take(copies, 1)
	i.wantAnswered("a") // it has expired
	c.fill(q, "b")
	i.wantAnswered("b") // as long again
	i.stop()
	c.holds(copies)
}

// With a rejection in between somebody has seen it, and it may go round.
func deadInARejectedCircle(c *trial, queueType string) {
	back, out := c.name("back"), c.name("out")
	work := c.queue(queueType, map[string]any{"x-dead-letter-exchange": out})
	wait := c.queue(queueType, map[string]any{"x-dead-letter-exchange": back, "x-message-ttl": 20})
	c.declare(topology.Topology{
		Exchanges: []topology.Exchange{{Name: back, Kind: "fanout"}, {Name: out, Kind: "fanout"}},
		Bindings:  []topology.Binding{{Source: back, Destination: work}, {Source: out, Destination: wait}},
	})
	c.fill(work, "round")
	i := c.take(work, 1)
	for range 3 {
		c.answer((*broker.Delivery).DeadLetter, i.want("round")...)
	}
	d := i.next()
	want := []deathLine{{wait, "expired", 3}, {work, "rejected", 3}}
	if got := deathsOf(d); !slices.Equal(got, want) {
		c.Errorf("x-death: got %v, want %v", got, want)
	}
	if got := d.Headers["x-first-death-queue"]; got != work {
		c.Errorf("x-first-death-queue: got %v, want %q", got, work)
	}
}

// The latest death comes first. What order the others have depends on the version.
func severalDeaths(c *trial) {
	last := c.queue("classic")
	next := last
	var queues []string
	for range 3 {
		x := c.exchange("fanout", nil)
		c.bind(topology.Binding{Source: x, Destination: next})
		next = c.queue("quorum", map[string]any{"x-dead-letter-exchange": x})
		queues = append(queues, next)
	}
	c.fill(next, "a")
	for _, q := range slices.Backward(queues) {
		i := c.take(q, 1)
		c.answer((*broker.Delivery).DeadLetter, i.next())
	}
	d := c.take(last, 1).next()
	want := []deathLine{{queues[0], "rejected", 1}, {queues[1], "rejected", 1}, {queues[2], "rejected", 1}}
	got := deathsOf(d)
	if len(got) > 1 && got[1].queue == queues[2] {
		slices.Reverse(got[1:]) // 3.10
	}
	if !slices.Equal(got, want) {
		c.Errorf("x-death: got %v, want %v", got, want)
	}
	if got := d.Headers["x-first-death-queue"]; got != queues[2] {
		c.Errorf("x-first-death-queue: got %v, want %q", got, queues[2])
	}
}

func deadToAnAlternate(c *trial) {
	spare, rest := c.exchange("fanout", nil), c.queue("classic")
	x := c.exchange("direct", map[string]any{"alternate-exchange": spare})
	c.bind(topology.Binding{Source: spare, Destination: rest})
	q := c.queue("quorum", map[string]any{"x-dead-letter-exchange": x, "x-dead-letter-routing-key": "nobody"})
	c.fill(q, "a")
	i := c.take(q, 1)
	c.answer((*broker.Delivery).DeadLetter, i.next())
	c.take(rest, 1).want("a")
}

// At most once: a dead letter that goes nowhere is gone.
func deadWithoutExchange(c *trial) {
	for _, queueType := range []string{"classic", "quorum"} {
		q := c.queue(queueType, map[string]any{"x-dead-letter-exchange": c.name("missing")})
		c.fill(q, "a")
		i := c.take(q, 1)
		c.answer((*broker.Delivery).DeadLetter, i.next())
		i.drain()
		i.ended()
		c.holds(q)
	}
}

// At least once, as errand's own queues: the way of all reasons.
func deadAtLeastOnce(c *trial) {
	q, dead := c.withDead("quorum", map[string]any{
		"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish", "x-delivery-limit": 1,
	})
	i := c.take(q, 1)
	c.fill(q, "rejected")
	c.answer((*broker.Delivery).DeadLetter, i.next())
	i.stop()
	c.fill(q, "delivery_limit")
	for range 2 {
		i := c.take(q, 1)
		i.want("delivery_limit")
		i.stop()
	}
	m := c.message(q, "expired")
	m.Expiration = 50 * time.Millisecond
	c.publish(m)
	j := c.take(dead, 3)
	for _, reason := range []string{"rejected", "delivery_limit", "expired"} {
		d := j.want(reason)[0]
		c.wantDeath(d, q, reason, "", q)
	}
	c.holds(q)
}

func deadByTheDefaultExchange(c *trial) {
	dead := c.queue("classic")
	q := c.queue("classic", map[string]any{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
	var want []string
	for n := range 3 {
		want = append(want, fmt.Sprint(n))
	}
	c.fill(q, want...)
	i := c.take(q, 1)
	for range want {
		c.answer((*broker.Delivery).DeadLetter, i.next())
	}
	c.take(dead, 1).wantAnswered(want...)
}
