package broker

import "encoding/binary"

// The kinds of frames, and their form: kind, channel, size, payload, end (AMQP 0-9-1, 2.3.5).
const (
	frameMethod = 1
	frameHeader = 2 // the properties of a message
	frameBody   = 3
	frameEnd    = 0xCE

	frameHeadSize = 7
	frameOverhead = frameHeadSize + 1
)

// defaultFrame is how large a frame is at most: what the library asks for and RabbitMQ allows
// by default.
const defaultFrame = 128 << 10

// minFrame is the smallest limit for that which AMQP allows.
const minFrame = 4096

// Methods: class and number.
const (
	channelOpen    = 20<<16 | 10
	channelOpenOk  = 20<<16 | 11
	channelClose   = 20<<16 | 40
	channelCloseOk = 20<<16 | 41
	basicPublish   = 60<<16 | 40
	basicReturn    = 60<<16 | 50
	basicDeliver   = 60<<16 | 60
	basicAck       = 60<<16 | 80
	basicNack      = 60<<16 | 120
)

// Flags of the properties that a message has, in the order in which they follow.
const (
	hasContentType = 1 << (15 - iota)
	hasContentEncoding
	hasHeaders
	hasDeliveryMode
	hasPriority
	hasCorrelationID
	hasReplyTo
	hasExpiration
	hasMessageID
	hasTimestamp
	hasType
	hasUserID
	hasAppID
)

// Delivery modes.
const (
	transient  = 1
	persistent = 2
)

// beginFrame appends the head of a frame. endFrame, with the place where it begins, finishes it.
func beginFrame(b []byte, kind byte, channel uint16) (frame []byte, at int) {
	at = len(b)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint16(b, channel)
	return append(b, 0, 0, 0, 0), at
}

func endFrame(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at+3:], uint32(len(b)-at-frameHeadSize))
	return append(b, frameEnd)
}
