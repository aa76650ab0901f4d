package store_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/errandq/errand/examples/backup/outcome"
)

// The memory that a copy takes doesn't grow with the file.
func TestPutTakesConstantMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 2 GiB to the disk")
	}
	const size, limit = 2 << 30, 32 << 20
	b, dir := directory(t)
	if err := os.Truncate(filepath.Join(b.root, "f"), size); err != nil { // sparse: takes no room itself
		t.Fatal(err)
	}
	var peak uint64
	watch := func(string, []byte) {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)
	}
	parts := 0
	b.onWrite = func(key string, p []byte) {
		if parts++; parts%64 == 0 {
			watch(key, p)
		}
	}
	reads := 0
	b.onRead = func(key string, p []byte) {
		if reads++; reads%2048 == 0 {
			watch(key, p)
		}
	}
	b.mustPut(t, "f", outcome.Copied)
	t.Logf("peak of the heap in use: %.1f MiB", float64(peak)/(1<<20))
	if peak == 0 || peak > limit {
		t.Errorf("peak of the heap in use is %d bytes, want at most %d", peak, limit)
	}
	if info, err := os.Stat(filepath.Join(dir, "files", "f")); err != nil || info.Size() != size {
		t.Errorf("got %v, %v, want a copy of %d bytes", info, err, size)
	}
}
