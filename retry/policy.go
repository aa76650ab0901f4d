package retry

import "time"

// A Policy decides what follows a failed attempt.
//
// Next is told the number of the attempt that just failed, counted from 1, and its error.
// It returns how long to wait before the next attempt, or again false: give up.
// Next is called from many goroutines at once and must not keep state between calls,
// because the next attempt may run in another process.
type Policy interface {
	Next(attempt int, err error) (delay time.Duration, again bool)
}

// Never gives up after the first attempt.
var Never Policy = never{}

type never struct{}

func (never) Next(int, error) (time.Duration, bool) { return 0, false }

// Steps lists the delay after each failed attempt: after the first, the second, and so on.
// It gives up when the list is used up, so Steps of n delays make n+1 attempts.
// The zero value gives up after the first attempt.
type Steps []time.Duration

// Next implements [Policy].
func (s Steps) Next(attempt int, _ error) (time.Duration, bool) {
	if attempt < 1 || attempt > len(s) {
		return 0, false
	}
	return max(s[attempt-1], 0), true
}
