package role

import (
	"fmt"
	"os"
	"runtime"

	"github.com/errandq/errand/bench/chaos/ledger"
)

// usage is what this process holds. Where the system has no /proc, only goroutines are told.
func usage() ledger.Usage {
	u := ledger.Usage{Goroutines: runtime.NumGoroutine()}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.Files = len(files)
	}
	var total, resident int
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if _, err := fmt.Sscan(string(text), &total, &resident); err == nil {
			u.RSS = resident * os.Getpagesize()
		}
	}
	return u
}
