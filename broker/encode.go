package broker

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// appendPublish appends the frames that publish m on a channel, without those of its body. m
// has passed Check, so an error means that Check has missed something.
func appendPublish(b []byte, channel uint16, m *Message) ([]byte, error) {
	b, at := beginFrame(b, frameMethod, channel)
	b = binary.BigEndian.AppendUint32(b, basicPublish)
	b = append(b, 0, 0) // reserved
	b = appendShort(b, m.Exchange)
	b = appendShort(b, m.Key)
	b = append(b, bit(!m.Optional)) // mandatory
	b = endFrame(b, at)

	b, at = beginFrame(b, frameHeader, channel)
	b = append(b, basicPublish>>24, basicPublish>>16&0xff, 0, 0) // the class, and a weight of none
	b = binary.BigEndian.AppendUint64(b, uint64(len(m.Body)))
	b, err := appendProperties(b, m)
	if err != nil {
		return nil, err
	}
	return endFrame(b, at), nil
}

// appendBody appends the frames of a message's body, none of them larger than maxFrame.
func appendBody(b []byte, channel uint16, body []byte, maxFrame int) []byte {
	for len(body) > 0 {
		n := min(len(body), maxFrame-frameOverhead)
		var at int
		b, at = beginFrame(b, frameBody, channel)
		b = endFrame(append(b, body[:n]...), at)
		body = body[n:]
	}
	return b
}

func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// appendProperties appends flags that say which properties m has, and those.
func appendProperties(b []byte, m *Message) (_ []byte, err error) {
	at := len(b)
	flags := uint16(hasDeliveryMode)
	b = append(b, 0, 0)
	text := func(flag uint16, s string) {
		if s != "" {
			flags |= flag
			b = appendShort(b, s)
		}
	}
	text(hasContentType, m.ContentType)
	if len(m.Headers) > 0 {
		flags |= hasHeaders
		if b, err = appendTable(b, m.Headers); err != nil {
			return nil, err
		}
	}
	if m.Transient {
		b = append(b, transient)
	} else {
		b = append(b, persistent)
	}
	if m.Priority > 0 {
		flags |= hasPriority
		b = append(b, m.Priority)
	}
	text(hasCorrelationID, m.CorrelationID)
	text(hasReplyTo, m.ReplyTo)
	if m.Expiration > 0 {
		flags |= hasExpiration
		ms := strconv.FormatInt(max(m.Expiration.Milliseconds(), 1), 10)
		b = appendShort(b, ms)
	}
	text(hasMessageID, m.ID)
	if !m.Timestamp.IsZero() {
		flags |= hasTimestamp
		b = binary.BigEndian.AppendUint64(b, uint64(m.Timestamp.Unix()))
	}
	text(hasType, m.Type)
	text(hasAppID, m.AppID)
	binary.BigEndian.PutUint16(b[at:], flags)
	return b, nil
}

// appendShort appends a short string, of at most 255 bytes.
func appendShort(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }

// appendTable appends a table of fields.
func appendTable(b []byte, fields map[string]any) (_ []byte, err error) {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	for name, v := range fields {
		if b, err = appendField(appendShort(b, name), v); err != nil {
			return nil, fmt.Errorf("header %q: %w", name, err)
		}
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b, nil
}

// appendField appends a value with its type. A plain int has 64 bits.
func appendField(b []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case nil:
		return append(b, 'V'), nil
	case bool:
		return append(b, 't', bit(v)), nil
	case int8:
		return append(b, 'b', byte(v)), nil
	case uint8:
		return append(b, 'B', v), nil
	case int16:
		return binary.BigEndian.AppendUint16(append(b, 's'), uint16(v)), nil
	case uint16:
		return binary.BigEndian.AppendUint16(append(b, 'u'), v), nil
	case int32:
		return binary.BigEndian.AppendUint32(append(b, 'I'), uint32(v)), nil
	case uint32:
		return binary.BigEndian.AppendUint32(append(b, 'i'), v), nil
	case int:
		return binary.BigEndian.AppendUint64(append(b, 'l'), uint64(v)), nil
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 'l'), uint64(v)), nil
	case float32:
		return binary.BigEndian.AppendUint32(append(b, 'f'), math.Float32bits(v)), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'd'), math.Float64bits(v)), nil
	case amqp.Decimal:
		return binary.BigEndian.AppendUint32(append(b, 'D', v.Scale), uint32(v.Value)), nil
	case time.Time:
		return binary.BigEndian.AppendUint64(append(b, 'T'), uint64(v.Unix())), nil
	case string:
		return append(binary.BigEndian.AppendUint32(append(b, 'S'), uint32(len(v))), v...), nil
	case []byte:
		return append(binary.BigEndian.AppendUint32(append(b, 'x'), uint32(len(v))), v...), nil
	case map[string]any:
		return appendTable(append(b, 'F'), v)
	case amqp.Table:
		return appendTable(append(b, 'F'), v)
	case []any:
		b = append(b, 'A', 0, 0, 0, 0)
		at := len(b)
		for _, item := range v {
			if b, err = appendField(b, item); err != nil {
				return nil, err
			}
		}
		binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
		return b, nil
	}
	return nil, fmt.Errorf("%w: a %T has no form in an AMQP header", ErrInvalid, v)
}
