package copier

import (
	"context"
	"errors"
	"time"

	"github.com/errandq/errand/broker"
	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// reportTime is how long a report may take. It has a time of its own, because an attempt is
// also reported after the job's own time has run out.
const reportTime = 10 * time.Second

// report tells the waiting producer what one attempt at f came to. That the producer has
// ended, and its queue with it, is no error: nobody wants to know.
func (c *Copier) report(ctx context.Context, f backup.File, res outcome.Result, err error) error {
	r := backup.Report{Path: f.Path, Status: res.Status, Bytes: res.Bytes, Reason: res.Note, Attempt: 1}
	if j, ok := worker.JobFrom(ctx); ok {
		r.Attempt = j.Attempt
	}
	if err != nil {
		r.Status, r.Bytes, r.Reason = outcome.Failed, 0, err.Error()
		if _, again := retry.Decide(c.cfg.Retry, r.Attempt, err); again {
			r.Status = outcome.Retrying
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTime)
	defer cancel()
	if err := c.cfg.Reports.Enqueue(ctx, backup.ReportsTo(f.Run).New(r)); !errors.Is(err, broker.ErrUnroutable) {
		return err
	}
	return nil
}

// handedOn reports whether the job will run again elsewhere, as the same attempt, so that
// this run has nothing to say about it.
func handedOn(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && !errors.Is(cause, worker.ErrTimeout)
}
