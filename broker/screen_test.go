package broker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// frameOf is an AMQP frame.
func frameOf(kind byte, payload []byte) []byte {
	f := binary.BigEndian.AppendUint32([]byte{kind, 0, 1}, uint32(len(payload)))
	return append(append(f, payload...), 0xce)
}

// headerOf is the frame of a message's properties: content type, headers and ID.
func headerOf(table []byte) []byte {
	p := append(make([]byte, 12), 0xa0, 0x80)
	p = append(append(p, 4), "json"...)
	p = append(binary.BigEndian.AppendUint32(p, uint32(len(table))), table...)
	return frameOf(frameHeader, append(append(p, 2), "id"...))
}

// entry is one entry of a table.
func entry(name, value string) []byte {
	return append(append([]byte{byte(len(name))}, name...), value...)
}

func sized(kind string, value []byte) string {
	return kind + string(binary.BigEndian.AppendUint32(nil, uint32(len(value)))) + string(value)
}

func TestHeadersAreRead(t *testing.T) {
	t.Parallel()
	deep := entry("end", "V")
	for range 33 {
		deep = entry("t", sized("F", deep))
	}
	var all []byte
	for i, v := range []string{"V", "b1", "B1", "s12", "u12", "I1234", "i1234", "f1234", "D12345", "l12345678", "d12345678", "T12345678", "t1",
		sized("S", []byte("text")), sized("x", []byte{0}), sized("A", []byte("VV")), sized("F", entry("x", "V"))} {
		all = append(all, entry(fmt.Sprint(i), v)...)
	}
	for _, c := range []struct {
		name   string
		table  []byte
		want   int // entries
		reason string
	}{
		{name: "all types", table: all, want: 17},
		{name: "none"},
		{name: "32 deep", table: bytes.Clone(deep[7:]), want: 1},
		{name: "33 deep", table: deep, reason: "nested deeper than 32 levels"},
		{name: "8192 elements", table: entry("l", sized("A", bytes.Repeat([]byte("V"), 8192))), want: 1},
		{name: "8193 elements", table: entry("l", sized("A", bytes.Repeat([]byte("V"), 8193))), reason: "a table or list in them has more than 8192 elements"},
		{name: "unknown type", table: entry("l", "?"), reason: "a value in them is none of AMQP's"},
		{name: "cut short", table: entry("l", "l1"), reason: "a value in them is none of AMQP's"},
		{name: "a name without a value", table: []byte{3, 'a', 'b', 'c'}, reason: "a value in them is none of AMQP's"},
		{name: "a name cut short", table: []byte{200, 'a'}, reason: "a value in them is none of AMQP's"},
		{name: "a list too long", table: entry("l", "A\xff\xff\xff\xff"), reason: "a value in them is none of AMQP's"},
		{name: "too large", table: entry("n", sized("S", make([]byte, defaultFrame))), reason: "with them the message's properties have 131113 bytes, and a frame at most 131072"},
	} {
		frame := headerOf(c.table)
		var m Message
		size, err := readHeader(frame[frameHeadSize:len(frame)-1], &m, &names{})
		if err != nil || size != 0 || m.ContentType != "json" || m.ID != "id" {
			t.Errorf("%s: got %+v, %v", c.name, m, err)
		}
		reason, unreadable := m.Headers[Unreadable]
		if unreadable != (c.reason != "") || unreadable && reason != c.reason || !unreadable && len(m.Headers) != c.want {
			t.Errorf("%s: got %d headers, %v, want %d, %q", c.name, len(m.Headers), reason, c.want, c.reason)
		}
	}
}

// A heard is a receiver that notes what it gets.
type heard []string

func (h *heard) delivered(d *Delivery) {
	*h = append(*h, fmt.Sprintf("delivery %d of %s, %d bytes", d.tag, d.ID, len(d.Body)))
}

func (h *heard) returned(m Message, code uint16, text string) {
	*h = append(*h, fmt.Sprintf("return of %s, %d bytes: %d %s", m.ID, len(m.Body), code, text))
}

func (h *heard) confirmed(tag uint64, multiple, acked bool) {
	*h = append(*h, fmt.Sprintf("confirm %d %t %t", tag, multiple, acked))
}

// ways are those in which a stream may come in.
func ways(stream []byte) map[string]io.Reader {
	return map[string]io.Reader{
		"all":    bytes.NewReader(stream),
		"halves": iotest.HalfReader(bytes.NewReader(stream)),
		"bytes":  iotest.OneByteReader(bytes.NewReader(stream)),
	}
}

// What belongs to messages and confirms goes to their receivers, in order, and the rest to the
// library.
func TestScreenDivides(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("body", 70_000)
	var stream, rest []byte
	pass := func(b []byte) { stream, rest = append(stream, b...), append(rest, b...) }
	take := func(b []byte) { stream = append(stream, b...) }
	deliver := func(channel uint16, tag uint64, c content) []byte {
		return c.appendTo(nil, channel, method("basic.deliver").short("errand").u64(tag).flags(false).short("x").short("k"))
	}
	pass(frame{methodFrame, 1, method("basic.consume-ok").short("errand")}.appendTo(nil))
	take(deliver(1, 1, newContent("a", nil, body)))
	take(deliver(2, 1, newContent("b", nil, "")))
	a, b := deliver(1, 2, newContent("c", nil, "first")), deliver(2, 2, newContent("d", nil, "second"))
	cut := len(a) - len("first") - frameOverhead
	take(a[:cut]) // messages of two channels may be mixed
	take(b)
	take(a[cut:])
	take(frame{methodFrame, 2, method("basic.ack").u64(7).flags(true)}.appendTo(nil))
	take(newContent("e", nil, "lost").appendTo(nil, 2, method("basic.return").u16(312).short("NO_ROUTE").short("x").short("k")))
	take(frame{methodFrame, 2, method("basic.nack").u64(8).flags(false)}.appendTo(nil))
	take(deliver(3, 1, newContent("nobody", nil, "is attached")))
	pass(frame{methodFrame, 2, method("basic.cancel").short("errand").flags(true)}.appendTo(nil))
	pass(frame{heartbeatFrame, 0, nil}.appendTo(nil))

	for name, from := range ways(stream) {
		s := newScreen(bufio.NewReaderSize(from, readBuffer))
		var one, two heard
		s.attach(1, &one)
		s.attach(2, &two)
		got, err := io.ReadAll(s)
		got = bytes.Replace(got, []byte(heartbeat), nil, 1) // its own, so that the connection counts as alive
		if err != nil || !bytes.Equal(got, rest) {
			t.Errorf("%s: the library got %q, %v, want %q", name, got, err, rest)
		}
		if want := (heard{fmt.Sprintf("delivery 1 of a, %d bytes", len(body)), "delivery 2 of c, 5 bytes"}); !slices.Equal(one, want) {
			t.Errorf("%s: channel 1 got %q, want %q", name, one, want)
		}
		if want := (heard{"delivery 1 of b, 0 bytes", "delivery 2 of d, 6 bytes", "confirm 7 true true",
			"return of e, 4 bytes: 312 NO_ROUTE", "confirm 8 false false"}); !slices.Equal(two, want) {
			t.Errorf("%s: channel 2 got %q, want %q", name, two, want)
		}
	}
}

// A server that breaks off in a message, or does not hold to AMQP, is no reason to hang or to
// invent something.
func TestScreenEndsWithBrokenFrames(t *testing.T) {
	t.Parallel()
	whole := newContent("a", nil, "body").appendTo(nil, 1, method("basic.deliver").short("errand").u64(1).flags(false).short("x").short("k"))
	long := newContent("a", nil, "body")
	tooLong := frame{bodyFrame, 1, []byte("more than said")}.appendTo(long.appendTo(nil, 1, method("basic.deliver").short("errand").u64(1).flags(false).short("x").short("k"))[:len(whole)-len("body")-frameOverhead])
	noEnd := bytes.Clone(whole)
	noEnd[len(noEnd)-1] = 0
	for name, stream := range map[string][]byte{
		"cut in the body": whole[:len(whole)-3],
		"body too long":   tooLong,
		"no frame end":    noEnd,
		"short method":    frame{methodFrame, 1, method("basic.deliver").short("errand")}.appendTo(nil),
		"short confirm":   frame{methodFrame, 1, method("basic.ack").u32(1)}.appendTo(nil),
		"huge method":     binary.BigEndian.AppendUint32([]byte{methodFrame, 0, 1, 0x7f, 0xff, 0xff, 0xff}, basicDeliver),
	} {
		var got heard
		s := newScreen(bufio.NewReader(bytes.NewReader(stream)))
		s.attach(1, &got)
		if _, err := io.ReadAll(s); err == nil && name != "cut in the body" || len(got) > 0 {
			t.Errorf("%s: got %v, %q, want an error and nothing delivered", name, err, got)
		}
	}
}

// The server may give out deliveries on a channel that it has closed.
func TestScreenTakesOutWhatComesOnAClosedChannel(t *testing.T) {
	t.Parallel()
	deliver := newContent("a", nil, strings.Repeat("body", 20_000)).appendTo(nil, 1, method("basic.deliver").short("errand").u64(1).flags(false).short("x").short("k"))
	confirm := frame{methodFrame, 1, method("basic.ack").u64(1).flags(false)}.appendTo(nil)
	closed := frame{methodFrame, 1, method("channel.close").u16(406).short("").u16(0).u16(0)}.appendTo(nil)
	closeOk := frame{methodFrame, 1, method("channel.close-ok")}.appendTo(nil)
	opened := frame{methodFrame, 1, method("channel.open-ok").long("")}.appendTo(nil)
	cancelled := frame{methodFrame, 1, method("basic.cancel").short("errand").flags(true)}.appendTo(nil)
	var stream, rest []byte
	stream = slices.Concat(deliver, closed, deliver, confirm, cancelled, closeOk, opened, deliver)
	rest = slices.Concat(closed, opened)
	for name, from := range ways(stream) {
		s := newScreen(bufio.NewReaderSize(from, readBuffer))
		var got heard
		s.attach(1, &got)
		passed, err := io.ReadAll(s)
		passed = bytes.Replace(passed, []byte(heartbeat), nil, 1)
		if err != nil || !bytes.Equal(passed, rest) {
			t.Errorf("%s: the library got %q, %v, want %q", name, passed, err, rest)
		}
		if want := (heard{"delivery 1 of a, 80000 bytes"}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q: nobody was attached to the second channel", name, got, want)
		}
	}
}

// FuzzScreen: whatever a server sends, the screen neither hangs nor panics, and gives the
// library little more than was sent.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("AMQP\x00\x00\x09\x01"))
	f.Add(headerOf(entry("a", "?")))
	f.Add(headerOf(entry("a", "F\xff\xff\xff\xff")))
	f.Add(frameOf(2, nil))
	f.Add(frameOf(2, bytes.Repeat([]byte{0xff}, 30)))
	f.Add(newContent("a", nil, "body").appendTo(nil, 1, method("basic.deliver").short("errand").u64(1).flags(false).short("x").short("k")))
	f.Fuzz(func(t *testing.T, stream []byte) {
		s := newScreen(bufio.NewReader(bytes.NewReader(stream)))
		var got heard
		s.attach(1, &got)
		passed, _ := io.ReadAll(s)
		if len(passed) > len(stream)+len(heartbeat)*(1+len(stream)/frameOverhead) {
			t.Errorf("got %d bytes of %d", len(passed), len(stream))
		}
	})
}

// What comes in of one job, divided.
func BenchmarkScreen(b *testing.B) {
	one := newContent("0198c0de-0000-7000-8000-000000000000", nil, strings.Repeat("x", 256)).
		appendTo(nil, 1, method("basic.deliver").short("errand").u64(1).flags(false).short("errand.jobs").short("bench"))
	const jobs = 1000
	stream := bytes.Repeat(one, jobs)
	p := make([]byte, 4096)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		s := newScreen(bufio.NewReaderSize(bytes.NewReader(stream), readBuffer))
		got := newInbox[*Delivery]()
		s.attach(1, &session{inbox: got})
		for {
			if _, err := s.Read(p); err != nil {
				break
			}
		}
		if n := len(got.list); n != jobs {
			b.Fatalf("got %d deliveries, want %d", n, jobs)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*jobs), "ns/job")
}

// A trickle gives one piece a second.
type trickle struct{ left []byte }

func (r *trickle) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Second)
	n := copy(p[:min(len(p), 100<<10)], r.left)
	r.left = r.left[n:]
	return n, nil
}

// However slowly a message comes in, the library sees that the connection is alive.
func TestScreenShowsThatTheConnectionIsAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		large := newContent("a", nil, strings.Repeat("x", 8<<20)).
			appendTo(nil, 1, method("basic.deliver").short("errand").u64(1).flags(false).short("x").short("k"))
		s := newScreen(bufio.NewReaderSize(&trickle{large}, readBuffer))
		var got heard
		s.attach(1, &got)
		p := make([]byte, 4096)
		for last := time.Now(); ; last = time.Now() {
			n, err := s.Read(p)
			if silent := time.Since(last); silent > 5*time.Second {
				t.Fatalf("the library saw nothing for %v", silent)
			}
			if err != nil {
				break
			}
			if string(p[:n]) != heartbeat {
				t.Fatalf("the library got %q", p[:n])
			}
		}
		if len(got) != 1 {
			t.Errorf("got %q, want the message", got)
		}
	})
}

// Bodies that nobody takes, or that were only announced, don't take up memory.
func TestAnnouncedBodiesAreNotAllocated(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]receiver{"attached": &heard{}, "nobody": nil} {
		in := &inward{to: to}
		if err := in.method(basicDeliver, method("basic.deliver").short("errand").u64(1).flags(false).short("x").short("k")[4:]); err != nil {
			t.Fatal(err)
		}
		if err := in.header(encoder(nil).u32(60 << 16).u64(1 << 60).u16(0)); err != nil {
			t.Fatal(err)
		}
		if n := cap(in.d.Body); n > ahead || to == nil && n > 0 {
			t.Errorf("%s: %d bytes are allocated", name, n)
		}
	}
}
