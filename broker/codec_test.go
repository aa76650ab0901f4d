package broker

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// These tests hold what errand writes and reads itself against amqp091-go.

// What we write, the library reads as it was meant, and so do we.
func TestLibraryReadsWhatWeWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		messages []Message
		maxFrame int
	}{
		"shapes":       {shapes(), maxFrame},
		"bodies":       {bodies(maxFrame), maxFrame},
		"small frames": {bodies(minFrame), minFrame},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withLibrary(t, func(t *testing.T, l *library) {
				for i, m := range c.messages {
					exchangeOne(t, l, i, m, written(t, l.channel, m, c.maxFrame))
				}
			})
		})
	}
}

// exchangeOne has one message, which we have written, read by the library and by us.
func exchangeOne(t *testing.T, l *library, i int, m Message, ours []byte) {
	t.Helper()
	what := label(i, m)
	tag, redelivered := uint64(i)<<30+1, i%2 == 1
	stream := readdressed(t, ours, delivering(m, tag, redelivered))
	l.peer.send(stream)
	d := next(t, l, l.in)
	wantArrived(t, what, fromLibrary(t, d), m)
	c := caughtOf(t, l.channel, bytes.NewReader(stream), &caught{})
	if len(c.delivery) != 1 {
		t.Fatalf("%s: we read %d deliveries, want one", what, len(c.delivery))
	}
	wantArrived(t, what+", read by us", c.delivery[0].Message, m)
	if o := c.delivery[0]; o.tag != tag || d.DeliveryTag != tag || o.Redelivered != redelivered || d.Redelivered != redelivered {
		t.Errorf("%s: we read tag %d, redelivered %t, the library %d, %t", what, o.tag, o.Redelivered, d.DeliveryTag, d.Redelivered)
	}
}

// Each frame is as large as it may be, and no larger.
func TestBodiesAreCutIntoFrames(t *testing.T) {
	t.Parallel()
	for _, maxFrame := range []int{frameOverhead + 1, 4096, 128 << 10} {
		for _, m := range bodies(maxFrame) {
			var joined []byte
			frames := framesOf(t, appendBody(nil, 300, m.Body, maxFrame))
			for i, f := range frames {
				if size := len(f.payload) + 8; f.kind != bodyFrame || f.channel != 300 || size > maxFrame || i < len(frames)-1 && size < maxFrame {
					t.Errorf("body of %s in frames of %d: frame %d is of kind %d on %d, with %d bytes", m.ID, maxFrame, i, f.kind, f.channel, size)
				}
				joined = append(joined, f.payload...)
			}
			if !bytes.Equal(joined, m.Body) {
				t.Errorf("body of %s in frames of %d: got %d bytes", m.ID, maxFrame, len(joined))
			}
		}
	}
}

// Where there is one way to write a message, ours is the library's, from the exchange's name to
// the last frame of the body.
func TestWeWriteWhatTheLibraryWrites(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		for i, m := range slices.Concat(shapes(), bodies(maxFrame)) {
			if !sole(m.Headers) {
				continue
			}
			as := arriving(m)
			as.Optional = m.Optional
			if ours, theirs := written(t, l.channel, m, maxFrame), l.publishes(t, as); !bytes.Equal(ours, theirs) {
				t.Errorf("%s: got %.500q, want %.500q", label(i, m), ours, theirs)
			}
		}
	})
}

// What the library writes, we read as it was meant, however it comes in.
func TestWeReadWhatTheLibraryWrites(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		for i, m := range slices.Concat(shapes(), bodies(maxFrame)) {
			m = arriving(m)
			stream := readdressed(t, l.publishes(t, m), delivering(m, 1, false))
			for name, from := range ways(stream) {
				if name == "bytes" && len(stream) > maxFrame {
					continue
				}
				wantArrived(t, label(i, m)+", in "+name, arrived(t, l.channel, from), m)
			}
		}
	})
}

// The properties that a Message has no field for are skipped.
func TestWeReadPastWhatWeDoNotKnow(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		for set := range combinations {
			m := combination(set)
			p := asPublishing(m)
			p.ContentEncoding, p.UserId, p.DeliveryMode = "gzip", "guest", 0
			l.tap.turn(true)
			err := l.ch.PublishWithContext(t.Context(), m.Exchange, m.Key, true, false, p)
			stream := readdressed(t, l.tap.turn(false), delivering(m, 1, false))
			must(t, err)
			m.Transient = true // which is the mode if there is none
			wantArrived(t, fmt.Sprintf("%b", set), arrived(t, l.channel, bytes.NewReader(stream)), m)
		}
	})
}

// The scripted server, which other tests rely on, and our decoder understand the same of what
// the library sends.
func TestWeReadWhatTheServerGets(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		for set := range combinations {
			m := combination(set)
			m.Exchange, m.Key, m.Body = "x", "k", []byte(fmt.Sprint("body ", set))
			must(t, l.ch.PublishWithContext(t.Context(), m.Exchange, m.Key, true, false, asPublishing(m)))
			next(t, l, l.confirms)
			r := l.peer.server.last(t, "basic.publish")
			if r.exchange != "x" || r.key != "k" || !r.is("mandatory") {
				t.Errorf("%b: the server got %v", set, r)
			}
			got := Message{Exchange: r.exchange, Key: r.key, Body: r.content.body}
			size, err := readHeader(append(encoder(nil).u32(60<<16).u64(uint64(len(m.Body))), r.content.properties...), &got, &names{})
			if err != nil || size != uint64(len(m.Body)) {
				t.Errorf("%b: got %d, %v", set, size, err)
			}
			wantArrived(t, fmt.Sprintf("%b", set), got, m)
		}
	})
}

// The method that we publish by, taken apart by the scripted server.
func TestPublishMethod(t *testing.T) {
	t.Parallel()
	for _, m := range []Message{{}, {Exchange: "x", Key: "k"}, {Exchange: strings.Repeat("x", 255), Optional: true}} {
		frames := framesOf(t, written(t, 0xabcd, m, maxFrame))
		r := decode(nil, frames[0].channel, frames[0].payload)
		if r.method != "basic.publish" || r.channel != 0xabcd || r.exchange != m.Exchange || r.key != m.Key || r.is("mandatory") == m.Optional || r.flags > 1 {
			t.Errorf("got %+v of %+v", r, m)
		}
	}
}

func TestLibraryReadsTheReturnsThatWeRead(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		for i, m := range slices.Concat(named(), bodies(maxFrame)) {
			code, text := uint16(312+i), strings.Repeat("r", 255*(i%2))
			stream := readdressed(t, written(t, l.channel, m, maxFrame), returning(m, code, text))
			l.peer.send(stream)
			r := next(t, l, l.returns)
			if r.ReplyCode != code || r.ReplyText != text || r.Exchange != m.Exchange || r.RoutingKey != m.Key || r.MessageId != m.ID || !bytes.Equal(r.Body, m.Body) {
				t.Errorf("%d: the library reads %d %q, %q, %q, %q", i, r.ReplyCode, r.ReplyText, r.Exchange, r.RoutingKey, r.MessageId)
			}
			c := caughtOf(t, l.channel, iotest.HalfReader(bytes.NewReader(stream)), &caught{})
			if want := []string{fmt.Sprint(code, " ", text)}; !slices.Equal(c.reasons, want) || len(c.delivery) > 0 {
				t.Fatalf("%d: we read %d returns, %d deliveries", i, len(c.reasons), len(c.delivery))
			}
			wantArrived(t, fmt.Sprint("return ", i), c.returns[0], m)
		}
	})
}

func TestLibraryReadsTheConfirmsThatWeRead(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		var ours []*confirm
		c := &caught{confirms: &confirms{first: 1}}
		for range 8 {
			l.publishes(t, Message{})
			ours = append(ours, &confirm{})
			c.confirms.add(ours[len(ours)-1])
		}
		var stream []byte
		for _, m := range []encoder{
			method("basic.ack").u64(1).flags(false), method("basic.nack").u64(3).flags(true, false), method("basic.ack").u64(5).flags(true),
			method("basic.nack").u64(7).flags(false, true), method("basic.ack").u64(6).flags(false), method("basic.nack").u64(8).flags(false, true),
		} {
			stream = frame{methodFrame, l.channel, m}.appendTo(stream)
		}
		l.peer.send(stream)
		caughtOf(t, l.channel, bytes.NewReader(stream), c)
		for i, o := range ours {
			theirs := next(t, l, l.confirms)
			if want := map[bool]int32{true: acked, false: nacked}[theirs.Ack]; theirs.DeliveryTag != uint64(i+1) || o.state.Load() != want {
				t.Errorf("confirm %d: we read %d, the library %+v", i+1, o.state.Load(), theirs)
			}
		}
	})
}

// Whoever gets headers does not have to know the library's types.
func TestHeadersAreReadAsPlainTypes(t *testing.T) {
	t.Parallel()
	sent := Message{Headers: map[string]any{"m": amqp.Table{"m": amqp.Table{"n": 7, "at": time.Unix(7, 9)}}, "l": []any{amqp.Table{"a": nil}, uint16(7)}}}
	want := map[string]any{"m": map[string]any{"m": map[string]any{"n": int64(7), "at": time.Unix(7, 0)}}, "l": []any{map[string]any{"a": nil}, uint16(7)}}
	stream := readdressed(t, written(t, 1, sent, maxFrame), delivering(sent, 1, false))
	if got := arrived(t, 1, bytes.NewReader(stream)).Headers; !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

// What one message has does not show in the next.
func TestMessagesDoNotMix(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	all := shapes()
	var stream []byte
	var sent []Message
	for i := range 2000 {
		m := all[random.IntN(len(all))]
		for _, s := range []*string{&m.Exchange, &m.Key, &m.Type, &m.ContentType, &m.AppID, &m.CorrelationID, &m.ReplyTo, &m.ID} {
			if random.IntN(2) == 0 {
				*s = string(rune('a' + random.IntN(3)))
			}
		}
		sent = append(sent, m)
		stream = append(stream, readdressed(t, written(t, 7, m, maxFrame), delivering(m, uint64(i), false))...)
	}
	c := caughtOf(t, 7, bytes.NewReader(stream), &caught{})
	if len(c.delivery) != len(sent) {
		t.Fatalf("got %d deliveries, want %d", len(c.delivery), len(sent))
	}
	for i, d := range c.delivery {
		wantArrived(t, fmt.Sprint("message ", i), d.Message, sent[i])
	}
}

func TestWhatHasNoFormIsNotWritten(t *testing.T) {
	t.Parallel()
	for _, v := range []any{uint(1), uint64(1), uintptr(1), complex64(1), struct{}{}, []string{"a"}, map[string]string{}, new(int), [1]byte{}} {
		for _, headers := range []map[string]any{{"h": v}, {"h": []any{v}}, {"h": map[string]any{"n": v}}, {"h": amqp.Table{"n": []any{1, v}}}} {
			b, err := appendPublish(nil, 1, &Message{Headers: headers})
			if b != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `"h"`) || !strings.Contains(err.Error(), fmt.Sprintf("%T", v)) {
				t.Errorf("%v: got %q, %v, want ErrInvalid, the header and its type", headers, b, err)
			}
		}
	}
}

// The limits of what is read are those of the library, which breaks off beyond them.
func TestReadLimits(t *testing.T) {
	t.Parallel()
	nested := func(levels int, in func(any) any) (v any) {
		for range levels {
			v = in(v)
		}
		return v
	}
	mapped, listed := func(v any) any { return map[string]any{"": v} }, func(v any) any { return []any{v} }
	many := map[string]any{}
	for i := range 8193 {
		many[fmt.Sprint(i)] = nil
	}
	fewer := maps.Clone(many)
	delete(fewer, "0")
	for name, c := range map[string]struct {
		value    any
		readable bool
	}{
		"32 maps": {nested(32, mapped), true}, "33 maps": {nested(33, mapped), false},
		"32 lists": {nested(32, listed), true}, "33 lists": {nested(33, listed), false},
		"8192 items": {make([]any, 8192), true}, "8193 items": {make([]any, 8193), false},
		"8192 entries": {fewer, true}, "8193 entries": {many, false},
	} {
		m := Message{ID: "id", Headers: map[string]any{"h": c.value}}
		ours := written(t, 1, m, maxFrame)
		got := arrived(t, 1, bytes.NewReader(readdressed(t, ours, delivering(m, 1, false))))
		if c.readable {
			wantArrived(t, name, got, m)
			withLibrary(t, func(t *testing.T, l *library) { exchangeOne(t, l, 0, m, written(t, l.channel, m, maxFrame)) })
			continue
		}
		if reason, ok := got.Headers["errand-unreadable"].(string); !ok || reason == "" || len(got.Headers) != 1 || got.ID != "id" {
			t.Errorf("%s: got %.300q, want %s", name, fmt.Sprint(got), Unreadable)
		}
	}
}

// What it takes to write one job.
func BenchmarkEncode(b *testing.B) {
	m := Message{Exchange: "errand.jobs", Key: "bench", ID: "0198c0de-0000-7000-8000-000000000000", Type: "bench", ContentType: "application/json",
		Timestamp: time.Unix(1_700_000_000, 0), Body: make([]byte, 256)}
	var frames []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if frames, err = appendPublish(frames[:0], 1, &m); err != nil {
			b.Fatal(err)
		}
		frames = appendBody(frames, 1, m.Body, defaultFrame)
	}
	b.SetBytes(int64(len(frames)))
}
