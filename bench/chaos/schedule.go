package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/role"
)

// recovery is how long anything may take to work again before it counts as stuck. A consumer
// that the server has forgotten is found after a minute.
const recovery = 90 * time.Second

// pause is how long the next fault waits for the recovery of the one before.
const pause = 10 * time.Second

// forEver is longer than any run.
const forEver = 1000 * time.Hour

// away is how long what is away may keep everything from working without it. Then it comes
// back, which may help.
const away = 20 * time.Second

// strikeAll lets faults happen, and waits until all is got over.
func (h *harness) strikeAll(ctx context.Context) error {
	strike := h.strikeInTurns
	if h.every {
		strike = h.strikeEach
	}
	if err := strike(ctx, rand.New(rand.NewPCG(h.seed, 0))); err != nil {
		return err
	}
	h.mu.Lock()
	all := h.watches
	h.mu.Unlock()
	return h.await(ctx, recovery, all...)
}

// strikeInTurns does faults one after the other, each when the one before it is got over; then
// mixed; then one after the other again.
func (h *harness) strikeInTurns(ctx context.Context, r *rand.Rand) error {
	end := h.began.Add(h.lasts)
	for time.Now().Before(end) && len(h.faults) > 0 {
		began := time.Now()
		if err := h.inTurn(ctx, r, began.Add(end.Sub(began)*7/10)); err != nil {
			return err
		}
		turn := time.Since(began)
		until := time.Now().Add(turn)
		if end.Sub(until) < turn { // not worth another turn
			until = end
		}
		if err := h.mixed(ctx, r, until); err != nil {
			return err
		}
	}
	return nil
}

// strikeEach does each fault once, however long that takes, and then mixes them.
func (h *harness) strikeEach(ctx context.Context, r *rand.Rand) error {
	if err := h.inTurn(ctx, r, time.Now().Add(forEver)); err != nil {
		return err
	}
	return h.mixed(ctx, r, time.Now().Add(h.lasts))
}

// inTurn does each fault once, in an order of its own, unless time is up before.
func (h *harness) inTurn(ctx context.Context, r *rand.Rand, end time.Time) error {
	for _, i := range r.Perm(len(h.faults)) {
		f, own := h.faults[i], own(r)
		if time.Now().After(end) {
			return nil
		}
		w, err := h.strike(ctx, f, own, false)
		if err != nil {
			return err
		}
		if err := h.await(ctx, pause, w); err != nil {
			return err
		}
	}
	return nil
}

// own is a generator for one fault, so that none depends on how far another has come.
func own(r *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(r.Uint64(), r.Uint64())) }

// rarely is how seldom a fault that takes long is drawn, of those that don't.
const rarely = 12

// mixed does faults at random, also several at once.
func (h *harness) mixed(ctx context.Context, r *rand.Rand, end time.Time) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	var watches []*book.Watch
	for time.Now().Before(end) {
		f := h.faults[r.IntN(len(h.faults))]
		wait, own, skip := between(r, 100*time.Millisecond, 2*time.Second), own(r), r.IntN(rarely) > 0
		if f.takes > 0 && skip && slices.ContainsFunc(h.faults, func(f fault) bool { return f.takes == 0 }) {
			continue
		}
		all.Go(func() {
			w, err := h.strike(ctx, f, own, true)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			watches = append(watches, w)
		})
		if err := role.Sleep(ctx, wait); err != nil {
			break
		}
	}
	all.Wait()
	for _, c := range h.children {
		c.heal()
	}
	if len(errs) > 0 {
		return errs[0]
	}
	return h.await(ctx, pause, watches...)
}

// strike does one fault and begins to watch what becomes of what it has hit.
func (h *harness) strike(ctx context.Context, f fault, r *rand.Rand, mixed bool) (*book.Watch, error) {
	if f.server {
		h.server.Lock()
		defer h.server.Unlock()
	}
	began := time.Now()
	struck, err := f.strike(ctx, h, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	w := h.watch(f.name, mixed, struck)
	if struck.back != nil {
		if w, err = h.giveBack(ctx, f.name, mixed, struck.back, w); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	h.say("%-18s %5.1f s  %s", f.name, time.Since(began).Seconds(), names(struck.subjects))
	return w, nil
}

// giveBack ends the absence of what a fault has taken away. That counts as a fault, too.
func (h *harness) giveBack(ctx context.Context, name string, mixed bool, back func(context.Context) error, without *book.Watch) (*book.Watch, error) {
	if err := h.await(ctx, away, without); err != nil {
		return nil, err
	}
	if err := back(ctx); err != nil {
		return nil, err
	}
	return h.watch(name+", back", mixed, now(h.children...)), nil
}

// watch begins to watch what becomes of what was hit.
func (h *harness) watch(name string, mixed bool, struck hit) *book.Watch {
	w := h.book.Watch(name, mixed, struck.over, slices.Clone(struck.subjects)...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches = append(h.watches, w)
	return w
}

func names(subjects []book.Subject) string {
	if len(subjects) > 2 {
		return "all"
	}
	var all []string
	for _, s := range subjects {
		all = append(all, string(s))
	}
	return strings.Join(all, ", ")
}

// await waits until all works again, or for so long. What never does is told by the report.
func (h *harness) await(ctx context.Context, most time.Duration, watches ...*book.Watch) error {
	limit := time.NewTimer(most)
	defer limit.Stop()
	for _, w := range watches {
		select {
		case <-w.Done():
		case <-limit.C:
			h.say("not recovered in %v: %s", most, strings.Join(h.book.Missing(), ", "))
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
