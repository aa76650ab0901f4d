package broker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"testing/iotest"
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
	return frameOf(contentHeader, append(append(p, 2), "id"...))
}

// entry is one entry of a table.
func entry(name, value string) []byte {
	return append(append([]byte{byte(len(name))}, name...), value...)
}

func sized(kind string, value []byte) string {
	return kind + string(binary.BigEndian.AppendUint32(nil, uint32(len(value)))) + string(value)
}

func TestScreen(t *testing.T) {
	t.Parallel()
	deep := entry("end", "V")
	for range 33 {
		deep = entry("t", sized("F", deep))
	}
	all := entry("a", "t\x01")
	for _, v := range []string{"V", "b1", "B1", "s12", "u12", "I1234", "i1234", "f1234", "D12345", "l12345678", "d12345678", "T12345678",
		sized("S", []byte("text")), sized("x", []byte{0}), sized("A", []byte("VV")), sized("F", entry("x", "V"))} {
		all = append(all, entry("b", v)...)
	}
	long := entry("long", sized("S", make([]byte, leastUnreadable))) // shorter ones are not looked at
	long = long[:len(long):len(long)]
	replaced := func(why string) []byte { return headerOf(entry(Unreadable, sized("S", []byte(why)))) }
	for _, c := range []struct {
		name      string
		sent, got []byte // got nil: as it was sent
	}{
		{name: "all types", sent: headerOf(all)},
		{name: "no headers", sent: headerOf(nil)},
		{name: "32 deep", sent: headerOf(bytes.Clone(deep[7:]))},
		{name: "33 deep", sent: headerOf(deep), got: replaced("nested deeper than 32 levels")},
		{name: "8192 elements", sent: headerOf(entry("l", sized("A", bytes.Repeat([]byte("V"), 8192))))},
		{name: "8193 elements", sent: headerOf(entry("l", sized("A", bytes.Repeat([]byte("V"), 8193)))), got: replaced("a table or list in them has more than 8192 elements")},
		{name: "unknown type", sent: headerOf(append(long, entry("l", "?")...)), got: replaced("a value in them is none of AMQP's")},
		{name: "cut short", sent: headerOf(append(long, entry("l", "l1")...)), got: replaced("a value in them is none of AMQP's")},
		{name: "too large", sent: headerOf(entry("n", sized("S", make([]byte, defaultFrame)))), got: replaced("with them the message's properties have 131113 bytes, and a frame at most 131072")},
	} {
		before, after := frameOf(1, []byte("method")), append(frameOf(3, bytes.Repeat([]byte("body"), 50_000)), frameOf(8, nil)...)
		if c.got == nil {
			c.got = c.sent
		}
		want := append(append(bytes.Clone(before), c.got...), after...)
		stream := append(append(bytes.Clone(before), c.sent...), after...)
		for name, slow := range map[string]func(io.Reader) io.Reader{"all": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "bytes": iotest.OneByteReader} {
			s := &screen{from: bufio.NewReaderSize(slow(bytes.NewReader(stream)), readBuffer), limit: defaultFrame}
			got, err := io.ReadAll(slow(s))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %s: got %d bytes, %v, want %d: %.80q", c.name, name, len(got), err, len(want), strings.TrimPrefix(string(got), string(before)))
			}
		}
	}
}

// methodOn is the frame of a method.
func methodOn(channel uint16, id uint32) []byte {
	f := frameOf(frameMethod, append(binary.BigEndian.AppendUint32(nil, id), "arguments"...))
	binary.BigEndian.PutUint16(f[1:], channel)
	return f
}

func TestScreenTakesOutWhatComesOnAClosedChannel(t *testing.T) {
	t.Parallel()
	const deliver = 60<<16 | 60
	content := append(headerOf(nil), frameOf(3, bytes.Repeat([]byte("body"), 20_000))...) // on channel 1
	var stream, want []byte
	pass := func(frames ...[]byte) {
		for _, f := range frames {
			stream, want = append(stream, f...), append(want, f...)
		}
	}
	pass(methodOn(1, deliver), content, methodOn(1, channelClose))
	stream = append(append(stream, methodOn(1, deliver)...), content...)
	pass(methodOn(2, deliver), frameOf(8, nil)[:1], []byte{0, 0, 0, 0, 0, 0, 0xce}) // a heartbeat, on channel 0
	stream = append(stream, methodOn(1, 20<<16|41)...)
	pass(methodOn(1, channelOpenOk), methodOn(1, deliver), content)
	for name, slow := range map[string]func(io.Reader) io.Reader{"all": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader} {
		s := &screen{from: bufio.NewReaderSize(slow(bytes.NewReader(stream)), readBuffer), limit: defaultFrame}
		got, err := io.ReadAll(slow(s))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, %v, want %d", name, len(got), err, len(want))
		}
	}
}

// FuzzScreen: whatever a server sends, the screen neither fails nor adds anything.
func FuzzScreen(f *testing.F) {
	f.Add([]byte("AMQP\x00\x00\x09\x01"))
	f.Add(headerOf(entry("a", "?")))
	f.Add(headerOf(entry("a", "F\xff\xff\xff\xff")))
	f.Add(frameOf(2, nil))
	f.Add(frameOf(2, bytes.Repeat([]byte{0xff}, 30)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		s := &screen{from: bufio.NewReader(bytes.NewReader(stream)), limit: defaultFrame}
		got, err := io.ReadAll(s)
		if err != nil || len(got) > 200*len(stream) {
			t.Errorf("got %d bytes of %d, %v", len(got), len(stream), err)
		}
	})
}

func BenchmarkScreen(b *testing.B) {
	one := append(append(frameOf(1, make([]byte, 40)), headerOf(entry("errand-attempt", "l12345678"))...), frameOf(3, make([]byte, 100))...)
	stream := bytes.Repeat(one, 1000)
	p := make([]byte, 4096)
	for b.Loop() {
		s := &screen{from: bufio.NewReaderSize(bytes.NewReader(stream), readBuffer), limit: defaultFrame}
		for {
			if _, err := s.Read(p); err != nil {
				break
			}
		}
	}
}
