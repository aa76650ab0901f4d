package broker

import (
	"errors"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A rawChannel is a channel of the library whose messages, confirms and returns don't pass
// through the library, but go straight to the socket and come straight from it: that costs a
// small part of the time and memory. The rest does: to declare, consume, ack and close.
type rawChannel struct {
	*amqp.Channel
	id       uint16
	serial   uint64 // of its opening: the number is used again
	socket   *socket
	maxFrame int

	mu     sync.Mutex
	frames []byte // room for those of one message, without its body
}

// A receiver gets what comes in on a channel, in the order in which the server has sent it,
// from the goroutine that reads the connection: it must not wait.
type receiver interface {
	// delivered is called for a delivery, which has no queue, context and answerer yet.
	delivered(*Delivery)
	// returned is called for a message that no queue has taken, and why.
	returned(m Message, code uint16, text string)
	// confirmed is called for the confirm of a message, or of all up to it.
	confirmed(tag uint64, multiple, acked bool)
}

// errChannelOver: the channel is closed, or about to be.
var errChannelOver = errors.New("broker: channel closed")

// send writes m. The error wraps [ErrInvalid] if it has no form in AMQP, and is errChannelOver
// if nothing was written because the channel is closed. With any other the connection is dead.
func (ch *rawChannel) send(m *Message) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	frames, err := appendPublish(ch.frames[:0], ch.id, m)
	if err != nil {
		return err
	}
	ch.frames = frames
	return ch.socket.publish(ch, frames, m.Body)
}

// channel opens a channel. What comes in on it goes to r, which may be nil.
func (g *generation) channel(r receiver) (*rawChannel, error) {
	// The library does not tell the number of a channel: it is that of the last that was opened.
	g.opening.Lock()
	defer g.opening.Unlock()
	var ch *amqp.Channel
	err := g.call("channel.open", func() (err error) {
		ch, err = g.amqp.Channel()
		return err
	})
	if err != nil {
		return nil, err
	}
	id, serial := g.socket.lastOpened()
	g.socket.reader.attach(id, r)
	return &rawChannel{Channel: ch, id: id, serial: serial, socket: g.socket, maxFrame: g.frameSize()}, nil
}

// frameSize is how large a frame may be, as negotiated.
func (g *generation) frameSize() int {
	if n := g.amqp.Config.FrameSize; n >= minFrame {
		return n
	}
	return defaultFrame
}

// closeChannel closes ch. Its error would only say that it was closed already.
func (g *generation) closeChannel(ch *rawChannel) {
	_ = g.call("channel.close", ch.Close)
}
