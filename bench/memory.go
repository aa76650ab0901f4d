package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

// The memory measurement: so many jobs through one worker, and looks at its memory as many
// jobs apart.
const (
	memoryJobs = 1_000_000
	firstLook  = 10_000
	lookEvery  = 100_000
)

// quiet keeps the tables readable.
var quiet = slog.New(slog.DiscardHandler)

var memoryKind = job.Define[args]("bench", job.Queue("bench.memory"))

// measureMemory works a million small jobs with concurrency 100, enqueued by another
// process meanwhile, and compares the resident memory of this one with what it was after
// ten thousand.
func measureMemory(ctx context.Context, url string) (err error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := fill(ctx, conn, 1); err != nil { // declares the queue
		return err
	}
	filler := exec.CommandContext(ctx, os.Args[0], "-fill", strconv.Itoa(memoryJobs), "-amqp", url)
	filler.Stderr = os.Stderr
	if err := filler.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, filler.Wait()) }()

	working, cancel := context.WithCancel(ctx)
	defer cancel()
	done := atomic.Int64{}
	w := worker.New(conn, worker.Config{Concurrency: 100, Logger: quiet})
	worker.Handle(w, memoryKind, func(context.Context, args) error {
		done.Add(1)
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- w.Run(working) }()
	if err := look(ctx, &done); err != nil {
		return err
	}
	cancel()
	return <-ended
}

// look prints the memory as the number of jobs done goes up.
func look(ctx context.Context, done *atomic.Int64) error {
	first := 0
	for next := int64(firstLook); next <= memoryJobs; next = (next/lookEvery + 1) * lookEvery {
		for done.Load() < next {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			time.Sleep(time.Millisecond)
		}
		rss, err := resident()
		if err != nil {
			return err
		}
		if first == 0 {
			first = rss
		}
		fmt.Printf("%9d jobs: %5.1f MiB resident, %.2f times the first\n",
			next, float64(rss)/(1<<20), float64(rss)/float64(first))
	}
	return nil
}

// resident is the memory of this process in bytes, by Linux's proc filesystem: the median
// over a second, because the garbage collector makes it go up and down.
func resident() (int, error) {
	const looks = 21
	values := make([]int, 0, looks)
	for range looks {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return 0, fmt.Errorf("resident memory: %w (only Linux tells it this way)", err)
		}
		_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
		fields := bytes.Fields(rest)
		if len(fields) == 0 {
			return 0, errors.New("resident memory: no VmRSS in /proc/self/status")
		}
		kib, err := strconv.Atoi(string(fields[0]))
		if err != nil {
			return 0, fmt.Errorf("resident memory: %w", err)
		}
		values = append(values, kib<<10)
		time.Sleep(time.Second / looks)
	}
	slices.Sort(values)
	return values[looks/2], nil
}

// fillOnly is the other process: it enqueues n jobs and ends.
func fillOnly(ctx context.Context, url string, n int) error {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return err
	}
	return errors.Join(fill(ctx, conn, n), conn.Close())
}

// fill enqueues n jobs, a thousand at a time.
func fill(ctx context.Context, conn *broker.Conn, n int) error {
	p := producer.New(conn, producer.Config{})
	for n > 0 {
		jobs := make([]job.Job, min(1000, n))
		for i := range jobs {
			jobs[i] = memoryKind.New(payload)
		}
		if err := p.Enqueue(ctx, jobs...); err != nil {
			return err
		}
		n -= len(jobs)
	}
	return nil
}
