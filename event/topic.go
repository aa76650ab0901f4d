package event

import (
	"context"
	"fmt"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// ErrUnmatched is wrapped by the error of an event that had to be heard, and that no
// subscription takes: see [Mandatory]. It is also that of any event whose exchange is missing
// and not ours to declare: see [Existing].
var ErrUnmatched = broker.ErrUnroutable

// ErrInvalid is wrapped by every error about a topic, key or subscription that breaks a rule.
var ErrInvalid = job.ErrInvalid

// A Routing is how an exchange chooses the queues for an event. They are AMQP's.
type Routing string

// The routings.
const (
	Fanout  Routing = "fanout"  // every queue
	Direct  Routing = "direct"  // those bound by the event's very key
	Pattern Routing = "topic"   // those bound by a pattern that the key matches: * is a word, # any number
	Headers Routing = "headers" // those bound by headers that the event has
)

// A Topic is a type of event with a value of type T. Make it with [Define] in a package that
// publishers and subscribers import. It is safe for concurrent use.
type Topic[T any] struct {
	def  *definition
	kind job.Kind[T] // of the jobs that its events are to a producer
}

// A definition is what both sides know of a topic.
type definition struct {
	name     string
	exchange string
	routing  Routing
	existing bool
	codec    codec.Codec
	err      error
}

// An Option says something about a topic.
type Option func(*definition)

// Exchange publishes the topic to the named exchange instead of one named like the topic, and
// with another routing than Fanout. Topics may share an exchange.
func Exchange(name string, r Routing) Option {
	return func(d *definition) { d.exchange, d.routing = name, r }
}

// Existing says that somebody else declares the exchange: it is used as it is.
func Existing() Option { return func(d *definition) { d.existing = true } }

// Codec turns values into bytes and back. The default is codec.JSON. Nil is a mistake.
func Codec(c codec.Codec) Option { return func(d *definition) { d.codec = c } }

// Define names a topic. The name stands in every message, and is the name of its exchange
// unless [Exchange] says otherwise: choose it once. A bad name or option is no panic here: it
// makes every event of the topic an error when it is published, and the worker an error when
// it starts.
func Define[T any](name string, opts ...Option) Topic[T] {
	d := &definition{name: name, exchange: name, routing: Fanout, codec: codec.JSON}
	for _, o := range opts {
		o(d)
	}
	d.err = d.check()
	return Topic[T]{d, job.Define[T](name, job.Fault(d.err), job.Codec(d.codec), job.Publish(d.exchange, d.topology()))}
}

func (d *definition) check() error {
	switch d.routing {
	case Fanout, Direct, Pattern, Headers:
	default:
		return fmt.Errorf("%w: topic %q: there is no routing %q", ErrInvalid, d.name, d.routing)
	}
	if d.existing {
		if d.exchange == "" || len(d.exchange) > maxKey {
			return fmt.Errorf("%w: topic %q: exchange %.40q: 1 to 255 bytes are allowed", ErrInvalid, d.name, d.exchange)
		}
		return nil // amq.topic, say
	}
	if err := topology.CheckExchange(d.exchange); err != nil {
		return fmt.Errorf("%w: topic %q: %w", ErrInvalid, d.name, err)
	}
	return nil
}

// undefined is the definition of a zero Topic.
func undefined() *definition {
	return &definition{name: "event", err: fmt.Errorf("%w: the zero Topic: use event.Define", ErrInvalid)}
}

func (t Topic[T]) definition() *definition {
	if t.def == nil {
		return undefined()
	}
	return t.def
}

// Name is the topic's name.
func (t Topic[T]) Name() string { return t.kind.Name() }

// topology declares the exchange, unless somebody else does.
func (d *definition) topology() topology.Topology {
	if d.existing {
		return topology.Topology{}
	}
	return topology.Topology{Exchanges: []topology.Exchange{{Name: d.exchange, Kind: string(d.routing)}}}
}

// A PublishOption says something about one event.
type PublishOption func(*publication)

type publication struct {
	key     string
	options []job.Option
}

// Key is the routing key. Topics whose exchange is Direct or Pattern need one, others may have
// it. It is at most 255 bytes; for Pattern it is words joined by dots, none of them empty or a
// wildcard.
func Key(key string) PublishOption { return func(p *publication) { p.key = key } }

// Header adds a header that subscribers can read, and that a Headers exchange routes by. The
// rules are those of job.Header.
func Header(name string, value any) PublishOption {
	return func(p *publication) { p.options = append(p.options, job.Header(name, value)) }
}

// ID is the event's ID instead of a new one: that of its row in an outbox, say. No other event
// of any topic may have it, also not the next one about the same thing: subscribers tell
// duplicates by it.
func ID(id string) PublishOption {
	return func(p *publication) { p.options = append(p.options, job.ID(id)) }
}

// Mandatory makes it an error, [ErrUnmatched], when no subscription takes the event. Without
// it an event that nobody asked for is none.
func Mandatory() PublishOption {
	return func(p *publication) { p.options = append(p.options, job.Mandatory()) }
}

// New makes an event that a producer can enqueue, together with others or with jobs.
// Mistakes are reported then.
func (t Topic[T]) New(value T, opts ...PublishOption) job.Job {
	d := t.definition()
	if t.def == nil {
		return job.Define[T](d.name, job.Fault(d.err)).New(value)
	}
	var p publication
	for _, o := range opts {
		o(&p)
	}
	fault := job.Fault(d.checkKey(p.key))
	return t.kind.New(value, append(p.options, job.Key(p.key), fault)...)
}

// Publish tells everybody who asked, and returns when RabbitMQ has confirmed it. To publish
// many events by one call, enqueue what [Topic.New] makes. The errors are those of p.
func (t Topic[T]) Publish(ctx context.Context, p job.Enqueuer, value T, opts ...PublishOption) error {
	if err := p.Enqueue(ctx, t.New(value, opts...)); err != nil {
		return fmt.Errorf("event: publish: %w", err)
	}
	return nil
}
