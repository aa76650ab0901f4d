package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A talk is a Converse that runs until the test ends or stop.
type talk struct {
	channels chan broker.Channel // each one, when it is open
	done     chan error
	stop     context.CancelFunc
}

// converse has what r makes for each channel receive from it.
func converse(t *testing.T, conn *broker.Conn, s broker.Subscription, r func(broker.Channel) broker.Receiver) *talk {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &talk{make(chan broker.Channel, 1000), make(chan error, 1), cancel}
	go func() {
		k.done <- conn.Converse(ctx, s, func(ch broker.Channel) broker.Receiver {
			receiver := r(ch)
			k.channels <- ch
			return receiver
		})
	}()
	t.Cleanup(cancel)
	return k
}

// ignore receives and does nothing.
func ignore(broker.Channel) broker.Receiver {
	return broker.Receiver{Deliver: func(*broker.Delivery) {}}
}

// An ack never overtakes the reply that was sent before it: however the connection dies, a
// request is either answered or handed out again.
func TestSendComesBeforeAck(t *testing.T) {
	t.Parallel()
	const requests = 5000
	url := rabbit.URL(t)
	r := dialRaw(t, url)
	r.declare("requests")
	replies := r.consume("replies")
	batch := make([]amqp.Publishing, requests)
	for i := range batch {
		batch[i] = amqp.Publishing{CorrelationId: fmt.Sprint(i), DeliveryMode: amqp.Persistent}
	}
	r.send("requests", batch...)

	p := newProxy(t, url)
	p.cutAfter(func() int64 { return 5_000 + rand.Int64N(100_000) })
	var lost sync.Map
	k := converse(t, dialThrough(t, p), broker.Subscription{Queue: "requests", Prefetch: 50}, func(ch broker.Channel) broker.Receiver {
		return broker.Receiver{Deliver: func(d *broker.Delivery) {
			m := broker.Message{Key: "replies", ID: d.CorrelationID, CorrelationID: d.CorrelationID}
			if err := ch.Send(d.Context(), m); err != nil {
				lost.Store(d.CorrelationID, err) // it comes again, because it is not acked
				return
			}
			_ = d.Ack() // an error means that it comes again
		}}
	})
	answered := map[string]int{}
	for len(answered) < requests {
		answered[receive(t, "a reply", replies).CorrelationId]++
	}
	again := 0
	for _, n := range answered {
		again += n - 1
	}
	k.stop()
	if err := receive(t, "the end of Converse", k.done); err != nil {
		t.Errorf("Converse: %v", err)
	}
	channels := len(k.channels)
	t.Logf("%d channels, %d replies came again", channels, again)
	if channels < 5 {
		t.Errorf("it took %d channels, want more: nothing was cut", channels)
	}
	r.empty("requests")
}

// What nobody takes comes back as it was, in order, unless it was optional.
func TestReturned(t *testing.T) {
	t.Parallel()
	const messages = 3000
	conn := dial(t, rabbit.URL(t))
	returned := make(chan broker.Message, messages)
	k := converse(t, conn, broker.Subscription{NoAck: true}, func(broker.Channel) broker.Receiver {
		return broker.Receiver{Deliver: func(*broker.Delivery) {}, Returned: func(m broker.Message) { returned <- m }}
	})
	ch := receive(t, "the channel", k.channels)
	if !strings.HasPrefix(ch.Queue(), "amq.gen-") {
		t.Errorf("got queue %q, want one that the server has named", ch.Queue())
	}
	want := broker.Message{Key: "nowhere", ID: "0", Type: "t", ContentType: "c", CorrelationID: "i", ReplyTo: "r", Priority: 3,
		Expiration: time.Minute, Transient: true, Headers: map[string]any{"h": "v"}, Body: []byte("b")}
	for i := range messages {
		m := want
		m.ID = fmt.Sprint(i)
		if err := ch.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		m.Optional = true
		if err := ch.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		got := receive(t, "a return", returned)
		want.ID = fmt.Sprint(i)
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Fatalf("got %+v back, want %+v", got, want)
		}
	}
	silent(t, "an optional message came back", returned, 100*time.Millisecond)
}

// A bad message is refused alone; a dead channel is told from it.
func TestSendFails(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProxy(t, url)
	conn := dialWith(t, p.url, broker.Config{MaxBody: 1000})
	k := converse(t, conn, broker.Subscription{NoAck: true}, ignore)
	ch := receive(t, "the channel", k.channels)
	for _, test := range []struct {
		m    broker.Message
		want error
	}{
		{broker.Message{Body: make([]byte, 1001)}, broker.ErrTooLarge},
		{broker.Message{Headers: map[string]any{"h": strings.Repeat("x", 100_000)}}, broker.ErrTooLarge},
		{broker.Message{Key: strings.Repeat("x", 256)}, broker.ErrInvalid},
		{broker.Message{Headers: map[string]any{"h": struct{}{}}}, broker.ErrInvalid},
		{broker.Message{Body: make([]byte, 1000)}, nil},
	} {
		if err := ch.Send(t.Context(), test.m); !errors.Is(err, test.want) {
			t.Errorf("%.40v: got %v, want %v", test.m, err, test.want)
		}
	}
	if err := ch.Context().Err(); err != nil {
		t.Errorf("the channel has ended: %v", err)
	}
	p.cut()
	receive(t, "the end of the channel", ch.Context().Done())
	if err := context.Cause(ch.Context()); !errors.Is(err, broker.ErrDeliveryLost) {
		t.Errorf("got cause %v, want ErrDeliveryLost", err)
	}
	next := receive(t, "the next channel", k.channels)
	if next.Queue() == ch.Queue() {
		t.Errorf("got queue %q again", next.Queue())
	}
	if err := ch.Send(t.Context(), broker.Message{}); !errors.Is(err, broker.ErrNotConnected) {
		t.Errorf("got %v on the dead channel, want ErrNotConnected", err)
	}
	if err := next.Send(t.Context(), broker.Message{}); err != nil {
		t.Errorf("got %v on the next channel", err)
	}
	k.stop()
	if err := receive(t, "the end of Converse", k.done); err != nil {
		t.Errorf("Converse: %v", err)
	}
	if err := next.Send(t.Context(), broker.Message{}); !errors.Is(err, broker.ErrNotConnected) {
		t.Errorf("got %v after the end, want ErrNotConnected", err)
	}
}

// Handlers may have made any number of contexts from that of a delivery. That it takes a
// while to end them all must not be taken for the end of Consume's own context.
func TestConsumerOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	const contexts = 50_000
	url := rabbit.URL(t)
	r := dialRaw(t, url)
	r.declare("lasting")
	p := newProxy(t, url)
	for name, consume := range map[string]func(*broker.Conn, context.Context, func(*broker.Delivery)) error{
		"Consume": func(c *broker.Conn, ctx context.Context, deliver func(*broker.Delivery)) error {
			return c.Consume(ctx, broker.Subscription{Queue: "lasting"}, deliver)
		},
		"Converse": func(c *broker.Conn, ctx context.Context, deliver func(*broker.Delivery)) error {
			return c.Converse(ctx, broker.Subscription{Queue: "lasting"}, func(broker.Channel) broker.Receiver { return broker.Receiver{Deliver: deliver} })
		},
	} {
		ctx, end := context.WithCancel(t.Context())
		defer end()
		r.send("lasting", amqp.Publishing{})
		held, done := make(chan *broker.Delivery, 1), make(chan error, 1)
		go func() {
			done <- consume(dial(t, p.url), ctx, func(d *broker.Delivery) { held <- d })
		}()
		d := receive(t, "the delivery", held)
		for range contexts {
			_, cancel := context.WithCancel(d.Context())
			defer cancel()
		}
		p.cut()
		select {
		case d := <-held:
			if err := d.Ack(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case err := <-done:
			t.Errorf("%s returned %v, want it to go on", name, err)
		case <-time.After(patience):
			t.Errorf("%s: nothing was handed out again", name)
		}
		end()
	}
}

// A temporary queue gets what its bindings route to it, is made anew with them when its
// connection was lost, and is gone with its consumer.
func TestTemporaryQueue(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProxy(t, url)
	received := make(chan string, 10)
	s := broker.Subscription{
		NoAck: true,
		Topology: topology.Topology{
			Exchanges: []topology.Exchange{{Name: "news", Kind: "topic"}, {Name: "other", Kind: "fanout"}},
			Queues:    []topology.Queue{{Name: "lasting", Args: map[string]any{"x-queue-type": "classic"}}},
			Bindings: []topology.Binding{
				{Source: "news", Key: "weather.#"}, {Source: "news", Key: "sport.*"}, {Source: "other"},
				{Source: "news", Key: "#", Destination: "lasting"},
			},
		},
	}
	k := converse(t, dial(t, p.url), s, func(broker.Channel) broker.Receiver {
		return broker.Receiver{Deliver: func(d *broker.Delivery) { received <- d.Exchange + " " + d.Key + " " + d.ID }}
	})
	publisher := dial(t, url)
	r := dialRaw(t, url)
	first := ""
	for round := range 3 {
		ch := receive(t, "the channel", k.channels)
		if ch.Queue() == first {
			t.Errorf("round %d: got queue %s again", round, first)
		}
		if code := r.passive(ch.Queue()); code != amqp.ResourceLocked {
			t.Errorf("round %d: the queue answers %d to others, want %d: it is exclusive", round, code, amqp.ResourceLocked)
		}
		for _, m := range []broker.Message{{Exchange: "news", Key: "politics"}, {Exchange: "news", Key: "sport.tennis.men"},
			{Exchange: "news", Key: "weather.today"}, {Exchange: "news", Key: "sport.tennis"}, {Exchange: "other", Key: "x"}} {
			m.ID = fmt.Sprint(round)
			if err := publisher.Publish(t.Context(), m); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []string{"news weather.today", "news sport.tennis", "other x"} {
			if got := receive(t, "a message", received); got != fmt.Sprint(want, " ", round) {
				t.Errorf("got %q, want %q in round %d", got, want, round)
			}
		}
		silent(t, "a message that is not bound for it", received, 50*time.Millisecond)
		first = ch.Queue()
		if round == 2 {
			k.stop()
			if err := receive(t, "the end of Converse", k.done); err != nil {
				t.Errorf("Converse: %v", err)
			}
		} else {
			p.cut()
		}
		eventually(t, "the end of the queue", func() bool { return r.passive(ch.Queue()) == amqp.NotFound })
	}
	if n := r.ready("lasting"); n != 12 {
		t.Errorf("the other queue has %d messages, want 12", n)
	}
}

// passive is what the server answers when asked for a queue; 0: it is there.
func (r *raw) passive(queue string) int {
	r.t.Helper()
	return replyCode(r.on(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, false, false, false, false, nil)
		return err
	}))
}
