package jobtest

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func redeliverCases() []conformanceCase {
	return slices.Concat(
		[]conformanceCase{
			{"delivery limit", deliveredTooOften},
			{"end counts against the limit", endCountsAgainstTheLimit},
			{"nowhere to go", nowhereToGo},
			{"quorum counts", quorumCounts},
			{"classic keeps the order", func(c *trial) { c.returnedApart("classic", "1", "2", "3") }},
			{"quorum returns in the order of returning", func(c *trial) { c.returnedApart("quorum", "2", "1", "3") }},
		},
		onBoth("requeued", requeued),
		onBoth("order", redeliveryOrder),
		onBoth("to the other consumer", toTheOtherConsumer),
	)
}

func requeued(c *trial, queueType string) {
	q := c.limited(queueType, 20)
	m := c.message(q, "a")
	m.Type, m.Headers = "the type", map[string]any{"h": "v"}
	c.publish(m)
	i := c.take(q, 1)
	first := i.next()
	c.answer((*broker.Delivery).Requeue, first)
	second := i.next()
	if !second.Redelivered || second.Deliveries != 1 {
		c.Errorf("second delivery: got redelivered %v, deliveries %d; want true, 1", second.Redelivered, second.Deliveries)
	}
	for _, d := range []*broker.Delivery{first, second} {
		delete(d.Headers, "x-delivery-count") // whether it is there depends on the version
		delete(d.Headers, "x-acquired-count")
	}
	if !reflect.DeepEqual(first.Message, second.Message) {
		c.Errorf("second delivery: got %+v, want the first one's %+v", second.Message, first.Message)
	}
	c.ack(second)
	i.drain()
	i.ended()
	c.holds(q)
}

// What comes back is handed out before what was never handed out, in its old order if it
// comes back in that order.
func redeliveryOrder(c *trial, queueType string) {
	q := c.limited(queueType, 20)
	c.fill(q, "1", "2", "3", "4", "5", "6")
	i := c.take(q, 4)
	ds := i.want("1", "2", "3", "4")
	c.ack(ds[2])
	i.want("5")
	i.stop()
	c.holds(q, "1", "2", "4", "5", "6")
}

// returnedApart wants the order in which a queue hands out what comes back the last one first.
func (c *trial) returnedApart(queueType string, want ...string) {
	q := c.limited(queueType, 20)
	c.fill(q, "1", "2", "3")
	a := c.take(q, 1)
	a.want("1")
	b := c.take(q, 1)
	b.want("2")
	other := c.take(q, 1)
	other.want("3") // and is full until its own end
	b.stop()
	a.stop()
	other.stop()
	c.holds(q, want...)
}

func toTheOtherConsumer(c *trial, queueType string) {
	q := c.limited(queueType, 20)
	a, b := c.take(q, 10), c.take(q, 10)
	c.bothConsume(q, a, b)
	for n := range 4 {
		c.fill(q, fmt.Sprint(n))
	}
	c.eventually("everything is delivered", func() bool { return len(a.deliveries)+len(b.deliveries) == 4 })
	lost, kept := len(a.deliveries), len(b.deliveries)
	a.stop()
	for n := range lost + kept {
		d := b.next()
		if again := n >= kept; d.Redelivered != again {
			c.Errorf("delivery %d, %q: got redelivered %v, want %v", n, d.Body, d.Redelivered, again)
		}
		c.ack(d)
	}
}

func quorumCounts(c *trial) {
	q := c.queue("quorum", map[string]any{"x-delivery-limit": 20})
	c.fill(q, "a")
	for n := range 5 {
		i := c.take(q, 1)
		d := i.next()
		if d.Deliveries != n || d.Redelivered != (n > 0) {
			c.Errorf("delivery %d: got redelivered %v, deliveries %d", n, d.Redelivered, d.Deliveries)
		}
		i.stop()
	}
}

// withDead is a quorum queue whose dead letters go to another queue, at most once unless args
// say something else.
func (c *trial) withDead(queueType string, args map[string]any) (queue, dead string) {
	c.Helper()
	x := c.exchange("fanout", nil)
	dead = c.queue("classic")
	c.bind(topology.Binding{Source: x, Destination: dead})
	return c.queue(queueType, args, map[string]any{"x-dead-letter-exchange": x}), dead
}

// Of 2 the message is handed out three times. RabbitMQ 4.3 does not count what is requeued by
// nack, so it is ends of consumers that this and the next case count.
func deliveredTooOften(c *trial) {
	q, dead := c.withDead("quorum", map[string]any{"x-delivery-limit": 2})
	c.fill(q, "poison")
	for range 3 {
		i := c.take(q, 1)
		i.want("poison")
		i.stop()
	}
	d := c.take(dead, 1).next()
	if deaths := deathsOf(d); len(deaths) != 1 || deaths[0] != (deathLine{q, "delivery_limit", 1}) {
		c.Errorf("x-death: got %v, want one delivery_limit of %s", deaths, q)
	}
	c.ack(d)
	c.holds(q)
}

// All that a consumer holds counts, not only what it was handling.
func endCountsAgainstTheLimit(c *trial) {
	q, dead := c.withDead("quorum", map[string]any{"x-delivery-limit": 1})
	c.fill(q, "1", "2", "3")
	for range 2 {
		i := c.take(q, 2)
		i.want("1", "2")
		i.stop()
	}
	c.take(dead, 2).wantAny("1", "2")
	c.holds(q, "3")
}

// Without a place for dead letters they are gone.
func nowhereToGo(c *trial) {
	limited := c.queue("quorum", map[string]any{"x-delivery-limit": 1})
	c.fill(limited, "poison")
	for range 2 {
		i := c.take(limited, 1)
		i.want("poison")
		i.stop()
	}
	c.holds(limited)

	q := c.queue("classic")
	c.fill(q, "rejected", "next")
	i := c.take(q, 1)
	c.answer((*broker.Delivery).DeadLetter, i.want("rejected")...)
	c.ack(i.want("next")...)
	i.stop()
	c.holds(q)
}
