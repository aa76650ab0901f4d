package jobtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// trialPatience is how long anything may take on a server that has other things to do.
const trialPatience = 30 * time.Second

// A trial is one case on its way.
type trial struct {
	*testing.T
	b    broker.Broker
	mark string // is part of all names
	made int
}

func newTrial(t *testing.T, b broker.Broker) *trial {
	return &trial{T: t, b: b, mark: strings.ToLower(rand.Text()[:10])}
}

// name makes one that nobody else has.
func (c *trial) name(what string) string {
	c.made++
	return fmt.Sprintf("conformance.%s.%s%d", c.mark, what, c.made)
}

func (c *trial) declare(t topology.Topology) {
	c.Helper()
	if err := c.b.Declare(c.Context(), t); err != nil {
		c.Fatalf("Declare: %v", err)
	}
}

// queue declares a queue of its own, with these arguments beside its type.
func (c *trial) queue(queueType string, args ...map[string]any) string {
	c.Helper()
	q := topology.Queue{Name: c.name("queue"), Args: map[string]any{"x-queue-type": queueType}}
	for _, more := range args {
		maps.Copy(q.Args, more)
	}
	c.declare(topology.Topology{Queues: []topology.Queue{q}})
	return q.Name
}

func (c *trial) exchange(kind string, args map[string]any) string {
	c.Helper()
	name := c.name(kind)
	c.declare(topology.Topology{Exchanges: []topology.Exchange{{Name: name, Kind: kind, Args: args}}})
	return name
}

func (c *trial) bind(bs ...topology.Binding) {
	c.Helper()
	c.declare(topology.Topology{Bindings: bs})
}

// message is one for a queue, by the default exchange.
func (c *trial) message(queue, body string) broker.Message {
	c.made++
	return broker.Message{Key: queue, ID: fmt.Sprint(c.mark, "-", c.made), Body: []byte(body)}
}

// to is a message for an exchange.
func (c *trial) to(exchange, key, body string) broker.Message {
	m := c.message(key, body)
	m.Exchange = exchange
	return m
}

// publish wants all of them to be taken.
func (c *trial) publish(ms ...broker.Message) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), trialPatience)
	defer cancel()
	if err := c.b.Publish(ctx, ms...); err != nil {
		c.Fatalf("Publish: %v", err)
	}
}

// fill publishes one message a body, in this order.
func (c *trial) fill(queue string, bodies ...string) {
	c.Helper()
	for _, body := range bodies {
		c.publish(c.message(queue, body))
	}
}

// refused wants m to be refused for the reason that target stands for.
func (c *trial) refused(m broker.Message, target error) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), trialPatience)
	defer cancel()
	err := c.b.Publish(ctx, m)
	if !errors.Is(err, target) {
		c.Fatalf("Publish to exchange %q with key %.60q: got %v, want %v", m.Exchange, m.Key, err, target)
	}
	failures := broker.Failures(err)
	if len(failures) != 1 || failures[0].ID != m.ID || failures[0].Exchange != m.Exchange || failures[0].Key != m.Key {
		c.Errorf("Publish: the failures are %v, want one that names the message, its exchange and its key", failures)
	}
}

// An intake is a queue that is being consumed.
type intake struct {
	c          *trial
	deliveries chan *broker.Delivery
	drain      func()                  // ends it gracefully, and does not wait
	cancel     context.CancelCauseFunc // ends its context
	done       chan struct{}           // closed at its end
	err        error                   // readable once done is closed
}

// errOver is the cause of the end of an intake's context.
var errOver = errors.New("the case is over")

// consume starts to consume until the case ends. It does not wait for the server.
func (c *trial) consume(s broker.Subscription) *intake {
	return c.receive(s, func(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
		return c.b.Consume(ctx, s, deliver)
	})
}

type consumeFunc func(context.Context, broker.Subscription, func(*broker.Delivery)) error

func (c *trial) receive(s broker.Subscription, consume consumeFunc) *intake {
	i := &intake{c: c, deliveries: make(chan *broker.Delivery, 1000), done: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(c.Context())
	i.cancel = cancel
	if s.Drain == nil {
		drain := make(chan struct{})
		s.Drain, i.drain = drain, sync.OnceFunc(func() { close(drain) })
	}
	go func() {
		defer close(i.done)
		i.err = consume(ctx, s, func(d *broker.Delivery) { i.deliveries <- d })
	}()
	c.Cleanup(func() { i.stop() })
	return i
}

// take consumes a queue with room for n messages.
func (c *trial) take(queue string, n int) *intake {
	return c.consume(broker.Subscription{Queue: queue, Prefetch: n})
}

// next is the next delivery.
func (i *intake) next() *broker.Delivery {
	i.c.Helper()
	select {
	case d := <-i.deliveries:
		return d
	case <-i.done:
		i.c.Fatalf("Consume has returned %v, want a delivery", i.err)
	case <-time.After(trialPatience):
		i.c.Fatalf("nothing was delivered within %v", trialPatience)
	}
	panic("unreachable")
}

// want wants the next deliveries to have these bodies, and returns them.
func (i *intake) want(bodies ...string) []*broker.Delivery {
	i.c.Helper()
	ds, got := i.several(len(bodies))
	if !slices.Equal(got, bodies) {
		i.c.Errorf("delivered: got %.300q, want %.300q", got, bodies)
	}
	return ds
}

// wantAny is want in any order.
func (i *intake) wantAny(bodies ...string) []*broker.Delivery {
	i.c.Helper()
	ds, got := i.several(len(bodies))
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(bodies)); !slices.Equal(got, want) {
		i.c.Errorf("delivered: got %.300q, want %.300q in any order", got, want)
	}
	return ds
}

// several are the next n deliveries and their bodies.
func (i *intake) several(n int) (ds []*broker.Delivery, bodies []string) {
	i.c.Helper()
	for range n {
		d := i.next()
		ds, bodies = append(ds, d), append(bodies, string(d.Body))
	}
	return ds, bodies
}

// wantAnswered is want, and acks each before the next.
func (i *intake) wantAnswered(bodies ...string) {
	i.c.Helper()
	for _, body := range bodies {
		i.c.ack(i.want(body)...)
	}
}

// stop ends the intake without waiting for answers, and wants no error of Consume.
func (i *intake) stop() {
	i.c.Helper()
	i.cancel(errOver)
	i.ended()
}

// ended waits for the end of Consume and wants it to be nil.
func (i *intake) ended() {
	i.c.Helper()
	select {
	case <-i.done:
		if i.err != nil {
			i.c.Errorf("Consume: got %v, want nil because it was ended on purpose", i.err)
		}
	case <-time.After(trialPatience):
		i.c.Fatalf("Consume has not returned within %v", trialPatience)
	}
}

// rest is what has been delivered and not looked at.
func (i *intake) rest() (bodies []string) {
	for {
		select {
		case d := <-i.deliveries:
			bodies = append(bodies, string(d.Body))
		default:
			return bodies
		}
	}
}

// idle wants no more to have come, when Consume has returned.
func (i *intake) idle() {
	i.c.Helper()
	if rest := i.rest(); len(rest) > 0 {
		i.c.Errorf("also delivered: %.300q, want nothing", rest)
	}
}

func (c *trial) ack(ds ...*broker.Delivery) {
	c.Helper()
	c.answer((*broker.Delivery).Ack, ds...)
}

func (c *trial) answer(how func(*broker.Delivery) error, ds ...*broker.Delivery) {
	c.Helper()
	for _, d := range ds {
		if err := how(d); err != nil {
			c.Errorf("answering %.60q: %v", d.Body, err)
		}
	}
}

// holds wants a queue to have exactly these messages in this order. A last message, which
// has to come last, shows that there is no more; the queue is empty then.
func (c *trial) holds(queue string, bodies ...string) {
	c.Helper()
	const end = "the end"
	c.fill(queue, end)
	i := c.take(queue, 1)
	i.wantAnswered(append(slices.Clone(bodies), end)...)
	i.drain()
	i.ended()
}

// eventually waits until ok.
func (c *trial) eventually(what string, ok func() bool) {
	c.Helper()
	c.within(trialPatience, what, ok)
}

// within waits until ok, for as long as patience.
func (c *trial) within(patience time.Duration, what string, ok func() bool) {
	c.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			c.Fatalf("%v have passed without: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
