package broker

import (
	"fmt"
	"math"
	"time"
)

// A Message is one AMQP message with the address that it is sent to, or came by.
// Its fields mean what AMQP means by them.
type Message struct {
	Exchange string
	Key      string

	ID            string // must not be empty for Publish: the broker's answers are matched by it
	Type          string
	ContentType   string
	AppID         string
	CorrelationID string
	ReplyTo       string
	Timestamp     time.Time     // to the second; zero means none
	Expiration    time.Duration // how long a queue keeps the message; zero means no limit
	Priority      uint8
	Transient     bool // not written to disk; false means persistent
	// Optional means that it is no error when the exchange has no queue for the message: AMQP's
	// mandatory flag is not set. It does not go over the wire.
	Optional bool

	// Headers hold strings, booleans, integers, floats, []byte, time.Time, nil, and slices
	// ([]any) and maps (map[string]any) of them. Unsigned integers above 32 bits have no form
	// in AMQP.
	Headers map[string]any
	Body    []byte
}

// Limits of a message. AMQP's short strings are 255 bytes; the headers and properties have
// to fit into one frame, 128 KiB in RabbitMQ's default, or the server closes the whole
// connection, so half of that is the limit here.
const (
	maxShortString = 255
	maxHeaders     = 64 << 10
	maxHeaderDepth = 8
	maxExpiration  = math.MaxUint32 * time.Millisecond // RabbitMQ's own: 49 days
)

// DefaultMaxBody is the largest body that RabbitMQ 4 takes by default, 16 MiB.
const DefaultMaxBody = 16 << 20

// Check returns an error, which wraps [ErrInvalid] or [ErrTooLarge], if m can't be sent: AMQP has
// no form for it, or the server would break off the channel or the connection, which other
// messages share. maxBody is the largest body in bytes. [Conn.Publish] checks by itself.
func (m *Message) Check(maxBody int) error {
	if len(m.Body) > maxBody {
		return fmt.Errorf("%w: body of %d bytes, at most %d are allowed", ErrTooLarge, len(m.Body), maxBody)
	}
	for _, s := range [...]struct{ name, value string }{
		{"exchange", m.Exchange}, {"routing key", m.Key}, {"ID", m.ID}, {"type", m.Type},
		{"content type", m.ContentType}, {"app ID", m.AppID},
		{"correlation ID", m.CorrelationID}, {"reply-to", m.ReplyTo},
	} {
		if len(s.value) > maxShortString {
			return fmt.Errorf("%w: %s of %d bytes, AMQP allows %d", ErrInvalid, s.name, len(s.value), maxShortString)
		}
	}
	if m.Expiration > maxExpiration {
		return fmt.Errorf("%w: expiration of %v, RabbitMQ allows %v", ErrInvalid, m.Expiration, maxExpiration)
	}
	if m.Headers == nil {
		return nil
	}
	size, err := sizeOf(m.Headers, 0)
	if err != nil {
		return err
	}
	if size > maxHeaders {
		return fmt.Errorf("%w: headers of %d bytes, at most %d are allowed", ErrTooLarge, size, maxHeaders)
	}
	return nil
}
