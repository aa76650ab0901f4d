package jobtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func consumeCases() []conformanceCase {
	return slices.Concat(
		[]conformanceCase{
			{"no such queue", noSuchQueue},
			{"topology is declared", consumeDeclares},
			{"topology conflicts", consumeConflicts},
			{"one after the other", oneAfterTheOther},
			{"no acks", noAcks},
			{"answered once", answeredOnce},
			{"context has the values", contextHasTheValues},
			{"temporary queue", temporaryQueue},
			{"temporary queue without its exchange", temporaryWithoutExchange},
			{"priorities", classicPriorities},
		},
		onBoth("prefetch", prefetch),
		onBoth("two with different prefetch", differentPrefetch),
		onBoth("in turn", inTurn),
		onBoth("single active consumer", singleActive),
		onBoth("many at once", manyAtOnce),
	)
}

// startConsume is the error of a Consume that can't start.
func (c *trial) startConsume(s broker.Subscription) error {
	ctx, cancel := context.WithTimeout(c.Context(), trialPatience)
	defer cancel()
	return c.b.Consume(ctx, s, func(*broker.Delivery) {})
}

func noSuchQueue(c *trial) {
	if c.startConsume(broker.Subscription{Queue: c.name("missing")}) == nil {
		c.Error("Consume of a queue that is not there: got nil, want an error")
	}
}

func consumeDeclares(c *trial) {
	q := c.name("queue")
	i := c.consume(broker.Subscription{Queue: q, Topology: topology.Work("", q)})
	c.eventually("the queue is there", func() bool { return c.b.Publish(c.Context(), c.message(q, "a")) == nil })
	i.want("a")
}

func consumeConflicts(c *trial) {
	q := topology.Queue{Name: c.queue("quorum"), Args: map[string]any{"x-queue-type": "classic"}}
	err := c.startConsume(broker.Subscription{Queue: q.Name, Topology: topology.Topology{Queues: []topology.Queue{q}}})
	var e *broker.DeclareError
	if !errors.As(err, &e) || e.Object != q.String() {
		c.Errorf("Consume: got %v, want a *broker.DeclareError about %v", err, q)
	}
}

func oneAfterTheOther(c *trial) {
	q := c.queue("classic")
	c.fill(q, "1", "2", "3", "4", "5")
	var inside, most atomic.Int32
	seen := make(chan string, 5)
	i := c.receive(broker.Subscription{Queue: q, Prefetch: 5}, func(ctx context.Context, s broker.Subscription, _ func(*broker.Delivery)) error {
		return c.b.Consume(ctx, s, func(d *broker.Delivery) {
			most.Store(max(most.Load(), inside.Add(1)))
			time.Sleep(2 * time.Millisecond) // a chance for the next
			inside.Add(-1)
			seen <- string(d.Body)
			c.ack(d)
		})
	})
	for n := range 5 {
		if got, want := <-seen, fmt.Sprint(n+1); got != want {
			c.Errorf("delivered: got %s, want %s", got, want)
		}
	}
	i.stop()
	if most.Load() != 1 {
		c.Errorf("deliver was called %d times at once, want once", most.Load())
	}
}

func prefetch(c *trial, queueType string) {
	q := c.queue(queueType)
	c.fill(q, "1", "2", "3", "4", "5")
	i := c.take(q, 3)
	ds := i.want("1", "2", "3")
	c.ack(ds[1])
	i.want("4")
	// A queue with a consumer that has no room gives to the one that has.
	i.drain()
	other := c.take(q, 1)
	other.want("5")
	i.idle()
}

func differentPrefetch(c *trial, queueType string) {
	q := c.queue(queueType)
	a, b := c.take(q, 1), c.take(q, 3)
	c.bothConsume(q, a, b)
	for n := range 4 {
		c.fill(q, fmt.Sprint(n))
	}
	got := []string{string(a.next().Body)}
	for range 3 {
		got = append(got, string(b.next().Body))
	}
	if slices.Sort(got); !slices.Equal(got, []string{"0", "1", "2", "3"}) {
		c.Errorf("delivered: got %q, want all four", got)
	}
	c.fill(q, "more")
	third := c.take(q, 1)
	third.want("more")
	a.idle()
	b.idle()
}

// bothConsume returns when both intakes are known to consume the queue: each has worked a
// message while the other one could not.
func (c *trial) bothConsume(queue string, a, b *intake) {
	c.Helper()
	for _, i := range []*intake{a, b} {
		for worked := false; !worked; {
			c.fill(queue, "warm up")
			select {
			case d := <-a.deliveries:
				c.ack(d)
				worked = i == a
			case d := <-b.deliveries:
				c.ack(d)
				worked = i == b
			case <-time.After(trialPatience):
				c.Fatalf("nothing was delivered within %v", trialPatience)
			}
		}
	}
}

func inTurn(c *trial, queueType string) {
	q := c.queue(queueType)
	a, b := c.take(q, 100), c.take(q, 100)
	c.bothConsume(q, a, b)
	const each = 20
	for n := range 2 * each {
		c.fill(q, fmt.Sprint(n))
	}
	count := func() int { return len(a.deliveries) + len(b.deliveries) }
	c.eventually("everything is delivered", func() bool { return count() == 2*each })
	if got := len(a.deliveries); got < each-1 || got > each+1 {
		c.Errorf("one of two consumers got %d of %d messages, want half of them", got, 2*each)
	}
}

func singleActive(c *trial, queueType string) {
	q := c.queue(queueType, map[string]any{"x-single-active-consumer": true})
	first := c.take(q, 10)
	c.fill(q, "0")
	c.ack(first.want("0")...)
	second := c.take(q, 10)
	c.fill(q, "1", "2", "3")
	c.ack(first.want("1", "2", "3")...)
	first.drain()
	first.ended()
	c.fill(q, "4")
	second.want("4")
}

func noAcks(c *trial) {
	q := c.queue("classic")
	c.fill(q, "1", "2", "3")
	i := c.consume(broker.Subscription{Queue: q, NoAck: true, Prefetch: 1})
	for _, d := range i.want("1", "2", "3") {
		if err := d.Ack(); !errors.Is(err, broker.ErrAnswered) {
			c.Errorf("Ack: got %v, want %v, because nothing is to be answered", err, broker.ErrAnswered)
		}
	}
	i.drain()
	i.ended()
	c.holds(q)
}

func answeredOnce(c *trial) {
	q := c.queue("quorum")
	c.fill(q, "ack", "requeue", "dead", "lost")
	i := c.take(q, 4)
	for n, first := range []func(*broker.Delivery) error{
		(*broker.Delivery).Ack, (*broker.Delivery).Requeue, (*broker.Delivery).DeadLetter,
	} {
		d := i.next()
		if err := first(d); err != nil {
			c.Errorf("answer %d: got %v, want nil", n, err)
		}
		for _, again := range []func(*broker.Delivery) error{
			(*broker.Delivery).Ack, (*broker.Delivery).Requeue, (*broker.Delivery).DeadLetter,
		} {
			if err := again(d); !errors.Is(err, broker.ErrAnswered) {
				c.Errorf("answer %d, again: got %v, want %v", n, err, broker.ErrAnswered)
			}
		}
		defer func() {
			if err := d.Ack(); !errors.Is(err, broker.ErrAnswered) {
				c.Errorf("answer %d, again after the end: got %v, want %v", n, err, broker.ErrAnswered)
			}
		}()
	}
	lost := i.next()
	i.stop()
	if err := lost.Ack(); !errors.Is(err, broker.ErrDeliveryLost) {
		c.Errorf("Ack after the end: got %v, want %v", err, broker.ErrDeliveryLost)
	}
	if cause := context.Cause(lost.Context()); !errors.Is(cause, errOver) {
		c.Errorf("the delivery's context ended with %v, want the cause of Consume's own, %v", cause, errOver)
	}
}

func contextHasTheValues(c *trial) {
	type key struct{}
	q := c.queue("classic")
	c.fill(q, "a")
	i := c.receive(broker.Subscription{Queue: q}, func(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
		return c.b.Consume(context.WithValue(ctx, key{}, "value"), s, deliver)
	})
	d := i.next()
	if got := d.Context().Value(key{}); got != "value" {
		c.Errorf("the delivery's context has %v, want the values of Consume's", got)
	}
	if err := d.Context().Err(); err != nil {
		c.Errorf("the delivery's context: got %v, want it to last", err)
	}
	c.ack(d)
	i.drain()
	i.ended()
	if cause := context.Cause(d.Context()); !errors.Is(cause, broker.ErrDeliveryLost) {
		c.Errorf("after the end of Consume the delivery's context ended with %v, want %v", cause, broker.ErrDeliveryLost)
	}
}

func temporaryQueue(c *trial) {
	x, other := c.exchange("topic", nil), c.queue("classic")
	t := topology.Topology{Bindings: []topology.Binding{
		{Source: x, Key: "a.*"},
		{Source: x, Key: "*.b"},
		{Source: x, Key: "others", Destination: other},
	}}
	i, j := c.consume(broker.Subscription{Topology: t, Prefetch: 10}), c.consume(broker.Subscription{Topology: t, Prefetch: 10})
	c.eventually("both queues are there", func() bool {
		m := c.to(x, "a.b", "both")
		m.Optional = true
		c.publish(m)
		return len(i.deliveries) > 0 && len(j.deliveries) > 0
	})
	c.publish(c.to(x, "others", "to the other"))
	c.publish(c.to(x, "a.c", "last"))
	a, b := until(i, "last"), until(j, "last")
	if a == b {
		c.Errorf("both consumers have queue %q, want one each", a)
	}
	i.stop()
	j.stop()
	c.eventually("the queues are gone", func() bool {
		return errors.Is(c.b.Publish(c.Context(), c.to(x, "a.c", "late")), broker.ErrUnroutable)
	})
	c.refused(c.message(a, "late"), broker.ErrUnroutable)
	c.holds(other, "to the other")
}

// until takes deliveries until one with this body comes, and returns its queue.
func until(i *intake, body string) (queue string) {
	for {
		d := i.next()
		if string(d.Body) == "to the other" {
			i.c.Error("a temporary queue got a message by the binding of another queue")
		}
		if d.Ack(); string(d.Body) == body { //nolint:errcheck // the rest of the case finds out
			return d.Queue
		}
	}
}

func temporaryWithoutExchange(c *trial) {
	t := topology.Topology{Bindings: []topology.Binding{{Source: c.name("missing"), Key: "k"}}}
	if c.startConsume(broker.Subscription{Topology: t}) == nil {
		c.Error("Consume: got nil, want an error because the exchange is not there")
	}
}

// Quorum queues treat priorities in three ways, by version: see [job.Priority].
func classicPriorities(c *trial) {
	q := c.queue("classic", map[string]any{"x-max-priority": 5})
	for n, p := range []uint8{0, 5, 3, 9, 0, 3} { // what is above 5 counts as 5
		m := c.message(q, fmt.Sprintf("%d: %d", n, p))
		m.Priority = p
		c.publish(m)
	}
	i := c.take(q, 1)
	i.wantAnswered("1: 5", "3: 9", "2: 3", "5: 3", "0: 0", "4: 0")
}

// Publishers and consumers that get into each other's way lose nothing, though every third
// message goes back once.
func manyAtOnce(c *trial, queueType string) {
	q := c.limited(queueType, 20)
	const publishers, each = 4, 100
	var batches [publishers][]broker.Message
	for p := range batches {
		for n := range each {
			batches[p] = append(batches[p], c.message(q, fmt.Sprint(p, "-", n)))
		}
	}
	acked := make(chan string, publishers*each)
	var calls atomic.Int32
	answer := func(d *broker.Delivery) {
		if calls.Add(1)%3 == 0 && !d.Redelivered {
			c.answer((*broker.Delivery).Requeue, d)
			return
		}
		c.ack(d)
		acked <- string(d.Body)
	}
	var intakes []*intake
	for n := range 3 {
		intakes = append(intakes, c.receive(broker.Subscription{Queue: q, Prefetch: 1 + 5*n},
			func(ctx context.Context, s broker.Subscription, _ func(*broker.Delivery)) error {
				return c.b.Consume(ctx, s, answer)
			}))
	}
	published := make(chan error, publishers)
	for _, ms := range batches {
		go func() { published <- c.b.Publish(c.Context(), ms...) }()
	}
	for range publishers {
		if err := <-published; err != nil {
			c.Errorf("Publish: %v", err)
		}
	}
	seen := map[string]int{}
	for range publishers * each {
		select {
		case body := <-acked:
			seen[body]++
		case <-time.After(trialPatience):
			c.Fatalf("%d of %d messages have come, and no more within %v", len(seen), publishers*each, trialPatience)
		}
	}
	if len(seen) != publishers*each {
		c.Errorf("%d different messages were acked, want %d", len(seen), publishers*each)
	}
	for _, i := range intakes {
		i.drain()
		i.ended()
	}
	c.holds(q)
}
