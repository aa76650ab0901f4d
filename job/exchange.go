package job

import (
	"fmt"

	"github.com/errandq/errand/topology"
)

// Publish makes an event of the kind's jobs: they are published to an exchange, for whatever
// queues are bound to it, not sent to a queue. t declares the exchange, unless it is zero.
// That no queue takes one is no error, unless [Mandatory] says so. They can't be delayed.
// Package event is built on it.
func Publish(exchange string, t topology.Topology) Option {
	return func(s *spec) {
		if exchange == "" {
			s.failf("the exchange has no name")
		}
		s.queue, s.queueOptions = "", nil
		s.exchange, s.source, s.optional = exchange, t, true
	}
}

// Key is the routing key of an event, at most 255 bytes.
func Key(key string) Option {
	return func(s *spec) {
		if len(key) > 255 {
			s.fail(fmt.Errorf("%w: kind %q: key %.40q… of %d bytes, 255 are allowed", ErrInvalid, s.kind, key, len(key)))
		}
		s.key = key
	}
}

// Mandatory makes it an error, one that wraps broker.ErrUnroutable, when no queue takes the
// event.
func Mandatory() Option { return func(s *spec) { s.optional = false } }

// Published reports whether the job is an event that goes to an exchange. One that a worker
// has received goes to its queue, if it has to be sent again.
func (j Job) Published() bool { return j.Queue == "" && j.Exchange != "" }
