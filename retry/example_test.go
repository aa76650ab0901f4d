package retry_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/errandq/errand/retry"
)

// show prints what a policy says after each attempt.
func show(p retry.Policy) {
	for attempt := 1; ; attempt++ {
		delay, again := p.Next(attempt, errors.New("disk is full"))
		if !again {
			fmt.Println("give up after attempt", attempt)
			return
		}
		fmt.Print(delay, ", ")
	}
}

func ExampleExponential() {
	show(retry.Exponential{Initial: time.Minute, Max: 10 * time.Minute, Jitter: -1, Attempts: 6})
	// Output: 1m0s, 2m0s, 4m0s, 8m0s, 10m0s, give up after attempt 6
}

func ExampleSteps() {
	show(retry.Steps{time.Second, time.Minute, time.Hour})
	// Output: 1s, 1m0s, 1h0m0s, give up after attempt 4
}

func ExampleNever() {
	show(retry.Never)
	// Output: give up after attempt 1
}

func ExampleFromBackOff() {
	show(retry.FromBackOff(func() backoff.BackOff {
		return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 3)
	}))
	// Output: 1s, 1s, 1s, give up after attempt 4
}

// An order that does not exist will not exist in a minute either.
func ExamplePermanent() {
	err := fmt.Errorf("render: %w", retry.Permanent(errors.New("no such order")))
	fmt.Println(retry.IsPermanent(err), err)
	// Output: true render: no such order
}

// The server said when to come back: no earlier attempt is worth its while.
func ExampleAfter() {
	err := retry.After(90*time.Second, errors.New("429 Too Many Requests"))
	delay, again := retry.Decide(retry.Exponential{}, 1, err)
	fmt.Println(delay, again)
	// Output: 1m30s true
}
