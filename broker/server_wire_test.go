package broker

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What goes over the wire between a Conn and the scripted server. What does not hold to
// AMQP panics, and so fails the test.

// The kinds of frames.
const (
	methodFrame    = 1
	headerFrame    = 2
	bodyFrame      = 3
	heartbeatFrame = 8
)

// The largest frame that either side may send, and what is payload of it.
const (
	maxFrame   = 128 << 10
	maxPayload = maxFrame - 8
)

// methodIDs are class and method of what either side sends, the class in the upper half.
var methodIDs = map[string]uint32{
	"connection.start": 10<<16 | 10, "connection.start-ok": 10<<16 | 11,
	"connection.tune": 10<<16 | 30, "connection.tune-ok": 10<<16 | 31,
	"connection.open": 10<<16 | 40, "connection.open-ok": 10<<16 | 41,
	"connection.close": 10<<16 | 50, "connection.close-ok": 10<<16 | 51,
	"connection.blocked": 10<<16 | 60, "connection.unblocked": 10<<16 | 61,
	"channel.open": 20<<16 | 10, "channel.open-ok": 20<<16 | 11,
	"channel.close": 20<<16 | 40, "channel.close-ok": 20<<16 | 41,
	"exchange.declare": 40<<16 | 10, "exchange.declare-ok": 40<<16 | 11,
	"exchange.bind": 40<<16 | 30, "exchange.bind-ok": 40<<16 | 31,
	"exchange.unbind": 40<<16 | 40, "exchange.unbind-ok": 40<<16 | 51,
	"queue.declare": 50<<16 | 10, "queue.declare-ok": 50<<16 | 11,
	"queue.bind": 50<<16 | 20, "queue.bind-ok": 50<<16 | 21,
	"queue.unbind": 50<<16 | 50, "queue.unbind-ok": 50<<16 | 51,
	"basic.qos": 60<<16 | 10, "basic.qos-ok": 60<<16 | 11,
	"basic.consume": 60<<16 | 20, "basic.consume-ok": 60<<16 | 21,
	"basic.cancel": 60<<16 | 30, "basic.cancel-ok": 60<<16 | 31,
	"basic.publish": 60<<16 | 40, "basic.return": 60<<16 | 50, "basic.deliver": 60<<16 | 60,
	"basic.ack": 60<<16 | 80, "basic.reject": 60<<16 | 90, "basic.nack": 60<<16 | 120,
	"confirm.select": 85<<16 | 10, "confirm.select-ok": 85<<16 | 11,
}

var methodNames = func() map[uint32]string {
	names := map[uint32]string{}
	for name, id := range methodIDs {
		names[id] = name
	}
	return names
}()

type frame struct {
	kind    byte
	channel uint16
	payload []byte
}

func readFrame(r io.Reader) (frame, error) {
	var head [7]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
	if _, err := io.ReadFull(r, rest); err != nil {
		return frame{}, err
	}
	last := len(rest) - 1
	if rest[last] != frameEnd || last > maxPayload {
		panic(fmt.Sprintf("a frame of %d bytes ends with %x", last, rest[last]))
	}
	return frame{head[0], binary.BigEndian.Uint16(head[1:]), rest[:last]}, nil
}

func (f frame) appendTo(b []byte) []byte {
	b = append(b, f.kind)
	b = binary.BigEndian.AppendUint16(b, f.channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.payload)))
	return append(append(b, f.payload...), frameEnd)
}

// An encoder makes the payload of a frame.
type encoder []byte

func method(name string) encoder {
	id, ok := methodIDs[name]
	if !ok {
		panic("no method " + name)
	}
	return encoder(nil).u32(id)
}

func (e encoder) u8(v byte) encoder    { return append(e, v) }
func (e encoder) u16(v uint16) encoder { return binary.BigEndian.AppendUint16(e, v) }
func (e encoder) u32(v uint32) encoder { return binary.BigEndian.AppendUint32(e, v) }
func (e encoder) u64(v uint64) encoder { return binary.BigEndian.AppendUint64(e, v) }

func (e encoder) short(s string) encoder { return append(e.u8(byte(len(s))), s...) }
func (e encoder) long(s string) encoder  { return append(e.u32(uint32(len(s))), s...) }

// flags writes bits, the first one lowest.
func (e encoder) flags(bits ...bool) encoder {
	var v byte
	for i, bit := range bits {
		if bit {
			v |= 1 << i
		}
	}
	return e.u8(v)
}

// table writes the types of values that the server needs.
func (e encoder) table(t amqp.Table) encoder {
	var in encoder
	for _, key := range slices.Sorted(maps.Keys(t)) {
		in = in.short(key)
		switch v := t[key].(type) {
		case string:
			in = in.u8('S').long(v)
		case bool:
			in = in.u8('t').flags(v)
		case int64:
			in = in.u8('l').u64(uint64(v))
		case amqp.Table:
			in = in.u8('F').table(v)
		default:
			panic(fmt.Sprintf("the scripted server does not write a %T", v))
		}
	}
	return e.long(string(in))
}

// A decoder takes the payload of a frame apart.
type decoder struct{ left []byte }

func (d *decoder) next(n int) []byte {
	b := d.left[:n]
	d.left = d.left[n:]
	return b
}

func (d *decoder) u8() byte      { return d.next(1)[0] }
func (d *decoder) u16() uint16   { return binary.BigEndian.Uint16(d.next(2)) }
func (d *decoder) u32() uint32   { return binary.BigEndian.Uint32(d.next(4)) }
func (d *decoder) u64() uint64   { return binary.BigEndian.Uint64(d.next(8)) }
func (d *decoder) short() string { return string(d.next(int(d.u8()))) }
func (d *decoder) long() string  { return string(d.next(int(d.u32()))) }

func (d *decoder) table() amqp.Table {
	in := decoder{[]byte(d.long())}
	t := amqp.Table{}
	for len(in.left) > 0 {
		key := in.short()
		t[key] = in.value()
	}
	return t
}

func (d *decoder) value() any {
	switch kind := d.u8(); kind {
	case 'S':
		return d.long()
	case 't':
		return d.u8() != 0
	case 'l':
		return int64(d.u64())
	case 'I':
		return int32(d.u32())
	case 'F':
		return d.table()
	case 'V':
		return nil
	default:
		panic(fmt.Sprintf("the scripted server does not read a field of kind %q", kind))
	}
}

// content is a message without its address. Its properties stay as they came.
type content struct {
	properties []byte // the flags and the list, or nil
	body       []byte
}

// newContent is a persistent message with an ID.
func newContent(id string, headers amqp.Table, body string) content {
	p := encoder(nil).u16(hasHeaders | hasDeliveryMode | hasMessageID).table(headers).u8(amqp.Persistent).short(id)
	return content{p, []byte(body)}
}

// id reads the message ID out of the properties, which has others before it.
func (c content) id() string {
	d := decoder{c.properties}
	flags := d.u16()
	for _, p := range []struct {
		flag uint16
		skip func()
	}{
		{hasContentType, func() { d.short() }},
		{hasContentEncoding, func() { d.short() }},
		{hasHeaders, func() { d.table() }},
		{hasDeliveryMode, func() { d.u8() }},
		{hasPriority, func() { d.u8() }},
		{hasCorrelationID, func() { d.short() }},
		{hasReplyTo, func() { d.short() }},
		{hasExpiration, func() { d.short() }},
	} {
		if flags&p.flag != 0 {
			p.skip()
		}
	}
	if flags&hasMessageID == 0 {
		return ""
	}
	return d.short()
}

// appendTo appends a method and the content that follows it.
func (c content) appendTo(b []byte, channel uint16, method encoder) []byte {
	b = frame{methodFrame, channel, method}.appendTo(b)
	header := encoder(nil).u16(60).u16(0).u64(uint64(len(c.body)))
	b = frame{headerFrame, channel, append(header, c.properties...)}.appendTo(b)
	for body := c.body; len(body) > 0; {
		n := min(len(body), maxPayload)
		b = frame{bodyFrame, channel, body[:n]}.appendTo(b)
		body = body[n:]
	}
	return b
}
