package jobtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/errandq/errand/broker"
)

func converseCases() []conformanceCase {
	return []conformanceCase{
		{"send and receive", sendAndReceive},
		{"temporary queue", converseTemporary},
		{"returned", sendReturned},
		{"optional", sendOptional},
		{"invalid", sendInvalid},
		{"reply before the ack", replyBeforeTheAck},
		{"channel over", channelOver},
		{"direct reply-to", directReply},
		{"order", sendOrder},
	}
}

// A talk is a conversation on its one channel.
type talk struct {
	*intake
	broker.Channel
	returned chan broker.Message
}

// converse begins one and waits for its channel. A broker that is no Converser skips the case.
func (c *trial) converse(s broker.Subscription) *talk {
	c.Helper()
	b, ok := c.b.(broker.Converser)
	if !ok {
		c.Skipf("a %T is no broker.Converser", c.b)
	}
	t := &talk{returned: make(chan broker.Message, 100)}
	channels := make(chan broker.Channel, 1)
	t.intake = c.receive(s, func(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
		return b.Converse(ctx, s, func(ch broker.Channel) broker.Receiver {
			channels <- ch
			return broker.Receiver{Deliver: deliver, Returned: func(m broker.Message) { t.returned <- m }}
		})
	})
	select {
	case t.Channel = <-channels:
	case <-t.done:
		c.Fatalf("Converse has returned %v, want a channel", t.err)
	case <-time.After(trialPatience):
		c.Fatalf("there is no channel within %v", trialPatience)
	}
	return t
}

func (t *talk) send(m broker.Message) {
	t.c.Helper()
	if err := t.Send(t.c.Context(), m); err != nil {
		t.c.Fatalf("Send: %v", err)
	}
}

func sendAndReceive(c *trial) {
	q := c.queue("classic")
	t := c.converse(broker.Subscription{Queue: q, Prefetch: 1})
	if t.Queue() != q {
		c.Errorf("Queue: got %q, want %q", t.Queue(), q)
	}
	t.send(c.message(q, "a"))
	d := t.want("a")[0]
	c.ack(d)
	m := c.message(q, "without an ID")
	m.ID = ""
	t.send(m)
	c.ack(t.want("without an ID")...)
	t.drain()
	t.ended()
	c.holds(q)
}

func converseTemporary(c *trial) {
	a, b := c.converse(broker.Subscription{NoAck: true}), c.converse(broker.Subscription{NoAck: true})
	if a.Queue() == "" || a.Queue() == b.Queue() {
		c.Fatalf("Queue: got %q and %q, want the names of two queues", a.Queue(), b.Queue())
	}
	m := c.message(b.Queue(), "request")
	m.ReplyTo, m.CorrelationID = a.Queue(), "1"
	a.send(m)
	d := b.want("request")[0]
	if d.ReplyTo != a.Queue() || d.CorrelationID != "1" || d.Queue != b.Queue() {
		c.Errorf("the request: got reply-to %q, correlation %q, queue %q", d.ReplyTo, d.CorrelationID, d.Queue)
	}
	b.send(c.message(d.ReplyTo, "reply"))
	a.want("reply")
	gone := a.Queue()
	a.stop()
	c.eventually("the queue is gone", func() bool {
		return errors.Is(c.b.Publish(c.Context(), c.message(gone, "late")), broker.ErrUnroutable)
	})
}

func sendReturned(c *trial) {
	x, missing := c.exchange("direct", nil), c.name("missing")
	t := c.converse(broker.Subscription{NoAck: true})
	for _, m := range []broker.Message{c.message(missing, "to no queue"), c.to(x, "k", "to nobody")} {
		m.CorrelationID, m.ReplyTo, m.Headers = "1", t.Queue(), map[string]any{"h": "v"}
		t.send(m)
		select {
		case got := <-t.returned:
			if string(got.Body) != string(m.Body) || got.ID != m.ID || got.Exchange != m.Exchange || got.Key != m.Key ||
				got.CorrelationID != "1" || got.ReplyTo != m.ReplyTo || got.Headers["h"] != "v" {
				c.Errorf("returned: got %+v, want %+v", got, m)
			}
		case <-time.After(trialPatience):
			c.Fatalf("%s was not returned within %v", m.Body, trialPatience)
		}
	}
}

func sendOptional(c *trial) {
	t := c.converse(broker.Subscription{NoAck: true})
	optional, returned := c.message(c.name("missing"), "optional"), c.message(c.name("missing"), "returned")
	optional.Optional = true
	t.send(optional)
	t.send(returned)
	if got := <-t.returned; got.ID != returned.ID {
		c.Errorf("returned: got %q, want %q", got.Body, returned.Body)
	}
}

func sendInvalid(c *trial) {
	t := c.converse(broker.Subscription{NoAck: true, Prefetch: 1})
	for _, s := range []struct {
		m    broker.Message
		want error
	}{
		{broker.Message{Key: strings.Repeat("k", 256)}, broker.ErrInvalid},
		{broker.Message{Key: t.Queue(), Headers: map[string]any{"h": struct{}{}}}, broker.ErrInvalid},
		{broker.Message{Key: t.Queue(), Body: make([]byte, broker.DefaultMaxBody+1)}, broker.ErrTooLarge},
	} {
		if err := t.Send(c.Context(), s.m); !errors.Is(err, s.want) {
			c.Errorf("Send: got %v, want %v", err, s.want)
		}
	}
	t.send(c.message(t.Queue(), "the channel is well"))
	t.want("the channel is well")
}

// What is sent before an ack is there when the ack is.
func replyBeforeTheAck(c *trial) {
	q, replies := c.queue("classic"), c.queue("classic")
	c.fill(q, "request")
	t := c.converse(broker.Subscription{Queue: q, Prefetch: 1})
	d := t.want("request")[0]
	t.send(c.message(replies, "reply"))
	c.ack(d)
	t.drain()
	t.ended()
	c.holds(q)
	c.holds(replies, "reply")
}

func channelOver(c *trial) {
	q := c.queue("classic")
	t := c.converse(broker.Subscription{Queue: q})
	t.drain()
	t.ended()
	if cause := context.Cause(t.Context()); !errors.Is(cause, broker.ErrDeliveryLost) {
		c.Errorf("the channel's context ended with %v, want %v", cause, broker.ErrDeliveryLost)
	}
	if err := t.Send(c.Context(), c.message(q, "late")); !errors.Is(err, broker.ErrNotConnected) {
		c.Errorf("Send on a channel that is over: got %v, want %v", err, broker.ErrNotConnected)
	}
	c.holds(q)
}

// directReply is a call by the pseudo queue that RabbitMQ has for replies. They are optional,
// because before 4.2 it returns them though it has delivered them.
func directReply(c *trial) {
	q := c.queue("classic")
	client, server := c.converse(broker.Subscription{Queue: directReplyTo, NoAck: true}), c.converse(broker.Subscription{Queue: q})
	if client.Queue() != directReplyTo {
		c.Errorf("Queue: got %q, want %q", client.Queue(), directReplyTo)
	}
	m := c.message(q, "request")
	m.ReplyTo = directReplyTo
	client.send(m)
	d := server.want("request")[0]
	if !strings.HasPrefix(d.ReplyTo, directReplyTo+".") {
		c.Errorf("the request's reply-to: got %q, want an address behind %q", d.ReplyTo, directReplyTo)
	}
	reply := c.message(d.ReplyTo, "reply")
	reply.Optional = true
	server.send(reply)
	client.want("reply")
	c.ack(d)
}

func sendOrder(c *trial) {
	t := c.converse(broker.Subscription{NoAck: true})
	var want []string
	for n := range 500 {
		want = append(want, fmt.Sprint(n))
		t.send(c.message(t.Queue(), want[n]))
	}
	var got []string
	for range want {
		got = append(got, string(t.next().Body))
	}
	if !slices.Equal(got, want) {
		c.Errorf("delivered: got %q, want the order of sending", got)
	}
}
