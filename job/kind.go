package job

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode"

	"github.com/errandq/errand/codec"
	"github.com/errandq/errand/topology"
	"github.com/google/uuid"
)

// DefaultQueue is where jobs go whose kind names no queue.
const DefaultQueue = "default"

// ErrInvalid is wrapped by every error about a job that can't be sent: a bad name, a delay
// that makes no sense, arguments that don't encode.
var ErrInvalid = errors.New("job: invalid")

// A Kind is a type of job with arguments of type T. Make it with [Define]; the zero Kind
// makes only invalid jobs. It is safe for concurrent use.
type Kind[T any] struct {
	defaults spec
}

// Define names a kind. The name stands in every message, so it outlives the code: choose it
// once, and don't change it. It is 1 to 255 bytes without control characters. Options are
// the defaults of the kind's jobs. A bad name or option is no panic here: it makes every job
// of the kind an error when it is enqueued, and the worker an error when it starts.
func Define[T any](name string, opts ...Option) Kind[T] {
	s := spec{kind: name, queue: DefaultQueue, codec: codec.JSON}
	if err := checkKind(name); err != nil {
		s.fail(err)
	}
	return Kind[T]{defaults: s.with(opts)}
}

// New makes a job of this kind. Options override the kind's. A mistake is reported by
// [Job.Err] and by whoever enqueues the job.
func (k Kind[T]) New(args T, opts ...Option) Job {
	s := k.defaults
	s.headers = maps.Clone(s.headers) // jobs don't share the kind's map
	if len(opts) > 0 {
		s = s.with(opts)
		s.codec = k.defaults.codec
	}
	now := time.Now()
	j := Job{
		ID:        s.id,
		Kind:      s.kind,
		Queue:     s.queue,
		Exchange:  s.exchange,
		Key:       s.key,
		Priority:  s.priority,
		Headers:   s.headers,
		Attempt:   1,
		CreatedAt: now.Truncate(time.Second),
		options:   s.queueOptions,
		source:    s.source,
		optional:  s.optional,
		err:       s.err,
	}
	if k.defaults.codec == nil {
		j.err = fmt.Errorf("%w: the zero Kind: use job.Define", ErrInvalid)
		return j
	}
	if j.ID == "" {
		j.ID = NewID()
	}
	j.NotBefore = s.notBefore(now)
	if s.expireIn > 0 {
		j.ExpiresAt = millisecond(now.Add(s.expireIn))
	}
	if !j.ExpiresAt.IsZero() && !j.ExpiresAt.After(j.NotBefore) && j.err == nil {
		j.err = fmt.Errorf("%w: kind %q: it expires before its delay is over", ErrInvalid, j.Kind)
	}
	if j.Published() && !j.NotBefore.IsZero() && j.err == nil {
		j.err = fmt.Errorf("%w: kind %q: an event can't be delayed", ErrInvalid, j.Kind)
	}
	body, err := s.codec.Encode(args)
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("%w: kind %q: %w", ErrInvalid, j.Kind, err)
	}
	j.Body, j.ContentType = body, s.codec.ContentType()
	return j
}

// Name is the kind's name.
func (k Kind[T]) Name() string { return k.defaults.kind }

// Queue is where the kind's jobs go by default.
func (k Kind[T]) Queue() string { return k.defaults.queue }

// QueueOptions are the options that the kind's queue was defined with.
func (k Kind[T]) QueueOptions() []topology.Option { return k.defaults.queueOptions }

// Err is what is wrong with the kind's name or options, or nil.
func (k Kind[T]) Err() error {
	if k.defaults.codec == nil {
		return fmt.Errorf("%w: the zero Kind: use job.Define", ErrInvalid)
	}
	return k.defaults.err
}

// Decode returns the arguments of a job of this kind.
func (k Kind[T]) Decode(j Job) (T, error) {
	var args T
	if k.defaults.codec == nil {
		return args, k.Err()
	}
	err := k.defaults.codec.Decode(j.ContentType, j.Body, &args)
	return args, err
}

// NewID returns a new job ID, a UUID of version 7: unique, and in order of time.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		// The system's random numbers failed. Go's own crypto/rand never returns then.
		panic(fmt.Sprintf("job: no random numbers for an ID: %v", err))
	}
	return id.String()
}

// DerivedID returns an ID for what follows from the job or event parent: the same for the same
// parent and name, however often it is asked for. What is enqueued with it by a handler that
// runs twice can be told to be one.
func DerivedID(parent, name string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(parent+"\x00"+name)).String()
}

func checkKind(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: a kind's name is empty", ErrInvalid)
	case len(name) > 255:
		return fmt.Errorf("%w: kind %.40q… is %d bytes long, at most 255 are allowed", ErrInvalid, name, len(name))
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: kind %q: control characters are not allowed", ErrInvalid, name)
	}
	return nil
}
