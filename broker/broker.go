package broker

import (
	"context"

	"github.com/errandq/errand/topology"
)

// A Publisher sends messages.
type Publisher interface {
	// Publish sends ms and waits until the broker has confirmed every one of them: nil means
	// that each has been routed to at least one queue, which holds it, or is Optional and was
	// routed to none. Publish waits through
	// outages until ctx ends. An error that wraps [ErrUnconfirmed] leaves open whether the
	// broker has the message; any other says that it has not. Where several messages fail,
	// the errors are joined, each a [*PublishError].
	Publish(ctx context.Context, ms ...Message) error
}

// A Consumer receives messages.
type Consumer interface {
	// Consume calls deliver for each message of a queue, one after the other, from one
	// goroutine. While deliver blocks, no more messages than s.Prefetch pile up. Every
	// delivery has to be answered, later and from any goroutine. Consume survives lost
	// connections, closed channels and deleted queues; what is lost with them is told by
	// [Delivery.Context]. It returns nil once ctx or s.Drain has ended it and every delivery
	// is answered, and an error if the queue can't be consumed at the start or the broker
	// connection was closed.
	Consume(ctx context.Context, s Subscription, deliver func(*Delivery)) error
}

// A Declarer makes exchanges, queues and bindings.
type Declarer interface {
	// Declare makes what of t is not there yet. An object that exists with other properties
	// is an error, a [*DeclareError]. It waits through outages until ctx ends.
	Declare(ctx context.Context, t topology.Topology) error
}

// A Broker is all of them. *Conn is one.
type Broker interface {
	Publisher
	Consumer
	Declarer
}

var _ Broker = (*Conn)(nil)
