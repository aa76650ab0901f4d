package retry_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/errandq/errand/retry"
)

func TestNever(t *testing.T) {
	t.Parallel()
	if got := delays(retry.Never, 3); len(got) > 0 {
		t.Errorf("got %v, want none", got)
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps retry.Steps
		want  []time.Duration
	}{
		{"zero value", nil, nil},
		{"empty", retry.Steps{}, nil},
		{"three", retry.Steps{time.Second, 0, time.Hour}, []time.Duration{time.Second, 0, time.Hour}},
		{"negative counts as zero", retry.Steps{-time.Second}, []time.Duration{0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := delays(test.steps, 100); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			for _, attempt := range []int{math.MinInt, 0, len(test.steps) + 1, math.MaxInt} {
				if _, again := test.steps.Next(attempt, nil); again {
					t.Errorf("attempt %d is tried again", attempt)
				}
			}
		})
	}
}

func TestFromBackOff(t *testing.T) {
	t.Parallel()
	exponential := func() backoff.BackOff {
		return &backoff.ExponentialBackOff{InitialInterval: time.Second, Multiplier: 2, MaxInterval: time.Minute, Clock: backoff.SystemClock, Stop: backoff.Stop}
	}
	tests := []struct {
		name string
		make func() backoff.BackOff
		want []time.Duration // of the first five attempts at most
	}{
		{"constant", func() backoff.BackOff { return backoff.NewConstantBackOff(time.Second) },
			[]time.Duration{time.Second, time.Second, time.Second, time.Second, time.Second}},
		{"exponential, not reset", exponential,
			[]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}},
		{"at most two retries", func() backoff.BackOff { return backoff.WithMaxRetries(exponential(), 2) },
			[]time.Duration{time.Second, 2 * time.Second}},
		{"no retries", func() backoff.BackOff { return backoff.WithMaxRetries(exponential(), 0) }, nil},
		{"stop", func() backoff.BackOff { return &backoff.StopBackOff{} }, nil},
		{"at once", func() backoff.BackOff { return &backoff.ZeroBackOff{} }, []time.Duration{0, 0, 0, 0, 0}},
		{"negative counts as zero", func() backoff.BackOff { return backoff.NewConstantBackOff(-time.Second) }, []time.Duration{0, 0, 0, 0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := retry.FromBackOff(test.make)
			if got := delays(p, 5); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if got := delays(p, 5); !slices.Equal(got, test.want) {
				t.Errorf("the second time got %v, want %v: a policy keeps no state", got, test.want)
			}
		})
	}
}

func TestFromBackOffWithAnAbsurdAttempt(t *testing.T) {
	t.Parallel()
	asked := 0
	p := retry.FromBackOff(func() backoff.BackOff { return counting{&asked} })
	if d, again := p.Next(math.MaxInt, nil); d != time.Second || !again || asked > 1<<16 {
		t.Errorf("got %v, %v after asking %d times, want a second, again, and at most 65536", d, again, asked)
	}
	if _, again := p.Next(-1, nil); !again || asked > 1<<16+1 {
		t.Error("a negative attempt does not count as the first")
	}
}

type counting struct{ asked *int }

func (c counting) NextBackOff() time.Duration { *c.asked++; return time.Second }
func (counting) Reset()                       {}

func TestFromBackOffOfNilPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	retry.FromBackOff(nil)
}

var errDisk = errors.New("disk is full")

func TestPermanent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, false},
		{"Permanent of nil", retry.Permanent(nil), false},
		{"plain", errDisk, false},
		{"after", retry.After(time.Second, errDisk), false},
		{"permanent", retry.Permanent(errDisk), true},
		{"backoff's own", backoff.Permanent(errDisk), true},
		{"backoff's own, by hand", &backoff.PermanentError{Err: errDisk}, true},
		{"wrapped", fmt.Errorf("render: %w", retry.Permanent(errDisk)), true},
		{"wrapped twice", fmt.Errorf("a: %w", fmt.Errorf("b: %w", backoff.Permanent(errDisk))), true},
		{"joined", errors.Join(errDisk, retry.Permanent(errDisk)), true},
		{"inside of After", retry.After(time.Second, retry.Permanent(errDisk)), true},
		{"only its text", errors.New(retry.Permanent(errDisk).Error()), false},
	}
	for _, test := range tests {
		if got := retry.IsPermanent(test.err); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
	if err := retry.Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) is %v", err)
	}
	if err := retry.Permanent(errDisk); !errors.Is(err, errDisk) || err.Error() != errDisk.Error() {
		t.Errorf("Permanent is %v, want the error itself to be told and found", err)
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	if err := retry.After(time.Second, nil); err != nil {
		t.Errorf("After(d, nil) is %v", err)
	}
	err := fmt.Errorf("call: %w", retry.After(-time.Second, errDisk))
	after, ok := errors.AsType[*retry.AfterError](err)
	if !ok || after.Delay != 0 || !errors.Is(err, errDisk) {
		t.Errorf("got %+v, %v, want a delay of zero and the cause", after, ok)
	}
	if got, want := retry.After(time.Minute, errDisk).Error(), "retry after 1m0s: disk is full"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	steps := retry.Steps{time.Minute, time.Hour}
	tests := []struct {
		name    string
		policy  retry.Policy
		attempt int
		err     error
		delay   time.Duration
		again   bool
	}{
		{"policy's delay", steps, 2, errDisk, time.Hour, true},
		{"policy gives up", steps, 3, errDisk, 0, false},
		{"permanent", steps, 1, retry.Permanent(errDisk), 0, false},
		{"permanent inside of after", steps, 1, retry.After(time.Second, retry.Permanent(errDisk)), 0, false},
		{"after, shorter", steps, 1, retry.After(time.Second, errDisk), time.Second, true},
		{"after, longer", steps, 1, retry.After(24*time.Hour, errDisk), 24 * time.Hour, true},
		{"after, wrapped", steps, 1, fmt.Errorf("call: %w", retry.After(time.Second, errDisk)), time.Second, true},
		{"after, but the policy gives up", retry.Never, 1, retry.After(time.Second, errDisk), 0, false},
		{"policy with a negative delay", rash{}, 1, errDisk, 0, true},
		{"after by hand with a negative delay", steps, 1, &retry.AfterError{Delay: -1, Err: errDisk}, 0, true},
	}
	for _, test := range tests {
		if delay, again := retry.Decide(test.policy, test.attempt, test.err); delay != test.delay || again != test.again {
			t.Errorf("%s: got %v, %v, want %v, %v", test.name, delay, again, test.delay, test.again)
		}
	}
}

// rash is a policy with a mistake.
type rash struct{}

func (rash) Next(int, error) (time.Duration, bool) { return -time.Hour, true }
