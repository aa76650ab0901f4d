package retry_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/errandq/errand/retry"
)

// delays lists what p says after attempts 1, 2, 3 and so on, until it gives up.
func delays(p retry.Policy, atMost int) []time.Duration {
	var ds []time.Duration
	for attempt := 1; attempt <= atMost; attempt++ {
		d, again := p.Next(attempt, nil)
		if !again {
			return ds
		}
		ds = append(ds, d)
	}
	return ds
}

func TestExponentialSequence(t *testing.T) {
	t.Parallel()
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name   string
		policy retry.Exponential
		want   []time.Duration // of the first eleven attempts at most
	}{
		{"zero value but for jitter", retry.Exponential{Jitter: -1},
			[]time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 512 * s}},
		{"all fields", retry.Exponential{Initial: 100 * ms, Max: s, Factor: 3, Jitter: -1, Attempts: 6},
			[]time.Duration{100 * ms, 300 * ms, 900 * ms, s, s}},
		{"factor below 1 counts as 1", retry.Exponential{Initial: s, Factor: 0.5, Jitter: -1, Attempts: 4}, []time.Duration{s, s, s}},
		{"negative factor counts as 1", retry.Exponential{Initial: s, Factor: -2, Jitter: -1, Attempts: 3}, []time.Duration{s, s}},
		{"factor that is no number counts as 1", retry.Exponential{Factor: math.NaN(), Jitter: -1, Attempts: 3}, []time.Duration{s, s}},
		{"infinite factor", retry.Exponential{Factor: math.Inf(1), Max: time.Minute, Jitter: -1, Attempts: 3}, []time.Duration{s, time.Minute}},
		{"max below initial", retry.Exponential{Initial: time.Minute, Max: s, Jitter: -1, Attempts: 3}, []time.Duration{s, s}},
		{"initial above the default max", retry.Exponential{Initial: 3 * time.Hour, Jitter: -1, Attempts: 3}, []time.Duration{3 * time.Hour, 3 * time.Hour}},
		{"negative durations count as zero", retry.Exponential{Initial: -s, Max: -s, Jitter: -1, Attempts: 3}, []time.Duration{s, 2 * s}},
		{"one attempt", retry.Exponential{Attempts: 1}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := delays(test.policy, 100); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestExponentialStaysAtMaxWithoutAnEnd(t *testing.T) {
	t.Parallel()
	p := retry.Exponential{Jitter: -1, Attempts: -1}
	for _, attempt := range []int{13, 64, 1 << 20, math.MaxInt} {
		if d, again := p.Next(attempt, nil); d != retry.DefaultMax || !again {
			t.Errorf("attempt %d: got %v, %v, want %v and again", attempt, d, again, retry.DefaultMax)
		}
	}
	for _, attempt := range []int{0, -1, math.MinInt} {
		if d, again := p.Next(attempt, nil); d != time.Second || !again {
			t.Errorf("attempt %d: got %v, %v, want it to count as the first", attempt, d, again)
		}
	}
}

func TestExponentialJitter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		jitter    float64
		low, high time.Duration // of one second
	}{
		{0, 900 * time.Millisecond, 1100 * time.Millisecond},
		{0.5, 500 * time.Millisecond, 1500 * time.Millisecond},
		{1, 0, 2 * time.Second},
		{7, 0, 2 * time.Second},
		{math.Inf(1), 0, 2 * time.Second},
		{math.NaN(), time.Second, time.Second},
		{-1, time.Second, time.Second},
	}
	for _, test := range tests {
		p := retry.Exponential{Jitter: test.jitter}
		lowest, highest := time.Duration(math.MaxInt64), time.Duration(math.MinInt64)
		for range 5000 {
			d, again := p.Next(1, nil)
			if !again {
				t.Fatalf("jitter %v: gives up after the first attempt", test.jitter)
			}
			lowest, highest = min(lowest, d), max(highest, d)
		}
		if lowest < test.low || highest > test.high {
			t.Errorf("jitter %v: delays from %v to %v, want within %v and %v", test.jitter, lowest, highest, test.low, test.high)
		}
		// So many draws come within a twentieth of both ends.
		if slack := (test.high - test.low) / 20; lowest > test.low+slack || highest < test.high-slack {
			t.Errorf("jitter %v: delays from %v to %v, want them spread from %v to %v", test.jitter, lowest, highest, test.low, test.high)
		}
	}
}

func TestExponentialDoesNotOverflow(t *testing.T) {
	t.Parallel()
	const most = time.Duration(math.MaxInt64)
	for _, p := range []retry.Exponential{
		{Initial: most, Max: most, Factor: 10, Jitter: 1, Attempts: -1},
		{Initial: most, Jitter: 1, Attempts: -1},
		{Initial: 1, Max: most, Factor: math.MaxFloat64, Jitter: 1, Attempts: -1},
	} {
		for _, attempt := range []int{1, 2, 63, 64, 1 << 30, math.MaxInt} {
			for range 100 {
				if d, again := p.Next(attempt, nil); d < 0 || !again {
					t.Fatalf("%+v after attempt %d: got %v, %v", p, attempt, d, again)
				}
			}
		}
	}
}
