package contest

import (
	"fmt"
	"time"
)

// A Curve is a work that grows in one respect.
type Curve struct {
	Name string `json:"name"`
	X    string `json:"x"` // what grows
	Rows []Row  `json:"rows"`
	At   []int  `json:"at"` // how much, for each row
}

// Curves is what is measured of how errand scales. Their points are works without samples.
func Curves() []Curve {
	curve := func(name, x string, at []int, work func(int) Work) Curve {
		c := Curve{Name: name, X: x, At: at}
		for _, n := range at {
			w := work(n)
			w.Name = fmt.Sprintf("%s: %d", name, n)
			c.Rows = append(c.Rows, Row{Work: w.withDefaults()})
		}
		return c
	}
	return []Curve{
		curve("workers on one queue", "workers", []int{1, 2, 4, 8, 16, 32, 64}, func(n int) Work {
			return Work{Kind: Consume, Jobs: 60000, Workers: n, Prefetch: 10, Handlers: 10}
		}),
		curve("queues of one worker", "queues", []int{1, 2, 4, 8, 16, 32}, func(n int) Work {
			return Work{Kind: Consume, Jobs: 60000, Queues: n, Prefetch: 100, Handlers: 100}
		}),
		curve("kinds of one worker", "kinds", []int{1, 10, 100, 1000}, func(n int) Work {
			return Work{Kind: Mixed, Jobs: 20000, Kinds: n, Prefetch: 100, Handlers: 100}
		}),
		curve("size of a job", "bytes", []int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20}, func(n int) Work {
			const most = 96 << 20 // bytes a round
			return Work{Kind: Through, Jobs: min(10000, most/n), Size: n, Window: max(1, min(1000, most/4/n)), Group: max(1, min(1000, most/4/n)), Prefetch: 10}
		}),
		curve("backlog", "jobs that wait", []int{10_000, 100_000, 1_000_000}, func(n int) Work {
			return Work{Kind: Consume, Jobs: n, Prefetch: 100}
		}),
		curve("jobs in flight", "jobs", []int{1000, 3000, 10000}, func(n int) Work {
			return Work{Kind: Hold, Jobs: n, Prefetch: n, Handlers: n}
		}),
		curve("jobs in the delay ladder", "jobs", []int{100, 1000, 10000}, func(n int) Work {
			return Work{Kind: Ladder, Jobs: n, Callers: 64, Delay: 2 * time.Second, Spread: 10 * time.Second, Prefetch: 100, Handlers: 100}
		}),
		curve("hops in the delay ladder, 500/s", "hops", []int{1, 2, 3, 4}, func(n int) Work {
			delay := []time.Duration{1024, 1536, 1792, 1920}[n-1] * time.Millisecond
			return Work{Kind: Hops, Jobs: 1000, Rate: 500, Callers: pacing, Delay: delay, Prefetch: 100, Handlers: 100}
		}),
	}
}
