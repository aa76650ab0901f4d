package job

import (
	"context"
	"time"

	"github.com/errandq/errand/topology"
)

// A Job is one job, as it is enqueued and as a handler sees it. It is a value: copies are
// independent but for Body and Headers, which nobody writes to.
type Job struct {
	ID    string
	Kind  string
	Queue string
	// Exchange and Key are where an event is to be published, or was. They are empty for what
	// goes straight to a queue. See package event.
	Exchange, Key string
	ContentType   string
	Body          []byte // the encoded arguments
	// Headers are the user's own. Trace context travels in traceparent and tracestate.
	Headers  map[string]any
	Priority uint8
	AppID    string
	// Attempt is the attempt that this is, from 1.
	Attempt int
	// Crashes is how often earlier deliveries of the job were handed out and never answered,
	// most likely because a worker died of it or beside it.
	Crashes int
	// NotBefore is when the job may run, to the millisecond; zero means at once.
	NotBefore time.Time
	// ExpiresAt is when the job is worthless, to the millisecond; zero means never.
	ExpiresAt time.Time
	// CreatedAt is when the job was made, to the second.
	CreatedAt time.Time
	// Failure tells about the last failed attempt; nil before the first failure.
	Failure *Failure
	// Group is the group that the job is a member of; nil if it is of none. See [Group].
	Group *Membership

	options  []topology.Option // of Queue
	source   topology.Topology // declares Exchange
	optional bool              // it is no error when nobody takes the event
	err      error
}

// A Failure is what a job carries about its last failed attempt.
type Failure struct {
	Error  string    // the error's text, at most 1 KiB
	At     time.Time // to the millisecond
	Reason Reason    // why the job was put aside; empty while it is still being retried
}

// A Reason says why a job was put aside.
type Reason string

// The reasons for putting a job aside.
const (
	Permanent   Reason = "permanent"    // the handler said that no retry can cure it
	Exhausted   Reason = "exhausted"    // the retry policy gave up
	UnknownKind Reason = "unknown-kind" // its worker has no handler for the kind
	Malformed   Reason = "malformed"    // it is no job, or its arguments do not decode
	NoRetry     Reason = "no-retry"     // it failed, and could not be sent again
	Crashed     Reason = "crashed"      // its workers died of it, or never answered for it
)

// Err is what is wrong with the job, or nil. Whoever enqueues a job checks it.
func (j Job) Err() error { return j.err }

// Expired reports whether the job is worthless at now.
func (j Job) Expired(now time.Time) bool {
	return !j.ExpiresAt.IsZero() && !now.Before(j.ExpiresAt)
}

// On returns j as a job of the given queue. A worker says so of what it received.
func (j Job) On(queue string, opts ...topology.Option) Job {
	j.Queue, j.options = queue, opts
	return j
}

// An Enqueuer takes jobs: a producer, an outbox, a recorder in tests.
type Enqueuer interface {
	// Enqueue returns nil when all jobs are safely kept. A job that is invalid fails all of
	// them before anything is sent.
	Enqueue(ctx context.Context, jobs ...Job) error
}
