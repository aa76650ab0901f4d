package topology_test

import (
	"testing"
	"time"

	"github.com/errandq/errand/topology"
)

// The ladder's arithmetic: one delay's way through it.
func BenchmarkRoute(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if p := topology.Route("", "bench", 95*time.Second); p.Delay < 95*time.Second {
			b.Fatalf("a way of %v, want 95s or more", p.Delay)
		}
	}
}
