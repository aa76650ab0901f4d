package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The measurement of calls: so many callers, each with one call at a time, a server in
// another process, a request and a response of 256 bytes.
const (
	callWarmUp  = 500 * time.Millisecond
	callTime    = 3 * time.Second
	callTimeout = 30 * time.Second // of one call: errand's default, and what the hand-written side takes
	callSlots   = 128              // prefetch of both servers, and errand's concurrency
)

// numbersOfCallers are the loads that are measured.
var numbersOfCallers = []int{1, 16, 128}

// A caller makes calls. It is safe for concurrent use.
type caller interface {
	call(ctx context.Context, a args) (args, error)
	close() error
}

// A way is one way to make calls, with the name under which another process serves them.
type way struct {
	name  string
	serve string
	dial  func(ctx context.Context, url string) (caller, error)
}

// A callRow is two ways to do the same.
type callRow struct {
	hand, ours way
}

var callRows = []callRow{
	{way{"hand, reply queue", "hand", dialHandCaller}, way{"errand, reply queue", "errand", dialOurCaller(false)}},
	{way{"hand, direct reply-to", "hand", dialHandDirect}, way{"errand, direct reply-to", "errand", dialOurCaller(true)}},
}

// A callSample is one round of one way.
type callSample struct {
	rate               float64 // calls a second
	p50, p99, p999     float64 // milliseconds
	clientCPU, servCPU float64 // microseconds a call
}

// measureCalls prints the table. All ways take turns in each round.
func measureCalls(ctx context.Context, url string, rounds int) error {
	fmt.Println(callHead)
	for _, callers := range numbersOfCallers {
		hand := make([][]callSample, len(callRows))
		ours := make([][]callSample, len(callRows))
		for range rounds {
			for i, r := range callRows {
				for _, side := range []struct {
					way     way
					samples *[]callSample
				}{{r.hand, &hand[i]}, {r.ours, &ours[i]}} {
					s, err := measureWay(ctx, url, side.way, callers)
					if err != nil {
						return fmt.Errorf("%s, %d callers: %w", side.way.name, callers, err)
					}
					*side.samples = append(*side.samples, s)
				}
			}
		}
		for i, r := range callRows {
			fmt.Println(callLine(callers, r.hand.name, hand[i], nil))
			fmt.Println(callLine(callers, r.ours.name, ours[i], hand[i]))
		}
	}
	return nil
}

// measureWay runs one round of one way, with a server and a client of its own.
func measureWay(ctx context.Context, url string, w way, callers int) (s callSample, err error) {
	server, err := startCallServer(ctx, w.serve, url)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c, err := w.dial(ctx, url)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if _, err := callFor(ctx, c, callers, callWarmUp); err != nil {
		return s, err
	}

	serverCPU, err := server.cpu()
	if err != nil {
		return s, err
	}
	cpu, began := cpuTime(), time.Now()
	times, err := callFor(ctx, c, callers, callTime)
	took, used := time.Since(began), cpuTime()-cpu
	if err != nil {
		return s, err
	}
	serverAfter, err := server.cpu()
	if err != nil {
		return s, err
	}
	slices.Sort(times)
	n := float64(len(times))
	return callSample{
		rate:      n / took.Seconds(),
		p50:       quantile(times, 0.5),
		p99:       quantile(times, 0.99),
		p999:      quantile(times, 0.999),
		clientCPU: float64(used.Microseconds()) / n,
		servCPU:   float64((serverAfter - serverCPU).Microseconds()) / n,
	}, nil
}

// callFor has callers goroutines make calls for a span of time, and returns how long each
// call took.
func callFor(ctx context.Context, c caller, callers int, span time.Duration) ([]time.Duration, error) {
	var all []time.Duration
	var mu sync.Mutex
	var failed atomic.Bool // one failure ends them all
	end := time.Now().Add(span)
	err := spread(callers, func() error {
		times := make([]time.Duration, 0, 1<<12)
		for now := time.Now(); now.Before(end) && !failed.Load(); {
			got, err := c.call(ctx, payload)
			if err != nil {
				failed.Store(true)
				return err
			}
			if got != payload {
				failed.Store(true)
				return fmt.Errorf("response is %v, want the request", got)
			}
			after := time.Now()
			times = append(times, after.Sub(now))
			now = after
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, times...)
		return nil
	})
	if err == nil && len(all) == 0 {
		err = errors.New("no call was made")
	}
	return all, err
}

// quantile is in milliseconds. times are sorted, and not empty.
func quantile(times []time.Duration, q float64) float64 {
	i := min(int(q*float64(len(times))), len(times)-1)
	return float64(times[i]) / float64(time.Millisecond)
}

// The table of calls. The ratios compare with the line above.
const callHead = "| callers | way                     | calls/s | p50 ms | p99 ms | p99.9 ms | client CPU µs/call | server CPU µs/call | rate × | p50 × | CPU × |\n" +
	"|---------|-------------------------|---------|--------|--------|----------|--------------------|--------------------|--------|-------|-------|"

func callLine(callers int, name string, samples, base []callSample) string {
	rate := func(s callSample) float64 { return s.rate }
	p50 := func(s callSample) float64 { return s.p50 }
	cpu := func(s callSample) float64 { return s.clientCPU }
	line := fmt.Sprintf("| %7d | %-23s | %7.0f | %6.2f | %6.2f | %8.2f | %18.1f | %18.1f |", callers, name,
		median(samples, rate), median(samples, p50),
		median(samples, func(s callSample) float64 { return s.p99 }),
		median(samples, func(s callSample) float64 { return s.p999 }),
		median(samples, cpu), median(samples, func(s callSample) float64 { return s.servCPU }))
	if base == nil {
		return line + "        |       |       |"
	}
	return line + fmt.Sprintf(" %6.2f | %5.2f | %5.2f |",
		ratio(samples, base, rate), ratio(samples, base, p50), ratio(samples, base, cpu))
}
