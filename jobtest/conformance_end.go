package jobtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/errandq/errand/broker"
)

func endCases() []conformanceCase {
	return slices.Concat(
		[]conformanceCase{
			{"context over before the start", endedBeforeTheStart},
			{"drain waits for answers", drainWaits},
			{"context ends the draining", contextEndsDraining},
			{"settle", settleWaits},
			{"settle ends", settleEnds},
			{"finish", finishDelivers},
		},
		onBoth("drain gives back", drainGivesBack),
		onBoth("end gives back", endGivesBack),
	)
}

func endedBeforeTheStart(c *trial) {
	q := c.queue("classic")
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	drained := make(chan struct{})
	close(drained)
	for what, start := range map[string]func() error{
		"context over": func() error {
			return c.b.Consume(ctx, broker.Subscription{Queue: q}, func(*broker.Delivery) {})
		},
		"drained": func() error {
			return c.b.Consume(c.Context(), broker.Subscription{Queue: q, Drain: drained}, func(*broker.Delivery) {})
		},
	} {
		if err := start(); err != nil {
			c.Errorf("Consume, %s: got %v, want nil", what, err)
		}
	}
}

// blocked consumes with a deliver that does not return before release.
func (c *trial) blocked(s broker.Subscription) (i *intake, release chan struct{}) {
	release = make(chan struct{})
	return c.receive(s, func(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
		return c.b.Consume(ctx, s, func(d *broker.Delivery) {
			deliver(d)
			<-release
		})
	}), release
}

// Of three messages that were received deliver has one when the draining begins: the others
// go back, in their order.
func drainGivesBack(c *trial, queueType string) {
	q := c.limited(queueType, 20)
	c.fill(q, "1", "2", "3", "4")
	i, release := c.blocked(broker.Subscription{Queue: q, Prefetch: 3})
	seen := i.want("1")
	i.drain()
	close(release)
	c.finishing(i, q, seen, false)
}

// finishing acks all that comes until the end of i, and wants it to be the beginning of 1, 2,
// 3, 4, and the rest to be in the queue; with finish, never handed out. How much comes depends
// on what was on its way.
func (c *trial) finishing(i *intake, q string, seen []*broker.Delivery, finish bool) {
	c.Helper()
	c.ack(seen...)
	for over := false; !over; {
		select {
		case d := <-i.deliveries:
			seen = append(seen, d)
			c.ack(d)
		case <-i.done:
			over = len(i.deliveries) == 0
		}
	}
	i.ended()
	if !finish && len(seen) != 1 {
		c.Errorf("%d messages were handed out, want only the one before the end", len(seen))
	}
	left := c.take(q, 4)
	// In any order: the next consumer may be there before what goes back.
	for _, d := range left.wantAny([]string{"1", "2", "3", "4"}[len(seen):]...) {
		if finish && d.Redelivered {
			c.Errorf("%q was received and went back, want it to be delivered before the end", d.Body)
		}
		c.ack(d)
	}
	for n, d := range seen {
		if want := fmt.Sprint(n + 1); string(d.Body) != want {
			c.Errorf("delivery %d: got %q, want %q", n, d.Body, want)
		}
	}
}

// limited is a queue that gives back to its front: a quorum queue of RabbitMQ before 4.0 does
// so only if it has a delivery limit, which a classic queue can't have.
func (c *trial) limited(queueType string, limit int) string {
	c.Helper()
	if queueType == "classic" {
		return c.queue(queueType)
	}
	return c.queue(queueType, map[string]any{"x-delivery-limit": limit})
}

func endGivesBack(c *trial, queueType string) {
	q := c.limited(queueType, 20)
	c.fill(q, "1", "2", "3", "4")
	i := c.take(q, 3)
	ds := i.want("1", "2", "3")
	c.ack(ds[1])
	i.want("4")
	i.stop()
	c.holds(q, "1", "3", "4")
}

func drainWaits(c *trial) {
	q := c.queue("quorum")
	c.fill(q, "1", "2")
	i := c.take(q, 2)
	ds := i.want("1", "2")
	i.drain()
	c.ack(ds[0])
	select {
	case <-i.done:
		c.Fatal("Consume has returned, want it to wait for the second answer")
	case <-time.After(50 * time.Millisecond): // it can only be seen by looking on for a while
	}
	c.ack(ds[1])
	i.ended()
	c.holds(q)
}

func contextEndsDraining(c *trial) {
	q := c.queue("quorum")
	c.fill(q, "1")
	i := c.take(q, 1)
	i.want("1")
	i.drain()
	i.stop()
	c.holds(q, "1")
}

func settleWaits(c *trial) {
	q := c.queue("quorum")
	c.fill(q, "1")
	i := c.consume(broker.Subscription{Queue: q, Prefetch: 1, Settle: trialPatience})
	d := i.want("1")[0]
	i.cancel(errOver)
	<-d.Context().Done()
	c.ack(d)
	i.ended()
	c.holds(q)
}

func settleEnds(c *trial) {
	q := c.queue("quorum")
	c.fill(q, "1")
	i := c.consume(broker.Subscription{Queue: q, Prefetch: 1, Settle: 100 * time.Millisecond})
	d := i.want("1")[0]
	began := time.Now()
	i.stop()
	if took := time.Since(began); took < 100*time.Millisecond {
		c.Errorf("Consume has returned after %v, want it to wait for answers for 100ms", took)
	}
	if err := d.Ack(); err == nil {
		c.Error("Ack after the end: got nil, want an error")
	}
	c.holds(q, "1")
}

func finishDelivers(c *trial) {
	q := c.queue("classic")
	c.fill(q, "1", "2", "3", "4")
	i, release := c.blocked(broker.Subscription{Queue: q, Prefetch: 3, Finish: true})
	seen := i.want("1")
	i.drain()
	close(release)
	c.finishing(i, q, seen, true)
}
