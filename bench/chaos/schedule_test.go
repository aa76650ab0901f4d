package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/role"
)

// A script is what faults that do nothing have been asked for.
type script struct {
	mu    sync.Mutex
	lines []string
}

func (s *script) fault(name string, takes time.Duration, subjects ...book.Subject) fault {
	return fault{name: name, takes: takes, strike: func(ctx context.Context, _ *harness, r *rand.Rand) (hit, error) {
		s.mu.Lock()
		s.lines = append(s.lines, name+" "+between(r, 0, time.Hour).String())
		s.mu.Unlock()
		return hit{over: time.Now(), subjects: subjects}, role.Sleep(ctx, takes)
	}}
}

// dry is a harness without anything that runs.
func dry(t *testing.T, seed uint64, lasts time.Duration, faults ...fault) *harness {
	t.Helper()
	return &harness{
		options: options{seed: seed, lasts: lasts, faults: faults, say: t.Logf},
		book:    book.New(role.Fates()), began: time.Now(),
	}
}

func TestSeedDecidesTheFaults(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (lines []string) {
		synctest.Test(t, func(t *testing.T) {
			var s script
			h := dry(t, seed, 10*time.Minute, s.fault("a", 0), s.fault("b", 0), s.fault("slow", 20*time.Second), s.fault("c", 0))
			if err := h.strikeAll(t.Context()); err != nil {
				t.Error(err)
			}
			lines = s.lines
		})
		return lines
	}
	first := run(7)
	for _, name := range []string{"a ", "b ", "c ", "slow "} {
		if !slices.ContainsFunc(first, func(line string) bool { return strings.HasPrefix(line, name) }) {
			t.Errorf("fault %s never happened in %d", name, len(first))
		}
	}
	if len(first) < 100 {
		t.Errorf("got %d faults in ten minutes, want hundreds", len(first))
	}
	if again := run(7); !slices.Equal(again, first) {
		t.Errorf("got other faults the second time:\n%q\n%q", first[:10], again[:10])
	}
	if other := run(8); slices.Equal(other, first) {
		t.Error("got the same faults by another seed")
	}
}

// What never works again is told, and does not hold up the run for ever.
func TestNoRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s script
		h := dry(t, 1, time.Minute, s.fault("fatal", 0, "worker-1"))
		if err := h.strikeAll(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(h.began); took > 10*time.Minute {
			t.Errorf("it took %v", took)
		}
		sum := h.book.Sum()
		if len(sum.Stuck) == 0 || sum.Stuck[0] != "fatal: worker-1" {
			t.Errorf("got %q stuck, want worker-1", sum.Stuck)
		}
	})
}

func TestFaultThatCanNotBeDoneEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errBroken := errors.New("broken")
		h := dry(t, 1, time.Hour, fault{name: "broken", strike: func(context.Context, *harness, *rand.Rand) (hit, error) {
			return hit{}, errBroken
		}})
		if err := h.strikeAll(t.Context()); !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "broken: ") {
			t.Errorf("got %v, want the fault's error with its name", err)
		}
	})
}

// What was taken away comes back when all works without it, or when it had long enough.
func TestWhatIsAwayComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var began, returned time.Time
		h := dry(t, 1, 0, fault{name: "away", server: true, strike: func(context.Context, *harness, *rand.Rand) (hit, error) {
			began = time.Now()
			return hit{over: began, subjects: []book.Subject{"worker-1"}, back: func(context.Context) error {
				returned = time.Now()
				return nil
			}}, nil
		}})
		h.every = true
		if err := h.strikeAll(t.Context()); err != nil {
			t.Error(err)
		}
		if got := returned.Sub(began); got != away {
			t.Errorf("it came back after %v, want %v", got, away)
		}
		if got, want := h.book.Missing(), []string{"away: worker-1"}; !slices.Equal(got, want) {
			t.Errorf("got %q to work again, want %q", got, want)
		}
	})
}

func TestPossible(t *testing.T) {
	t.Parallel()
	faults := []fault{{name: "short"}, {name: "long", takes: time.Minute}, {name: "three", nodes: 3}}
	for _, test := range []struct {
		nodes int
		lasts time.Duration
		every bool
		want  []string
	}{
		{1, time.Minute, false, []string{"short"}},
		{1, 2 * time.Minute, false, []string{"short", "long"}},
		{1, 0, true, []string{"short", "long"}},
		{3, time.Minute, false, []string{"short", "three"}},
	} {
		got := faultNames(possible(faults, test.nodes, options{lasts: test.lasts, every: test.every}))
		if !slices.Equal(got, test.want) {
			t.Errorf("%d nodes, %v, every %v: got %q, want %q", test.nodes, test.lasts, test.every, got, test.want)
		}
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	some, err := pick(allFaults(), []string{"cut", " broker-killed"})
	if got := faultNames(some); err != nil || !slices.Equal(got, []string{"cut", "broker-killed"}) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := pick(allFaults(), []string{"cat"}); err == nil || !strings.Contains(err.Error(), "cut-at-byte") {
		t.Errorf("got %v, want the names that there are", err)
	}
}

func TestTrend(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		early, late int
		want        bool
	}{{100, 100, false}, {100, 50, false}, {100, 120, false}, {100, 121, true}, {0, 10, false}, {0, 11, true}} {
		got := trend{early: test.early, late: test.late, slack: 10, slackPercents: 10}.grows()
		if got != test.want {
			t.Errorf("from %d to %d: got growing %v, want %v", test.early, test.late, got, test.want)
		}
	}
}
