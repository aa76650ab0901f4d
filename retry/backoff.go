package retry

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// FromBackOff makes a Policy of any backoff of github.com/cenkalti/backoff/v4.
// newBackOff returns a fresh one at each call; a backoff keeps state and a Policy may not,
// so Next resets a fresh one, asks it as often as attempts were made, at most 65536 times,
// and takes the last answer.
// [backoff.Stop] means give up. A limit on elapsed time has no meaning here, because the
// fresh backoff's clock starts at each call: limit the number with [backoff.WithMaxRetries].
// A nil newBackOff panics.
func FromBackOff(newBackOff func() backoff.BackOff) Policy {
	if newBackOff == nil {
		panic("retry: FromBackOff: nil function")
	}
	return fromBackOff(newBackOff)
}

// maxAsked bounds the work that a job with an absurd attempt number makes.
const maxAsked = 1 << 16

type fromBackOff func() backoff.BackOff

func (f fromBackOff) Next(attempt int, _ error) (time.Duration, bool) {
	b := f()
	b.Reset()
	delay := time.Duration(0)
	for range min(max(attempt, 1), maxAsked) {
		if delay = b.NextBackOff(); delay == backoff.Stop {
			return 0, false
		}
	}
	return max(delay, 0), true
}
