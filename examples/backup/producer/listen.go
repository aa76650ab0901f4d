package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/errandq/errand/broker"
	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/tally"
	"github.com/errandq/errand/worker"
)

// errStalled is returned when nothing was heard of any file for too long.
var errStalled = errors.New("producer: no word of any file")

// listener declares the queue of run's reports, and returns a worker that tallies them.
func listener(ctx context.Context, conn broker.Broker, run string, t *tally.Tally, log *slog.Logger) (*worker.Worker, error) {
	if err := conn.Declare(ctx, backup.ReportQueue(run)); err != nil {
		return nil, err
	}
	w := worker.New(conn, worker.Config{Concurrency: 8, Prefetch: 64, Timeout: 10 * time.Second, Logger: log})
	worker.Handle(w, backup.ReportsTo(run), func(_ context.Context, r backup.Report) error {
		news := t.Add(tally.Report{Path: r.Path, Status: r.Status, Bytes: r.Bytes, Attempt: r.Attempt, Reason: r.Reason})
		if news && r.Status == outcome.Failed {
			log.Error("file is not backed up", "path", r.Path, "attempt", r.Attempt, "err", r.Reason)
		}
		return nil
	})
	return w, nil
}

// await returns nil when everything is known, and an error when ctx ends, or after stall
// without a report; zero means to wait for ever.
func await(ctx context.Context, t *tally.Tally, stall time.Duration) error {
	timer := time.NewTimer(stall)
	defer timer.Stop()
	stalled := timer.C
	if stall == 0 {
		stalled = nil
	}
	for {
		select {
		case <-t.Done():
			return nil
		case <-t.Heard():
			timer.Reset(stall)
		case <-stalled:
			return fmt.Errorf("%w for %v: is a worker running? its log says more; or wait longer with -stall", errStalled, stall)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
