package retry

import (
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Permanent marks err as one that no retry can cure: bad input, an order that does not
// exist. It is [backoff.Permanent]; that type, wherever in the chain it stands and whoever
// made it, has this meaning. Permanent(nil) is nil.
func Permanent(err error) error { return backoff.Permanent(err) }

// IsPermanent reports whether err, or an error that it wraps, was made by [Permanent].
func IsPermanent(err error) bool {
	_, ok := errors.AsType[*backoff.PermanentError](err)
	return ok
}

// After marks err as one that should not be tried again before d has passed, whatever the
// policy's own delay: d from a Retry-After header, say. The policy still counts the
// attempt and may give up. A negative d counts as zero. After(d, nil) is nil.
func After(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &AfterError{Delay: max(d, 0), Err: err}
}

// An AfterError is what [After] returns.
type AfterError struct {
	Delay time.Duration // not before this has passed; zero or more
	Err   error         // what went wrong
}

// Error tells the delay and the cause.
func (e *AfterError) Error() string { return fmt.Sprintf("retry after %v: %v", e.Delay, e.Err) }

// Unwrap returns the cause.
func (e *AfterError) Unwrap() error { return e.Err }

// Decide is what a worker does with a failed attempt: it asks the error first and the
// policy second. again is false if err is permanent or the policy gives up; else delay is
// what [After] asked for if the error carries one, and the policy's own otherwise.
func Decide(p Policy, attempt int, err error) (delay time.Duration, again bool) {
	if IsPermanent(err) {
		return 0, false
	}
	delay, again = p.Next(attempt, err)
	if !again {
		return 0, false
	}
	if after, ok := errors.AsType[*AfterError](err); ok {
		delay = after.Delay
	}
	return max(delay, 0), true
}
