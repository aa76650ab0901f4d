package contest

import (
	"slices"
	"sync"
	"time"
)

// A stopwatch collects times. It is safe for concurrent use.
type stopwatch struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *stopwatch) add(d ...time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d...)
}

// times returns nil if there are none.
func (s *stopwatch) times() *Times {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return nil
	}
	slices.Sort(s.all)
	return &Times{
		Min:  milliseconds(s.all[0]),
		P50:  s.quantile(0.5),
		P99:  s.quantile(0.99),
		P999: s.quantile(0.999),
		Max:  milliseconds(s.all[len(s.all)-1]),
	}
}

// quantile needs the times sorted.
func (s *stopwatch) quantile(q float64) float64 {
	i := min(int(q*float64(len(s.all))), len(s.all)-1)
	return milliseconds(s.all[i])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
