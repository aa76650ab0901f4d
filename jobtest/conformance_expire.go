package jobtest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func expireCases() []conformanceCase {
	return slices.Concat(
		onBoth("queue's time", queueTTL),
		onBoth("message's time", messageTTL),
		onBoth("the shorter counts", shorterTTL),
		onBoth("only at the head", expiryAtTheHead),
		onBoth("what was handed out", expiryOfUnanswered),
		onBoth("unused queue", unusedQueue),
	)
}

// notBefore wants a message to have waited for as long as it had to. Clocks of two machines
// are compared, so it is not exact.
func (c *trial) notBefore(what string, began time.Time, wait time.Duration) {
	c.Helper()
	if took := time.Since(began); took < wait-20*time.Millisecond {
		c.Errorf("%s came after %v, want no sooner than after %v", what, took, wait)
	}
}

func queueTTL(c *trial, queueType string) {
	const ttl = 200 * time.Millisecond
	q, dead := c.withDead(queueType, map[string]any{"x-message-ttl": int(ttl.Milliseconds())})
	began := time.Now()
	c.fill(q, "1", "2")
	i := c.take(dead, 2)
	i.want("1", "2")
	c.notBefore("the second", began, ttl)
	c.holds(q)
}

func messageTTL(c *trial, queueType string) {
	const ttl = 200 * time.Millisecond
	q, dead := c.withDead(queueType, nil)
	m := c.message(q, "a")
	m.Expiration = ttl
	began := time.Now()
	c.publish(m)
	d := c.take(dead, 1).next()
	c.notBefore("it", began, ttl)
	if d.Expiration != 0 {
		c.Errorf("the dead letter has the expiration %v, want none", d.Expiration)
	}
	c.holds(q)
}

func shorterTTL(c *trial, queueType string) {
	q, dead := c.withDead(queueType, map[string]any{"x-message-ttl": 300})
	short, long := c.message(q, "short"), c.message(q, "long")
	short.Expiration, long.Expiration = 100*time.Millisecond, time.Hour
	began := time.Now()
	c.publish(short)
	c.publish(long)
	i := c.take(dead, 2)
	i.want("short", "long")
	c.notBefore("the long one", began, 300*time.Millisecond)
}

// A message whose time is over waits behind one whose time is not. When its turn comes it
// is not handed out.
func expiryAtTheHead(c *trial, queueType string) {
	q, dead := c.withDead(queueType, nil)
	head, over, alive := c.message(q, "head"), c.message(q, "over"), c.message(q, "alive")
	head.Expiration, over.Expiration = 600*time.Millisecond, 50*time.Millisecond
	began := time.Now()
	c.publish(head)
	c.publish(over)
	c.publish(alive)
	i := c.take(dead, 2)
	i.want("head", "over")
	c.notBefore("the one behind the head", began, 600*time.Millisecond)
	c.holds(q, "alive")
}

// What is handed out does not expire; what comes back too late does.
func expiryOfUnanswered(c *trial, queueType string) {
	q, dead := c.withDead(queueType, nil)
	i := c.take(q, 2)
	c.fill(q, "the consumer is there")
	c.ack(i.want("the consumer is there")...)
	began := time.Now()
	var ds []*broker.Delivery
	for _, body := range []string{"acked", "given back", "waits"} {
		m := c.message(q, body)
		m.Expiration = 400 * time.Millisecond
		c.publish(m)
		if body != "waits" {
			ds = append(ds, i.want(body)...)
		}
	}
	j := c.take(dead, 2)
	j.want("waits")
	c.ack(ds[0])
	c.answer((*broker.Delivery).Requeue, ds[1])
	j.want("given back")
	c.notBefore("what was given back", began, 400*time.Millisecond)
	i.stop()
	c.holds(q)
	j.idle()
}

func unusedQueue(c *trial, queueType string) {
	const unused = 2 * time.Second // enough for a slow server to get a consumer
	x := c.exchange("fanout", nil)
	q := c.queue(queueType, map[string]any{"x-expires": unused.Milliseconds()})
	i := c.take(q, 1)
	c.bind(topology.Binding{Source: x, Destination: q})
	c.fill(q, "used")
	c.ack(i.want("used")...)
	i.drain()
	i.ended()
	began := time.Now()
	// RabbitMQ looks at each quorum queue every 5 seconds, and finds it at the first look when it
	// has little to do. On a busy machine it took up to three looks, and once more than six.
	const looks = 24 * 5 * time.Second
	c.within(looks, "the queue is gone", func() bool {
		// One that is under way at this moment may have to wait for its answer.
		ctx, cancel := context.WithTimeout(c.Context(), unused)
		defer cancel()
		return errors.Is(c.b.Publish(ctx, c.message(q, "late")), broker.ErrUnroutable)
	})
	c.notBefore("the queue's end", began, unused)
	c.refused(c.to(x, "", "its binding is gone, too"), broker.ErrUnroutable)
}
