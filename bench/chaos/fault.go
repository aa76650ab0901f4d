package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
)

// A fault is something that goes wrong.
type fault struct {
	name   string
	nodes  int           // how many the cluster must have; zero means one
	takes  time.Duration // roughly, for those that take long: they are rare among mixed ones
	server bool          // it is done to the whole server, or by its management API: one at a time
	// strike does it, and returns when it is over: since then what it has hit is to work again.
	strike func(ctx context.Context, h *harness, r *rand.Rand) (hit, error)
}

// A hit is what a fault has struck, and when that was over.
type hit struct {
	over     time.Time
	subjects []book.Subject
	// back gives back what is still away, when everything works without it or had long enough
	// for that; then everything is hit once more. Nil means that nothing is away.
	back func(context.Context) error
}

// now is a hit that is over now.
func now(children ...*child) hit {
	h := hit{over: time.Now()}
	for _, c := range children {
		h.subjects = append(h.subjects, book.Subject(c.name))
	}
	return h
}

// allFaults are those that there are.
func allFaults() []fault {
	return slices.Concat(networkFaults(), processFaults(), serverFaults(), nodeFaults())
}

func faultNames(faults []fault) (names []string) {
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// pick returns the faults of the given names.
func pick(faults []fault, names []string) (some []fault, err error) {
	for _, name := range names {
		i := slices.IndexFunc(faults, func(f fault) bool { return f.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("there is no fault %q, there are %s", name, strings.Join(faultNames(faults), ", "))
		}
		some = append(some, faults[i])
	}
	return some, nil
}

// possible are the faults that a run of so many nodes and such a length has time and place for.
func possible(faults []fault, nodes int, o options) []fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool {
		return f.nodes > nodes || f.takes > o.lasts/2 && !o.every
	})
}

// between draws a time.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}
