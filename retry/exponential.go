package retry

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Defaults of [Exponential]. Together they try for about 17 minutes, 20 as
// package worker rounds the delays up.
const (
	DefaultInitial  = time.Second
	DefaultMax      = time.Hour
	DefaultFactor   = 2.0
	DefaultJitter   = 0.1
	DefaultAttempts = 11
)

// Exponential waits longer after each failed attempt: Initial, Initial×Factor,
// Initial×Factor², and so on up to Max, each spread by Jitter.
// The zero value works, with the defaults below. It is safe for concurrent use.
type Exponential struct {
	// Initial is the delay after the first attempt. Zero means one second.
	Initial time.Duration
	// Max is the longest delay before jitter. Zero means one hour, or Initial if that is longer.
	Max time.Duration
	// Factor multiplies the delay from one attempt to the next. Zero means 2; less than 1 means 1.
	Factor float64
	// Jitter spreads each delay evenly over ±Jitter of itself, so that jobs which failed
	// together don't come back together. Zero means 0.1; negative means none; at most 1.
	Jitter float64
	// Attempts is the number of attempts in all, the first one included.
	// Zero means 11; negative means no end.
	Attempts int
}

// Next implements [Policy].
func (e Exponential) Next(attempt int, _ error) (time.Duration, bool) {
	e = e.withDefaults()
	if e.Attempts > 0 && attempt >= e.Attempts {
		return 0, false
	}
	// The power is ours, because backoff counts attempts in its own state and we may not
	// keep any; spreading the delay is left to backoff.
	delay := float64(e.Initial) * math.Pow(e.Factor, float64(max(attempt, 1)-1))
	delay = min(delay, float64(e.Max))
	b := backoff.ExponentialBackOff{
		InitialInterval:     time.Duration(delay),
		RandomizationFactor: e.Jitter,
		Multiplier:          1,
		MaxInterval:         e.Max,
		Stop:                backoff.Stop,
		Clock:               backoff.SystemClock,
	}
	b.Reset()
	return b.NextBackOff(), true
}

func (e Exponential) withDefaults() Exponential {
	if e.Initial <= 0 {
		e.Initial = DefaultInitial
	}
	if e.Max <= 0 {
		e.Max = max(DefaultMax, e.Initial)
	}
	e.Max = min(e.Max, math.MaxInt64/4) // room for jitter: backoff does not check for overflow
	switch {
	case e.Factor == 0:
		e.Factor = DefaultFactor
	case e.Factor < 1 || math.IsNaN(e.Factor):
		e.Factor = 1
	}
	switch {
	case e.Jitter == 0:
		e.Jitter = DefaultJitter
	case e.Jitter < 0 || math.IsNaN(e.Jitter):
		e.Jitter = 0
	}
	e.Jitter = min(e.Jitter, 1)
	if e.Attempts == 0 {
		e.Attempts = DefaultAttempts
	}
	return e
}
