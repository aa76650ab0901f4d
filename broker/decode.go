package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Unreadable is the header that a message has in the place of all its others, if they can't
// be read, or are more than amqp091-go reads. Its value says why.
const Unreadable = "errand-unreadable"

// What is read at most of headers: as much as amqp091-go does.
const (
	maxReadDepth    = 32   // tables and lists in each other
	maxReadElements = 8192 // of one table or list
)

var (
	errShort = errors.New("broker: the server sent a frame that ends too early")
	errField = errors.New("a value in them is none of AMQP's")
)

// An input is what is left of a payload. Reading beyond its end reads zeros, and sets short.
type input struct {
	left  []byte
	short bool
}

func (in *input) next(n int) []byte {
	if n < 0 || n > len(in.left) {
		in.short, in.left = true, nil
		return nil
	}
	b := in.left[:n]
	in.left = in.left[n:]
	return b
}

func (in *input) u8() byte {
	if b := in.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (in *input) u16() uint16 {
	if b := in.next(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (in *input) u32() uint32 {
	if b := in.next(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (in *input) u64() uint64 {
	if b := in.next(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// text is a short string.
func (in *input) text() []byte { return in.next(int(in.u8())) }

// long is what has its size, of 32 bits, before it.
func (in *input) long() []byte { return in.next(int(in.u32())) }

// names are the texts of the last message that was read: mostly the next has the same, which
// spares allocating them.
type names struct{ exchange, key, contentType, replyTo, kind, appID string }

// again is b as a string: the last one if that is the same.
func again(last *string, b []byte) string {
	if string(b) != *last {
		*last = string(b)
	}
	return *last
}

// readHeader reads the payload of a header frame into m, and the size of the body that follows.
func readHeader(payload []byte, m *Message, last *names) (size uint64, err error) {
	in := &input{left: payload}
	in.u32() // class and weight
	size = in.u64()
	flags := in.u16()
	if flags&hasContentType != 0 {
		m.ContentType = again(&last.contentType, in.text())
	}
	if flags&hasContentEncoding != 0 {
		in.text()
	}
	if flags&hasHeaders != 0 {
		m.Headers = readHeaders(in.long(), len(payload)+frameOverhead)
	}
	if flags&hasDeliveryMode != 0 {
		m.Transient = in.u8() != persistent
	} else {
		m.Transient = true
	}
	if flags&hasPriority != 0 {
		m.Priority = in.u8()
	}
	if flags&hasCorrelationID != 0 {
		m.CorrelationID = string(in.text())
	}
	if flags&hasReplyTo != 0 {
		m.ReplyTo = again(&last.replyTo, in.text())
	}
	if flags&hasExpiration != 0 {
		m.Expiration = expiration(string(in.text()))
	}
	if flags&hasMessageID != 0 {
		m.ID = string(in.text())
	}
	if flags&hasTimestamp != 0 {
		m.Timestamp = time.Unix(int64(in.u64()), 0)
	}
	if flags&hasType != 0 {
		m.Type = again(&last.kind, in.text())
	}
	if flags&hasUserID != 0 {
		in.text()
	}
	if flags&hasAppID != 0 {
		m.AppID = again(&last.appID, in.text())
	}
	if in.short {
		return 0, errShort
	}
	return size, nil
}

// readHeaders reads a table of headers, from a frame of that size.
func readHeaders(table []byte, frame int) map[string]any {
	if len(table) == 0 {
		return nil
	}
	headers, err := readTable(table, 0)
	if err == nil && frame > defaultFrame { // what the server has added is too much to send again
		err = fmt.Errorf("with them the message's properties have %d bytes, and a frame at most %d", frame, defaultFrame)
	}
	if err != nil {
		return map[string]any{Unreadable: err.Error()}
	}
	return headers
}

func readTable(b []byte, depth int) (map[string]any, error) {
	if depth > maxReadDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxReadDepth)
	}
	fields := map[string]any{}
	in := &input{left: b}
	for n := 0; len(in.left) > 0; n++ {
		if n == maxReadElements {
			return nil, errElements
		}
		name := string(in.text())
		v, err := in.field(depth)
		if err != nil {
			return nil, err
		}
		fields[name] = v
	}
	return fields, nil
}

func readList(b []byte, depth int) ([]any, error) {
	if depth > maxReadDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxReadDepth)
	}
	list := []any{}
	in := &input{left: b}
	for len(in.left) > 0 {
		if len(list) == maxReadElements {
			return nil, errElements
		}
		v, err := in.field(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

var errElements = fmt.Errorf("a table or list in them has more than %d elements", maxReadElements)

// field reads a value with its type.
func (in *input) field(depth int) (v any, err error) {
	switch in.u8() {
	case 'V':
	case 't':
		v = in.u8() != 0
	case 'b':
		v = int8(in.u8())
	case 'B':
		v = in.u8()
	case 's':
		v = int16(in.u16())
	case 'u':
		v = in.u16()
	case 'I':
		v = int32(in.u32())
	case 'i':
		v = in.u32()
	case 'l':
		v = int64(in.u64())
	case 'f':
		v = math.Float32frombits(in.u32())
	case 'd':
		v = math.Float64frombits(in.u64())
	case 'D':
		v = amqp.Decimal{Scale: in.u8(), Value: int32(in.u32())}
	case 'T':
		v = time.Unix(int64(in.u64()), 0)
	case 'S':
		v = string(in.long())
	case 'x':
		v = append([]byte{}, in.long()...)
	case 'F':
		v, err = readTable(in.long(), depth+1)
	case 'A':
		v, err = readList(in.long(), depth+1)
	default:
		return nil, errField
	}
	if in.short {
		return nil, errField
	}
	return v, err
}
