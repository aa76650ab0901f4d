package integration_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/errandq/errand/devserver"
)

// The tests of this file take nodes from the server that all others share, so none is
// parallel, and each gives back what it took.

// A node goes away under load, the one that leads the queue: no job is lost, and the others
// go on soon, while it is away and when it is back.
func TestNodeGoesAway(t *testing.T) {
	for _, c := range []struct {
		name        string
		leave, back func(*devserver.Member, context.Context) error
		allowed     time.Duration // without a job worked
	}{
		{"shut down", (*devserver.Member).Shutdown, (*devserver.Member).Start, 20 * time.Second},
		{"killed", (*devserver.Member).Kill, (*devserver.Member).Start, 20 * time.Second},
		// Clients reach it as before: they find out that nothing comes of it.
		{"isolated", (*devserver.Member).Isolate, (*devserver.Member).Rejoin, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newTraffic(t)
			leader := f.leader()
			began := time.Now()
			takeAway(t, leader, c.leave, c.back, func() {
				f.more(1)
				t.Logf("%s: works on %v after the beginning", leader.Name(), time.Since(began).Round(time.Millisecond))
				f.more(2000)
			})
			f.more(1000)
			f.check(c.allowed)
		})
	}
}

// takeAway takes a member away, calls f, and gives the member back, whatever f does.
func takeAway(t *testing.T, m *devserver.Member, leave, back func(*devserver.Member, context.Context) error, f func()) {
	t.Helper()
	returned := false
	giveBack := func() {
		if returned {
			return
		}
		returned = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*patience)
		defer cancel()
		if err := back(m, ctx); err != nil {
			t.Error(err)
		}
	}
	defer giveBack()
	if err := leave(m, t.Context()); err != nil {
		t.Fatal(err)
	}
	f()
}

// The queue gets another leader under load, again and again.
func TestLeaderIsMoved(t *testing.T) {
	f := newTraffic(t)
	u, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		old := f.leader()
		next := f.nodes[round%len(f.nodes)]
		if next.Name() == old.Name() {
			next = f.nodes[(round+1)%len(f.nodes)]
		}
		move := fmt.Sprintf(`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)), rabbit_quorum_queue:transfer_leadership(Q, '%s').`,
			u.Path[1:], trafficQueue, next.Name())
		if _, err := old.Run(t.Context(), "rabbitmqctl", "eval", move); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the new leader", func() bool { return f.leader().Name() == next.Name() })
		f.more(500)
	}
	f.check(10 * time.Second)
}

// Each node is restarted in turn, as RabbitMQ's manual says: its leaders and clients are sent
// away first, and the next one waits until this one has caught up.
func TestRollingRestart(t *testing.T) {
	f := newTraffic(t)
	for _, m := range f.nodes {
		for _, command := range []string{"await_online_quorum_plus_one", "drain"} {
			if _, err := m.Run(t.Context(), "rabbitmq-upgrade", command); err != nil {
				t.Fatal(err)
			}
		}
		takeAway(t, m, (*devserver.Member).Shutdown, (*devserver.Member).Start, func() { f.more(500) })
		f.more(500)
	}
	f.check(20 * time.Second)
}
