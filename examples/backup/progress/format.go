package progress

import (
	"fmt"
	"time"

	"github.com/errandq/errand/examples/backup/tally"
)

// size renders bytes in units of 1000, as disks are sold: 999 B, 1.5 kB, 2.1 GB.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"kB", "MB", "GB", "TB", "PB", "EB"} {
		if v /= 1000; v < 999.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

func rate(s tally.Snapshot) string { return fmt.Sprintf("%.1f MB/s", s.Rate()/1e6) }

func eta(s tally.Snapshot) string {
	left := s.Left()
	if left < 0 {
		return "unknown"
	}
	return left.Round(time.Second).String()
}
