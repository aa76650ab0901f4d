package main

import (
	"os"
	"testing"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if raw := os.Getenv(role.Env); raw != "" {
		os.Exit(role.Main(raw))
	}
	goleak.VerifyTestMain(m)
}

// A short run on whatever RabbitMQ is configured, with the same faults each time: each once, and
// then some of them at once. Those of nodes are for a cluster, which takes its time for them.
func TestChaos(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped in short mode: it takes a minute, on a cluster three")
	}
	names := []string{ // others take minutes, or wear out the server
		"cut", "cut-at-byte", "half-open", "latency", "tiny-reads",
		"worker-killed", "producer-killed", "caller-killed", "server-killed", "worker-stopped", "producer-stopped",
		"connections-closed", "channel-closed", "queue-deleted", "memory-alarm", "broker-killed",
		"node-killed", "node-isolated", "leader-moved"}
	faults, err := pick(allFaults(), names)
	if err != nil {
		t.Fatal(err)
	}
	r, err := chaos(t.Context(), options{
		lasts: 10 * time.Second, every: true, seed: 1, faults: faults, rate: 60, say: t.Logf,
	})
	if err != nil {
		t.Error(err)
	}
	if r == nil {
		t.FailNow()
	}
	t.Log("\n" + r.String())
	if r.sum.Worked == 0 || r.sum.Calls.Right == 0 || len(r.sum.Recoveries) == 0 {
		t.Errorf("got %d jobs worked, %d calls answered, %d kinds of faults, want some of each",
			r.sum.Worked, r.sum.Calls.Right, len(r.sum.Recoveries))
	}
}
