package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

// measureMemory works a million small jobs with concurrency 100 and compares the resident
// memory of this process with what it was after ten thousand.
func measureMemory(ctx context.Context, url string) error {
	kind := job.Define[args]("bench", job.Queue("bench.memory"))
	o, err := dialOurs(ctx, url, nil)
	if err != nil {
		return err
	}
	defer o.close() //nolint:errcheck // it returns nil
	first := 0
	for done, next := 0, 10000; done < 1_000_000; next = 90000 {
		next = min(next, 1_000_000-done)
		if err := o.fill(ctx, kind, next, 10000); err != nil {
			return err
		}
		if err := o.consume(ctx, kind, next, worker.Config{Concurrency: 100, Logger: quiet}); err != nil {
			return err
		}
		done += next
		rss, err := resident()
		if err != nil {
			return err
		}
		if first == 0 {
			first = rss
		}
		fmt.Printf("%9d jobs: %6.1f MiB resident, %.2f times the first; %d goroutines\n",
			done, float64(rss)/(1<<20), float64(rss)/float64(first), runtime.NumGoroutine())
	}
	return nil
}

// resident is the memory of this process in bytes, by Linux's proc filesystem.
func resident() (int, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("resident memory: %w (only Linux tells it this way)", err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	return kib << 10, err
}
