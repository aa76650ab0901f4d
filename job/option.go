package job

import (
	"fmt"
	"strings"
	"time"

	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/topology"
)

// An Option says something about a job. Given to [Define] it holds for all jobs of the
// kind, given to [Kind.New] for one.
type Option func(*spec)

// A spec is what options have said so far.
type spec struct {
	kind         string
	id           string
	queue        string
	queueOptions []topology.Option
	exchange     string
	key          string
	source       topology.Topology
	optional     bool
	codec        codec.Codec
	delay        time.Duration
	at           time.Time
	expireIn     time.Duration
	priority     uint8
	headers      map[string]any
	err          error // the first mistake
}

// with returns s with options. It is a function of its own because options move what they are
// applied to onto the heap.
func (s spec) with(opts []Option) spec {
	for _, o := range opts {
		o(&s)
	}
	return s
}

func (s *spec) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

func (s *spec) failf(format string, args ...any) {
	s.fail(fmt.Errorf("%w: kind %q: %s", ErrInvalid, s.kind, fmt.Sprintf(format, args...)))
}

func (s *spec) setHeader(name string, value any) {
	if s.headers == nil {
		s.headers = map[string]any{}
	}
	s.headers[name] = value
}

func (s *spec) notBefore(now time.Time) time.Time {
	t := s.at
	if s.delay > 0 {
		t = now.Add(s.delay)
	}
	if !t.After(now) {
		return time.Time{} // at once
	}
	return millisecond(t)
}

// Queue sends the job to the named queue instead of "default". How the queue is declared
// can be said by options, which the workers learn from the kind: topology.Existing(), for
// one that somebody else has made.
func Queue(name string, opts ...topology.Option) Option {
	return func(s *spec) {
		if err := topology.CheckQueue(name); err != nil {
			s.fail(fmt.Errorf("%w: kind %q: %w", ErrInvalid, s.kind, err))
		}
		s.queue, s.queueOptions = name, opts
	}
}

// Codec turns the arguments into bytes and back. The default is codec.JSON. In New it has
// no meaning, because the worker would not know.
func Codec(c codec.Codec) Option {
	return func(s *spec) {
		if c == nil {
			s.failf("the codec is nil")
			return
		}
		s.codec = c
	}
}

// Delay makes the job run no earlier than after d. It must not be negative; zero means now.
// It overrides [At].
func Delay(d time.Duration) Option {
	return func(s *spec) {
		if d < 0 {
			s.failf("a delay of %v is negative", d)
		}
		s.delay, s.at = d, time.Time{}
	}
}

// At makes the job run no earlier than at t, to the millisecond. A time in the past means
// now, one after the year 9999 is a mistake. It overrides [Delay].
func At(t time.Time) Option {
	return func(s *spec) {
		if t.Year() > 9999 {
			s.failf("the time %v is after the year 9999", t)
		}
		s.delay, s.at = 0, t
	}
}

// ExpireIn makes the job worthless after d, counted from New: a worker that gets it later
// drops it. It must be positive, and longer than the delay.
func ExpireIn(d time.Duration) Option {
	return func(s *spec) {
		if d <= 0 {
			s.failf("an expiry of %v is not positive", d)
		}
		s.expireIn = d
	}
}

// Priority is for queues that know priorities, as RabbitMQ 4's quorum queues do: on 4.3
// from 0 to 31, the higher first, 4 where none is given; on 4.0 to 4.2 above 4 means
// preferred; before that it has no effect. Delayed and retried jobs have none on their way.
func Priority(p uint8) Option { return func(s *spec) { s.priority = p } }

// maxID is how long an ID may be, in bytes.
const maxID = 255

// ID is the job's ID instead of a new one: 1 to 255 bytes. Two jobs with one ID are both
// worked; telling duplicates is the handler's business.
func ID(id string) Option {
	return func(s *spec) {
		if id == "" || len(id) > maxID {
			s.failf("an ID of %d bytes, 1 to %d are allowed", len(id), maxID)
		}
		s.id = id
	}
}

// Header adds a header that the handler can read and that RabbitMQ can route by. Values are
// those of broker.Message.Headers. Names that begin with errand-, and the ones that RabbitMQ
// adds itself, such as x-death, are reserved.
func Header(name string, value any) Option {
	return func(s *spec) {
		if isReserved(name) {
			s.failf("header %q: names that begin with %s, and RabbitMQ's own, are reserved", name, prefix)
			return
		}
		s.setHeader(name, value)
	}
}

// Fault makes every job of the kind an error. It is for packages that make kinds of what their
// own callers say.
func Fault(err error) Option { return func(s *spec) { s.fail(err) } }

// isReserved reports whether a header is errand's own, or one that RabbitMQ itself adds to
// what it redelivers and dead-letters.
func isReserved(name string) bool {
	switch name {
	case "x-death", "x-delivery-count", "x-acquired-count":
		return true
	case "CC", "BCC":
		// RabbitMQ routes by them, so each retry's copy would go there once more.
		return true
	}
	return strings.HasPrefix(name, prefix) ||
		strings.HasPrefix(name, "x-first-death-") || strings.HasPrefix(name, "x-last-death-")
}

// millisecond cuts t to what the wire carries.
func millisecond(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()) }
