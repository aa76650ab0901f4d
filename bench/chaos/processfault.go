package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
)

// processFaults happen to a child's process.
func processFaults() []fault {
	return []fault{
		{name: "worker-killed", strike: killed(role.Worker)},
		{name: "producer-killed", strike: killed(role.Producer)},
		{name: "caller-killed", strike: killed(role.Caller)},
		{name: "server-killed", strike: killed(role.Server)},
		{name: "worker-stopped", strike: stopped(role.Worker)},
		{name: "producer-stopped", strike: stopped(role.Producer)},
		{name: "caller-stopped", strike: stopped(role.Caller)},
		{name: "server-stopped", strike: stopped(role.Server)},
	}
}

// killed sends SIGKILL, and starts another process soon. The first child of each role is
// spared: what it holds at the end of a long run shows what leaks.
func killed(name string) func(context.Context, *harness, *rand.Rand) (hit, error) {
	return func(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
		all := h.of(name)
		c := all[1+r.IntN(len(all)-1)]
		err := c.replace(ctx, between(r, 0, time.Second))
		return now(c), err
	}
}

// stopped sends SIGSTOP and, before or after the server has given up on it, SIGCONT.
func stopped(name string) func(context.Context, *harness, *rand.Rand) (hit, error) {
	return func(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
		all := h.of(name)
		c := all[r.IntN(len(all))]
		err := c.suspend(ctx, between(r, 500*time.Millisecond, 7*time.Second))
		return now(c), err
	}
}
