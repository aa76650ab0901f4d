package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// args are the arguments of the event and of the job of the memory measurement, 256 bytes as
// JSON.
type args struct {
	OrderID string `json:"order_id"`
	Note    string `json:"note"`
}

var payload = args{OrderID: "order-000001", Note: strings.Repeat("x", 256-len(`{"order_id":"order-000001","note":""}`))}

// A contender does n jobs one way or the other, and has its connections ready.
type contender interface {
	run(ctx context.Context, n int) error
	close() error
}

// A row is one kind of work, done both ways.
type row struct {
	name string
	jobs int
	hand func(ctx context.Context, url string, n int) (contender, error)
	ours func(ctx context.Context, url string, n int) (contender, error)
}

// A sample is one round of one contender.
type sample struct {
	rate float64 // jobs a second
	cpu  float64 // microseconds of CPU a job
}

// measure runs one round. Making the contender, which may fill a queue, is not measured.
func measure(ctx context.Context, url string, n int, start func(context.Context, string, int) (contender, error)) (s sample, err error) {
	c, err := start(ctx, url, n)
	if err != nil {
		return s, err
	}
	defer func() {
		if e := c.close(); err == nil {
			err = e
		}
	}()
	cpu, began := cpuTime(), time.Now()
	if err := c.run(ctx, n); err != nil {
		return s, err
	}
	took, used := time.Since(began), cpuTime()-cpu
	return sample{
		rate: float64(n) / took.Seconds(),
		cpu:  float64(used.Microseconds()) / float64(n),
	}, nil
}

// cpuTime is the user and system time of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprintf("getrusage: %v", err)) // it has no reason to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// compare runs rounds of a row in turns and returns its line of the table.
func compare(ctx context.Context, url string, r row, rounds int) (string, error) {
	var hand, ours []sample
	for range rounds {
		for _, side := range []struct {
			start   func(context.Context, string, int) (contender, error)
			samples *[]sample
		}{{r.hand, &hand}, {r.ours, &ours}} {
			s, err := measure(ctx, url, r.jobs, side.start)
			if err != nil {
				return "", fmt.Errorf("%s: %w", r.name, err)
			}
			*side.samples = append(*side.samples, s)
		}
	}
	rate := func(s sample) float64 { return s.rate }
	cpu := func(s sample) float64 { return s.cpu }
	return fmt.Sprintf(format, r.name,
		median(hand, rate), median(hand, cpu), median(ours, rate), median(ours, cpu),
		ratio(ours, hand, rate), ratio(ours, hand, cpu)), nil
}

// The table, in the form that Markdown reads.
const (
	format = "| %-31s | %13.0f | %10.1f | %14.0f | %10.1f | %6.2f | %5.2f |"
	head   = "| work                            | hand: jobs/s  | CPU µs/job | errand: jobs/s | CPU µs/job | rate × | CPU × |\n" +
		"|---------------------------------|---------------|------------|----------------|------------|--------|-------|"
)

func median[S any](samples []S, of func(S) float64) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// ratio is the median of the ratios of the rounds, because neighbours in time are the most
// alike.
func ratio[S any](a, b []S, of func(S) float64) float64 {
	values := make([]float64, len(a))
	for i := range a {
		values[i] = of(a[i]) / of(b[i])
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// purge empties a queue.
func purge(url, queue string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err == nil {
		_, err = ch.QueuePurge(queue, false)
	}
	return errors.Join(err, conn.Close())
}
