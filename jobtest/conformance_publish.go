package jobtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func publishCases() []conformanceCase {
	return slices.Concat(
		onBoth("every field arrives", everyFieldArrives),
		[]conformanceCase{
			{"headers of every type", headersOfEveryType},
			{"nothing", func(c *trial) { c.publish() }},
			{"what is published is a copy", publishedIsACopy},
			{"unroutable", publishUnroutable},
			{"optional", publishOptional},
			{"one of several fails", oneOfSeveralFails},
			{"invalid", publishInvalid},
			{"too large", publishTooLarge},
			{"context over", publishContextOver},
			{"refused by one queue of two", refusedByOneOfTwo},
		},
		onBoth("order", publishOrder),
		onBoth("full queue", fullQueue),
	)
}

func everyFieldArrives(c *trial, queueType string) {
	x, q := c.exchange("topic", nil), c.queue(queueType)
	c.bind(topology.Binding{Source: x, Key: "#", Destination: q})
	sent := broker.Message{
		Exchange: x, Key: "the.key", ID: "the ID", Type: "the type", ContentType: "text/plain",
		AppID: "the app", CorrelationID: "the correlation", ReplyTo: "the reply-to",
		Timestamp: time.Now().Truncate(time.Second), Expiration: time.Hour, Priority: 4, // that of those without, on RabbitMQ 4.3
		Headers: map[string]any{"the header": "its value"}, Body: []byte("the body"),
	}
	plain := broker.Message{Exchange: x, ID: "plain"}
	fleeting := c.to(x, "k", "not on disk")
	fleeting.Transient, fleeting.Optional = true, true
	c.publish(sent, plain, fleeting)

	fleeting.Optional = false // that does not travel
	i := c.take(q, 3)
	for _, want := range []broker.Message{sent, plain, fleeting} {
		d := i.next()
		got := d.Message
		if d.Queue != q || d.Redelivered || d.Deliveries != 0 {
			c.Errorf("delivered from %q, redelivered %v, deliveries %d; want %q for the first time", d.Queue, d.Redelivered, d.Deliveries, q)
		}
		if !got.Timestamp.Equal(want.Timestamp) {
			c.Errorf("timestamp: got %v, want %v", got.Timestamp, want.Timestamp)
		}
		got.Timestamp = want.Timestamp // the same one may be in another zone
		if queueType == "quorum" {
			delete(got.Headers, "x-delivery-count") // RabbitMQ before 3.12 adds it, though it is 0
			want.Transient = got.Transient          // it is on disk anyway; not all versions say so
		}
		if len(got.Headers) == 0 {
			got.Headers = nil
		}
		if len(got.Body) == 0 {
			got.Body = nil
		}
		if !reflect.DeepEqual(got, want) {
			c.Errorf("delivered:\n got %+v\nwant %+v", got, want)
		}
		c.ack(d)
	}
}

func headersOfEveryType(c *trial) {
	q := c.queue("classic")
	m := c.message(q, "headers")
	m.Headers = map[string]any{
		"string": "text", "empty": "", "yes": true, "no": false, "int": -7, "int8": int8(-8), "int16": int16(-16),
		"int32": int32(-32), "int64": int64(math.MinInt64), "uint8": uint8(8), "float32": float32(1.5), "float64": 2.5,
		"bytes": []byte{0, 1}, "time": time.Unix(1e9, 5e8), "nil": nil, "list": []any{"a", 1, nil},
		"map": map[string]any{"inner": map[string]any{"n": 1}},
	}
	c.publish(m)
	want := map[string]any{
		"string": "text", "empty": "", "yes": true, "no": false, "int": int64(-7), "int8": int8(-8), "int16": int16(-16),
		"int32": int32(-32), "int64": int64(math.MinInt64), "uint8": uint8(8), "float32": float32(1.5), "float64": 2.5,
		"bytes": []byte{0, 1}, "time": time.Unix(1e9, 0), "nil": nil, "list": []any{"a", int64(1), nil},
		"map": map[string]any{"inner": map[string]any{"n": int64(1)}},
	}
	d := c.take(q, 1).next()
	for name, w := range want {
		got, there := d.Headers[name]
		if at, ok := got.(time.Time); ok && at.Equal(w.(time.Time)) {
			continue // in whatever zone
		}
		if !there || !reflect.DeepEqual(got, w) {
			c.Errorf("header %s: got %T(%v), want %T(%v)", name, got, got, w, w)
		}
	}
	if len(d.Headers) != len(want) {
		c.Errorf("got %d headers, want %d: %v", len(d.Headers), len(want), d.Headers)
	}
}

func publishedIsACopy(c *trial) {
	q := c.queue("classic")
	m := c.message(q, "before")
	m.Headers = map[string]any{"h": "before", "deep": map[string]any{"h": "before"}}
	c.publish(m)
	copy(m.Body, "AFTER!")
	m.Headers["h"] = "after"
	m.Headers["deep"].(map[string]any)["h"] = "after"
	d := c.take(q, 1).next()
	deep, _ := d.Headers["deep"].(map[string]any)
	if string(d.Body) != "before" || d.Headers["h"] != "before" || deep["h"] != "before" {
		c.Errorf("delivered: got body %q and headers %v, want them as they were when they were published", d.Body, d.Headers)
	}
}

func publishUnroutable(c *trial) {
	c.refused(c.message(c.name("missing"), "to no queue"), broker.ErrUnroutable)
	c.refused(c.to(c.exchange("direct", nil), "k", "to an exchange without queues"), broker.ErrUnroutable)
	c.refused(c.to(c.name("missing"), "k", "to no exchange"), broker.ErrUnroutable)
	optional := c.to(c.name("missing"), "k", "to no exchange, optional")
	optional.Optional = true
	c.refused(optional, broker.ErrUnroutable)
}

func publishOptional(c *trial) {
	x, q := c.exchange("direct", nil), c.queue("classic")
	nobody, somebody := c.to(x, "k", "nobody takes it"), c.to(x, "q", "somebody does")
	nobody.Optional, somebody.Optional = true, true
	c.bind(topology.Binding{Source: x, Key: "q", Destination: q})
	c.publish(nobody, somebody)
	c.holds(q, "somebody does")
}

func oneOfSeveralFails(c *trial) {
	q, missing := c.queue("quorum"), c.name("missing")
	ms := []broker.Message{c.message(q, "0"), c.message(missing, "1"), c.message(q, "2"), c.to(missing, "", "3"), c.message(q, "4")}
	err := c.b.Publish(c.Context(), ms...)
	var got []string
	for _, f := range broker.Failures(err) {
		got = append(got, f.ID)
		if !errors.Is(f, broker.ErrUnroutable) {
			c.Errorf("message %s: got %v, want %v", f.ID, f.Err, broker.ErrUnroutable)
		}
	}
	slices.Sort(got)
	if want := []string{ms[1].ID, ms[3].ID}; !slices.Equal(got, want) {
		c.Errorf("Publish: got %v, want failures of %q", err, want)
	}
	// The others share the fate of a channel that the missing exchange closes, and may be sent
	// twice therefore.
	i := c.take(q, 100)
	seen := map[string]bool{}
	for len(seen) < 3 {
		seen[string(i.next().Body)] = true
	}
	if !seen["0"] || !seen["2"] || !seen["4"] {
		c.Errorf("delivered: got %v, want 0, 2 and 4", seen)
	}
}

// What is no message makes the call fail before anything is sent.
func publishInvalid(c *trial) {
	q := c.queue("classic")
	long := string(make([]byte, 256))
	for what, spoil := range map[string]func(*broker.Message){
		"no ID":              func(m *broker.Message) { m.ID = "" },
		"long ID":            func(m *broker.Message) { m.ID = long },
		"long type":          func(m *broker.Message) { m.Type = long },
		"long content type":  func(m *broker.Message) { m.ContentType = long },
		"long app ID":        func(m *broker.Message) { m.AppID = long },
		"long correlation":   func(m *broker.Message) { m.CorrelationID = long },
		"long reply-to":      func(m *broker.Message) { m.ReplyTo = long },
		"long header name":   func(m *broker.Message) { m.Headers = map[string]any{long: 1} },
		"no form in AMQP":    func(m *broker.Message) { m.Headers = map[string]any{"h": struct{}{}} },
		"no form in a list":  func(m *broker.Message) { m.Headers = map[string]any{"h": []any{make(chan int)}} },
		"unsigned and large": func(m *broker.Message) { m.Headers = map[string]any{"h": uint64(1)} },
	} {
		m := c.message(q, what)
		spoil(&m)
		err := c.b.Publish(c.Context(), c.message(q, "before"), m, c.message(q, "behind"))
		if failures := broker.Failures(err); !errors.Is(err, broker.ErrInvalid) || len(failures) != 1 || failures[0].ID != m.ID {
			c.Errorf("%s: got %v, want %v, of this message alone", what, err, broker.ErrInvalid)
		}
	}
	c.holds(q)
}

func publishTooLarge(c *trial) {
	q := c.queue("classic")
	body := c.message(q, "")
	body.Body = make([]byte, broker.DefaultMaxBody+1)
	headers := c.message(q, "")
	headers.Headers = map[string]any{"h": string(make([]byte, 64<<10))}
	for _, m := range []broker.Message{body, headers} {
		err := c.b.Publish(c.Context(), c.message(q, "before"), m)
		if failures := broker.Failures(err); !errors.Is(err, broker.ErrTooLarge) || len(failures) != 1 || failures[0].ID != m.ID {
			c.Errorf("got %v, want %v, of this message alone", err, broker.ErrTooLarge)
		}
	}
	c.holds(q)
}

func publishContextOver(c *trial) {
	q := c.queue("classic")
	ctx, cancel := context.WithCancelCause(c.Context())
	cancel(errOver)
	err := c.b.Publish(ctx, c.message(q, "a"), c.message(q, "b"))
	if !errors.Is(err, errOver) || !errors.Is(err, broker.ErrNotConnected) || len(broker.Failures(err)) != 2 {
		c.Errorf("Publish: got %v, want %v with the cause %v, of both messages", err, broker.ErrNotConnected, errOver)
	}
	c.holds(q)
}

func publishOrder(c *trial, queueType string) {
	q := c.queue(queueType)
	var ms []broker.Message
	var want []string
	for n := range 300 {
		want = append(want, fmt.Sprint(n))
		ms = append(ms, c.message(q, want[n]))
	}
	c.publish(ms[:200]...)
	c.publish(ms[200:]...)
	c.holds(q, want...)
}

// patienceWithFull is how long a case waits for a full queue.
const patienceWithFull = time.Second

func (c *trial) publishFor(d time.Duration, ms ...broker.Message) error {
	ctx, cancel := context.WithTimeoutCause(c.Context(), d, errOver)
	defer cancel()
	return c.b.Publish(ctx, ms...)
}

// gaveUpOnFull reports whether err says that the queue refused until the context ended. If it
// ended in the middle of a try, the error is about that.
func gaveUpOnFull(err error) bool {
	inTheMiddle := errors.Is(err, broker.ErrUnconfirmed) || errors.Is(err, broker.ErrNotConnected)
	return errors.Is(err, errOver) && (errors.Is(err, broker.ErrNacked) || inTheMiddle)
}

// A full queue refuses, and Publish waits for room until its context ends. A quorum queue
// takes a few too many.
func fullQueue(c *trial, queueType string) {
	q := c.queue(queueType, map[string]any{"x-max-length": 2, "x-overflow": "reject-publish"})
	free := c.queue(queueType)
	taken := 0
	var err error
	for ; err == nil; taken++ {
		if taken == 100 {
			c.Fatal("100 messages were taken by a queue for 2")
		}
		err = c.publishFor(patienceWithFull, c.message(q, fmt.Sprint(taken)), c.message(free, fmt.Sprint(taken)))
	}
	taken--
	if !gaveUpOnFull(err) || len(broker.Failures(err)) != 1 {
		c.Errorf("Publish: got %v, want %v with the cause %v, of the message for the full queue", err, broker.ErrNacked, errOver)
	}
	if queueType == "classic" && taken != 2 {
		c.Errorf("%d messages were taken, want 2", taken)
	}
	var all []string
	for n := range taken + 1 {
		all = append(all, fmt.Sprint(n))
	}
	c.holds(free, all...) // the other queue's messages did not wait

	waiting := make(chan error, 1)
	go func() { waiting <- c.b.Publish(c.Context(), c.message(q, "waits")) }()
	i := c.take(q, 1)
	i.wantAnswered(all[:taken]...)
	i.wantAnswered("waits")
	if err := <-waiting; err != nil {
		c.Errorf("Publish: got %v, want nil when there was room", err)
	}
}

// A message that one of its queues refuses is refused, and comes again to the others.
func refusedByOneOfTwo(c *trial) {
	x := c.exchange("fanout", nil)
	full, free := c.queue("classic", map[string]any{"x-max-length": 1, "x-overflow": "reject-publish"}), c.queue("classic")
	c.fill(full, "first")
	c.bind(topology.Binding{Source: x, Destination: full}, topology.Binding{Source: x, Destination: free})
	err := c.publishFor(patienceWithFull, c.to(x, "", "second"))
	if !gaveUpOnFull(err) {
		c.Errorf("Publish: got %v, want %v", err, broker.ErrNacked)
	}
	i := c.take(free, 1)
	i.want("second")
}
