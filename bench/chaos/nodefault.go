package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
	"github.com/errandq/errand/devserver"
)

// Three nodes are the fewest that go on without one.
const quorum = 3

// nodeFaults happen to one node of a cluster after another.
func nodeFaults() []fault {
	return []fault{
		{name: "node-shutdown", nodes: quorum, server: true, takes: 20 * time.Second, strike: nodeAway(shutdown)},
		{name: "node-killed", nodes: quorum, server: true, takes: 20 * time.Second, strike: nodeAway(kill)},
		{name: "node-isolated", nodes: quorum, server: true, takes: 30 * time.Second, strike: nodeAway(isolate)},
		{name: "node-unreachable", nodes: quorum, server: true, takes: 20 * time.Second, strike: nodeAway(hide)},
		{name: "node-cut-off", nodes: quorum, server: true, takes: 30 * time.Second, strike: nodeAway(cutOff)},
		{name: "leader-moved", nodes: quorum, server: true, takes: 5 * time.Second, strike: leaderMoved},
		{name: "rolling-restart", nodes: quorum, server: true, takes: 90 * time.Second, strike: rollingRestart},
	}
}

// A taking takes a node away, and returns how it is given back.
type taking func(ctx context.Context, h *harness, node int) (back func(context.Context) error, err error)

// nodeAway takes away a node that leads a queue: everything is to work without it, but for
// calls whose queue it has.
func nodeAway(take taking) func(context.Context, *harness, *rand.Rand) (hit, error) {
	return func(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
		if err := h.awaitRegistered(ctx); err != nil {
			return hit{}, err
		}
		queue := role.Queues[r.IntN(len(role.Queues))]
		node, err := h.cluster.leader(ctx, queue)
		if err != nil {
			return hit{}, err
		}
		without, err := h.cluster.needed(ctx, node)
		if err != nil {
			return hit{}, err
		}
		back, err := take(ctx, h, node)
		if err != nil {
			return hit{}, err
		}
		h.say("%s, which led %s, is away; %q wait for it", h.cluster.name(node), queue, without)
		struck := now(slices.DeleteFunc(slices.Clone(h.children), func(c *child) bool {
			return slices.Contains(without, c.cfg.Role)
		})...)
		struck.back = back
		return struck, nil
	}
}

func shutdown(ctx context.Context, h *harness, node int) (func(context.Context) error, error) {
	m := h.cluster.members[node]
	return m.Start, m.Shutdown(ctx)
}

func kill(ctx context.Context, h *harness, node int) (func(context.Context) error, error) {
	m := h.cluster.members[node]
	return m.Start, m.Kill(ctx)
}

// isolate cuts a node from the others. Clients reach it, and nothing comes of it.
func isolate(ctx context.Context, h *harness, node int) (func(context.Context) error, error) {
	m := h.cluster.members[node]
	return func(ctx context.Context) error {
		if err := m.Rejoin(ctx); err != nil {
			return err
		}
		return h.cluster.awaitLinked(ctx, node)
	}, m.Isolate(ctx)
}

// hide cuts a node from the clients. The other nodes reach it, and wait for its clients.
func hide(_ context.Context, h *harness, node int) (func(context.Context) error, error) {
	hidden := func(on bool) {
		for _, c := range h.children {
			c.proxies[node].Hide(on)
		}
	}
	hidden(true)
	return func(context.Context) error { hidden(false); return nil }, nil
}

// cutOff cuts a node from everybody, without a word to anybody.
func cutOff(ctx context.Context, h *harness, node int) (func(context.Context) error, error) {
	rejoin, err := isolate(ctx, h, node)
	if err != nil {
		return nil, err
	}
	show, err := hide(ctx, h, node)
	return func(ctx context.Context) error {
		if err := show(ctx); err != nil {
			return err
		}
		return rejoin(ctx)
	}, err
}

// leaderMoved makes another node the leader of all queues.
func leaderMoved(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
	old, err := h.cluster.leader(ctx, role.Queues[0])
	if err != nil {
		return hit{}, err
	}
	next := (old + 1 + r.IntN(h.cluster.size()-1)) % h.cluster.size()
	if err := h.cluster.moveLeaders(ctx, next); err != nil {
		return hit{}, err
	}
	return now(h.children...), until(ctx, recovery, "the leader is moved", func() (bool, error) {
		leader, err := h.cluster.leader(ctx, role.Queues[0])
		return leader == next, err
	})
}

// rollingRestart restarts each node in turn, as RabbitMQ's manual says: it waits until all
// queues can do without the node, sends its leaders and clients away, and ends it.
func rollingRestart(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
	if err := h.awaitRegistered(ctx); err != nil {
		return hit{}, err
	}
	for _, node := range r.Perm(h.cluster.size()) {
		if err := restartInOrder(ctx, h.cluster.members[node]); err != nil {
			return hit{}, fmt.Errorf("restart %s: %w", h.cluster.name(node), err)
		}
	}
	return now(h.children...), nil
}

func restartInOrder(ctx context.Context, m *devserver.Member) error {
	for _, command := range []string{"await_online_quorum_plus_one", "drain"} {
		if _, err := m.Run(ctx, "rabbitmq-upgrade", command); err != nil {
			return err
		}
	}
	if err := m.Shutdown(ctx); err != nil {
		return err
	}
	return m.Start(ctx)
}
