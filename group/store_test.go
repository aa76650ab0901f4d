package group_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/errandq/errand/group"
)

// testStore holds a store to what group.Store says. The stores are the same one, each as
// another process has it.
func testStore(t *testing.T, stores ...group.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, ...group.Store){
		"one by one":        oneByOne,
		"names are bytes":   namesAreBytes,
		"sizes differ":      sizesDiffer,
		"what is refused":   refused,
		"all at once":       allAtOnce,
		"context has ended": contextHasEnded,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, stores...)
		})
	}
}

// done records and wants no error.
func done(t *testing.T, s group.Store, name string, size int, member string) bool {
	t.Helper()
	last, err := s.Done(t.Context(), name, size, member)
	if err != nil {
		t.Fatalf("Done(%q, %d, %q): %v", name, size, member, err)
	}
	return last
}

func wantDone(t *testing.T, s group.Store, name string, size int, member string, want bool) {
	t.Helper()
	if got := done(t, s, name, size, member); got != want {
		t.Errorf("Done(%q, %d, %q): got last = %v, want %v", name, size, member, got, want)
	}
}

func oneByOne(t *testing.T, stores ...group.Store) {
	for i, c := range []struct {
		group  string
		size   int
		member string
		last   bool
	}{
		{"three", 3, "a", false},
		{"three", 3, "a", false}, // a duplicate does not count
		{"one", 1, "a", true},    // groups have nothing to do with each other
		{"three", 3, "b", false},
		{"three", 3, "a", false},
		{"three", 3, "c", true},
		{"three", 3, "c", true}, // its worker has died, and it is delivered again
		{"three", 3, "a", false},
		{"three", 3, "b", false},
		{"three", 3, "d", false}, // one too many, who knows from where
		{"three", 3, "c", true},
		{"one", 1, "a", true},
	} {
		wantDone(t, stores[i%len(stores)], c.group, c.size, c.member, c.last)
	}
}

// Names are a job's ID, which is any bytes: those below are told apart.
func namesAreBytes(t *testing.T, stores ...group.Store) {
	names := []string{"a", "A", "a ", "ä", "Ä", "a\u0308", "\x00", "a\x00", "\xff\xfe", "'", "?", "$1", strings.Repeat("x", 255), strings.Repeat("x", 254)}
	for i, member := range names {
		wantDone(t, stores[0], "bytes", len(names), member, i == len(names)-1)
	}
	for _, name := range names {
		wantDone(t, stores[0], name, 2, "m", false)
	}
}

func sizesDiffer(t *testing.T, stores ...group.Store) {
	s := stores[0]
	wantDone(t, s, "grown", 2, "a", false)
	wantDone(t, s, "grown", 3, "b", false)
	wantDone(t, s, "grown", 2, "c", true)
	wantDone(t, s, "too late", 1, "a", true)
	wantDone(t, s, "too late", 2, "b", false)
	wantDone(t, s, "too late", 2, "a", true)
}

func refused(t *testing.T, stores ...group.Store) {
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		group  string
		size   int
		member string
	}{{"", 1, "m"}, {"g", 1, ""}, {long, 1, "m"}, {"g", 1, long}, {"g", 0, "m"}, {"g", -1, "m"}} {
		last, err := stores[0].Done(t.Context(), c.group, c.size, c.member)
		if !errors.Is(err, group.ErrInvalid) || last {
			t.Errorf("Done(%.10q, %d, %.10q): got %v, %v, want an error that wraps ErrInvalid", c.group, c.size, c.member, last, err)
		}
	}
}

// Each member of some groups is recorded several times, by a hundred goroutines in all.
func allAtOnce(t *testing.T, stores ...group.Store) {
	const groups, size, times = 5, 10, 4
	const recorders = 100
	type call struct{ group, member int }
	var calls []call
	for g := range groups {
		for m := range size {
			for range times {
				calls = append(calls, call{g, m})
			}
		}
	}
	rand.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })

	var mu sync.Mutex
	said := map[call][]bool{}
	var wg sync.WaitGroup
	for r := range recorders {
		wg.Go(func() {
			for i := r; i < len(calls); i += recorders {
				c := calls[i]
				last, err := stores[r%len(stores)].Done(t.Context(), fmt.Sprint("busy ", c.group), size, fmt.Sprint("m", c.member))
				if err != nil {
					t.Errorf("recorder %d: %v", r, err)
					return
				}
				mu.Lock()
				said[c] = append(said[c], last)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for g := range groups {
		var lasts []int
		for m := range size {
			answers := said[call{g, m}]
			if !slices.Contains(answers, true) {
				continue
			}
			lasts = append(lasts, m)
			if slices.Contains(answers, false) {
				t.Errorf("group %d: member %d was told %v, want the last one told so each time", g, m, answers)
			}
		}
		if len(lasts) != 1 {
			t.Errorf("group %d: got last members %v, want exactly one", g, lasts)
			continue
		}
		name := fmt.Sprint("busy ", g)
		for m := range size {
			wantDone(t, stores[0], name, size, fmt.Sprint("m", m), m == lasts[0])
		}
	}
}

func contextHasEnded(t *testing.T, stores ...group.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := stores[0].Done(ctx, "ended", 1, "m"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled or nil", err)
	}
	wantDone(t, stores[0], "ended", 1, "m", true)
}
