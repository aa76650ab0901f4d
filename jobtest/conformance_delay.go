package jobtest

import (
	"fmt"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func delayCases() []conformanceCase {
	return []conformanceCase{
		{"one level", func(c *trial) { c.delayed(topology.Resolution) }},
		{"level by level", func(c *trial) { c.delayed(7 * topology.Resolution) }},
		{"passing over levels", func(c *trial) { c.delayed(9 * topology.Resolution) }},
		{"rounded up", func(c *trial) { c.delayed(2*topology.Resolution + time.Millisecond) }},
		{"in order of their times", delayedInOrder},
		{"one behind the other", delayedOneBehindTheOther},
		{"queue gone", delayedToNoQueue},
		{"longest name", delayedToTheLongestName},
	}
}

// ladder declares a namespace of the case's own, with a queue and the levels for delays up to
// upTo.
func (c *trial) ladder(upTo time.Duration) (ns topology.Namespace, queue string) {
	c.Helper()
	ns, queue = topology.Namespace("conformance-"+c.mark), c.name("work")
	c.declare(topology.Join(topology.Work(ns, queue), topology.Ladder(ns, upTo)))
	return ns, queue
}

// later is a message that reaches the queue after delay.
func (c *trial) later(ns topology.Namespace, queue string, delay time.Duration, body string) broker.Message {
	p := topology.Route(ns, queue, delay)
	return c.to(p.Exchange, p.Key, body)
}

func (c *trial) delayed(delay time.Duration) {
	ns, q := c.ladder(delay)
	i := c.take(q, 1)
	began := time.Now()
	m := c.later(ns, q, delay, "a")
	m.Type, m.Headers = "the type", map[string]any{"h": "v"}
	c.publish(m)
	d := i.next()
	c.notBefore("it", began, delay)
	if string(d.Body) != "a" || d.ID != m.ID || d.Type != m.Type || d.Headers["h"] != "v" || d.Key != m.Key || d.Exchange != ns.Due() {
		c.Errorf("delivered: got %+v, want %+v, from exchange %q", d.Message, m, ns.Due())
	}
	c.ack(d)
}

func delayedInOrder(c *trial) {
	ns, q := c.ladder(time.Second)
	for _, steps := range []int{7, 1, 4, 2} {
		c.publish(c.later(ns, q, time.Duration(steps)*topology.Resolution, fmt.Sprint(steps)))
	}
	c.take(q, 1).wantAnswered("1", "2", "4", "7")
}

// Messages of one delay keep their order, and none is lost on the way.
func delayedOneBehindTheOther(c *trial) {
	ns, q := c.ladder(time.Second)
	var ms []broker.Message
	var want []string
	for n := range 100 {
		want = append(want, fmt.Sprint(n))
		ms = append(ms, c.later(ns, q, 5*topology.Resolution, want[n]))
	}
	c.publish(ms...)
	c.take(q, 100).wantAny(want...) // at least once: a hop may put one behind the next
}

// What has nowhere to go is parked.
func delayedToNoQueue(c *trial) {
	ns, _ := c.ladder(time.Second)
	c.publish(c.later(ns, c.name("missing"), 3*topology.Resolution, "a"))
	c.take(ns.Parked(), 1).want("a")
}

func delayedToTheLongestName(c *trial) {
	ns, _ := c.ladder(time.Second)
	q := c.name("long") + "." // its words are words of the key, too
	for len(q) < topology.MaxQueueName {
		q += "x"
	}
	c.declare(topology.Work(ns, q))
	c.publish(c.later(ns, q, 3*topology.Resolution, "a"))
	c.take(q, 1).want("a")
}
