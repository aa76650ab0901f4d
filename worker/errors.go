package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/errandq/errand/broker"
)

// Causes of the end of a handler's context, as context.Cause tells them.
var (
	// ErrTimeout: the handler ran past its timeout. It counts as a failed attempt.
	ErrTimeout = errors.New("worker: job timed out")
	// ErrShutdown: the worker is shutting down and its grace is over. The job goes back to its
	// queue, with the same attempt.
	ErrShutdown = errors.New("worker: shutting down")
	// ErrDeliveryLost: the connection or channel that the job came on, or its consumer, is gone.
	// RabbitMQ gives the job to another worker, and whatever this handler returns does not
	// matter any more.
	ErrDeliveryLost = broker.ErrDeliveryLost
)

// ErrAbandoned is the error of a handler that went on after its context was done, for the
// whole grace. Its job is treated as failed, though the handler may still be running; it
// keeps its place in the worker's concurrency until it returns.
var ErrAbandoned = errors.New("worker: handler ignores that its context is done")

// errExited is the error of a handler that ended its goroutine.
var errExited = errors.New("worker: handler called runtime.Goexit")

// A PanicError is the error of a handler that panicked.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where
}

// Error tells the value. The stack is in the log.
func (e *PanicError) Error() string { return fmt.Sprintf("worker: handler panicked: %v", e.Value) }

// Unwrap returns Value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Snooze, returned by a handler, runs the job again after d. It is not counted as an
// attempt, so a job may snooze for ever. A negative d counts as zero.
func Snooze(d time.Duration) error { return &snoozeError{max(d, 0)} }

type snoozeError struct{ delay time.Duration }

func (e *snoozeError) Error() string { return fmt.Sprintf("worker: snooze for %v", e.delay) }

// malformedError is a body that does not decode.
type malformedError struct{ err error }

func (e *malformedError) Error() string { return e.err.Error() }
func (e *malformedError) Unwrap() error { return e.err }
