package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A tap keeps what the library writes while it is open: the server does not get that.
type tap struct {
	net.Conn
	mu   sync.Mutex
	open bool
	kept []byte
}

func (t *tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.open {
		return t.Conn.Write(p)
	}
	t.kept = append(t.kept, p...)
	return len(p), nil
}

func (t *tap) turn(open bool) (kept []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept, t.open, t.kept = t.kept, open, nil
	return kept
}

// A library is a client of amqp091-go, at the scripted server, with a consumer.
type library struct {
	tap      *tap
	ch       *amqp.Channel
	peer     *peer
	channel  uint16
	in       <-chan amqp.Delivery
	returns  chan amqp.Return
	confirms chan amqp.Confirmation
	over     chan *amqp.Error
}

// withLibrary runs f in a bubble, where time is simulated, with a client.
func withLibrary(t *testing.T, f func(t *testing.T, l *library)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, connectLibrary(t)) })
}

func connectLibrary(t *testing.T) *library {
	t.Helper()
	s := newServer(t)
	raw, err := s.dial(t.Context(), "", "")
	must(t, err)
	l := &library{tap: &tap{Conn: raw}}
	conn, err := amqp.Open(l.tap, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "u", Password: "p"}}, Vhost: "/", Locale: "en_US"})
	must(t, err)
	t.Cleanup(func() { must(t, conn.Close()) })
	l.over = conn.NotifyClose(make(chan *amqp.Error, 1))
	l.ch, err = conn.Channel()
	must(t, err)
	l.returns, l.confirms = l.ch.NotifyReturn(make(chan amqp.Return, 1)), l.ch.NotifyPublish(make(chan amqp.Confirmation, 100))
	must(t, l.ch.Confirm(false))
	l.in, err = l.ch.Consume("q", "tag", true, false, false, false, nil)
	must(t, err)
	r := s.consumer(t, "q")
	l.peer, l.channel = r.peer, r.channel
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next is what comes from c.
func next[T any](t *testing.T, l *library, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case err := <-l.over:
		t.Fatalf("the library broke off: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("the library reads nothing")
	}
	return v
}

// publishes is what the library writes of m.
func (l *library) publishes(t *testing.T, m Message) []byte {
	t.Helper()
	l.tap.turn(true)
	err := l.ch.PublishWithContext(t.Context(), m.Exchange, m.Key, !m.Optional, false, asPublishing(m))
	kept := l.tap.turn(false)
	must(t, err)
	return kept
}

// asPublishing is m as it would be given to the library. It knows nothing of fractions.
func asPublishing(m Message) amqp.Publishing {
	p := amqp.Publishing{Headers: table(m.Headers), ContentType: m.ContentType, DeliveryMode: 2, Priority: m.Priority, CorrelationId: m.CorrelationID,
		ReplyTo: m.ReplyTo, MessageId: m.ID, Timestamp: m.Timestamp, Type: m.Type, AppId: m.AppID, Body: m.Body}
	if m.Transient {
		p.DeliveryMode = 1
	}
	if m.Expiration != 0 {
		p.Expiration = fmt.Sprint(m.Expiration.Milliseconds())
	}
	return p
}

// fromLibrary is what the library has read.
func fromLibrary(t *testing.T, d amqp.Delivery) Message {
	t.Helper()
	m := Message{Exchange: d.Exchange, Key: d.RoutingKey, ID: d.MessageId, Type: d.Type, ContentType: d.ContentType, AppID: d.AppId,
		CorrelationID: d.CorrelationId, ReplyTo: d.ReplyTo, Timestamp: d.Timestamp, Priority: d.Priority, Transient: d.DeliveryMode == 1,
		Headers: d.Headers, Body: d.Body}
	if d.Expiration != "" {
		var err error
		m.Expiration, err = time.ParseDuration(d.Expiration + "ms")
		must(t, err)
	}
	if d.DeliveryMode != 1 && d.DeliveryMode != 2 || d.ContentEncoding != "" || d.UserId != "" {
		t.Errorf("the library reads mode %d, encoding %q, user %q", d.DeliveryMode, d.ContentEncoding, d.UserId)
	}
	return m
}

// What floats are compared as: NaN is itself, and -0 is not 0.
type (
	bits32 uint32
	bits64 uint64
)

// alike is a value of a header such that reflect.DeepEqual tells whether two mean the same.
func alike(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case float32:
		return bits32(math.Float32bits(v))
	case float64:
		return bits64(math.Float64bits(v))
	case time.Time:
		return time.Unix(v.Unix(), 0)
	case []byte:
		return append([]byte{}, v...)
	case amqp.Table:
		return alike(map[string]any(v))
	case map[string]any:
		m := map[string]any{}
		for key, item := range v {
			m[key] = alike(item)
		}
		return m
	case []any:
		list := []any{}
		for _, item := range v {
			list = append(list, alike(item))
		}
		return list
	}
	return v
}

// arriving is m as it has to arrive.
func arriving(m Message) Message {
	m.Optional = false
	if 0 < m.Expiration && m.Expiration < time.Millisecond {
		m.Expiration = time.Millisecond
	}
	m.Expiration = max(0, m.Expiration.Truncate(time.Millisecond))
	if !m.Timestamp.IsZero() {
		m.Timestamp = time.Unix(m.Timestamp.Unix(), 0)
	}
	return m
}

// label says which message it is.
func label(i int, m Message) string {
	m.Body = nil
	return fmt.Sprintf("message %d, %.80s", i, fmt.Sprintf("%+v", m))
}

// wantArrived compares what has arrived with what was sent.
func wantArrived(t *testing.T, what string, got, sent Message) {
	t.Helper()
	want := arriving(sent)
	for _, m := range []*Message{&got, &want} {
		m.Timestamp = m.Timestamp.UTC()
		m.Body = append([]byte{}, m.Body...)
		m.Headers = alike(m.Headers).(map[string]any)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %.2000s, want %.2000s", what, fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want))
	}
}

// written is what we write of m.
func written(t *testing.T, channel uint16, m Message, maxFrame int) []byte {
	t.Helper()
	const before = "what was there before"
	b, err := appendPublish([]byte(before), channel, &m)
	must(t, err)
	b = appendBody(b, channel, m.Body, maxFrame)
	if !bytes.HasPrefix(b, []byte(before)) {
		t.Fatalf("what was there before has become %q", b[:len(before)])
	}
	return b[len(before):]
}

// framesOf takes a stream apart.
func framesOf(t *testing.T, stream []byte) (frames []frame) {
	t.Helper()
	for r := bytes.NewReader(stream); r.Len() > 0; {
		f, err := readFrame(r)
		must(t, err)
		frames = append(frames, f)
	}
	return frames
}

// readdressed is a stream of one message with another method before it.
func readdressed(t *testing.T, stream []byte, m encoder) []byte {
	t.Helper()
	frames := framesOf(t, stream)
	if f := frames[0]; f.kind != methodFrame || !bytes.HasPrefix(f.payload, method("basic.publish")) {
		t.Fatalf("it begins with %v", f)
	}
	frames[0].payload = m
	var b []byte
	for _, f := range frames {
		b = f.appendTo(b)
	}
	return b
}

func delivering(m Message, tag uint64, redelivered bool) encoder {
	return method("basic.deliver").short("tag").u64(tag).flags(redelivered).short(m.Exchange).short(m.Key)
}

func returning(m Message, code uint16, text string) encoder {
	return method("basic.return").u16(code).short(text).short(m.Exchange).short(m.Key)
}

// A caught is a receiver that keeps what it gets.
type caught struct {
	delivery []*Delivery
	returns  []Message
	reasons  []string
	confirms *confirms
}

func (c *caught) delivered(d *Delivery) { c.delivery = append(c.delivery, d) }

func (c *caught) returned(m Message, code uint16, text string) {
	c.returns, c.reasons = append(c.returns, m), append(c.reasons, fmt.Sprint(code, " ", text))
}

func (c *caught) confirmed(tag uint64, multiple, ack bool) {
	c.confirms.settle(tag, multiple, map[bool]int32{true: acked, false: nacked}[ack])
}

// caughtOf is what we read in a stream, in which nothing is for the library.
func caughtOf(t *testing.T, channel uint16, stream io.Reader, c *caught) *caught {
	t.Helper()
	s := newScreen(bufio.NewReader(stream))
	s.attach(channel, c)
	rest, err := io.ReadAll(s)
	must(t, err)
	if rest = bytes.ReplaceAll(rest, []byte(heartbeat), nil); len(rest) > 0 {
		t.Fatalf("the library is given %q", rest)
	}
	return c
}

// arrived is the message that we read in a stream, delivered.
func arrived(t *testing.T, channel uint16, stream io.Reader) Message {
	t.Helper()
	c := caughtOf(t, channel, stream, &caught{})
	if len(c.delivery) != 1 || len(c.returns) != 0 {
		t.Fatalf("got %d deliveries and %d returns, want one delivery", len(c.delivery), len(c.returns))
	}
	return c.delivery[0].Message
}
