package group

import (
	"context"
	"fmt"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

// Count returns middleware that records in s when a member of a group is done, which is when
// its handler has returned nil, and that enqueues what follows on e when it is the last. An
// error of either is returned as the handler's, so the job runs again when the retry policy
// says so. Jobs of no group pass. A nil store or enqueuer panics.
//
// It belongs first in worker.Config.Middleware: it has to see what the worker will see.
func Count(s Store, e job.Enqueuer) worker.Middleware {
	if s == nil {
		panic("group: Count: nil store")
	}
	if e == nil {
		panic("group: Count: nil enqueuer")
	}
	return func(next worker.Handler) worker.Handler {
		return func(ctx context.Context, j job.Job) error {
			if err := next(ctx, j); err != nil || j.Group == nil {
				return err
			}
			return record(ctx, s, e, j)
		}
	}
}

func record(ctx context.Context, s Store, e job.Enqueuer, j job.Job) error {
	if err := context.Cause(ctx); err != nil { // the worker has answered as for a failure, or will
		return fmt.Errorf("group: job %s is done, too late to be counted: %w", j.ID, err)
	}
	g := j.Group
	last, err := s.Done(ctx, g.ID, g.Size, j.ID)
	if err != nil {
		return fmt.Errorf("group: job %s is done and could not be counted: %w", j.ID, err)
	}
	if !last {
		return nil
	}
	if err := e.Enqueue(ctx, g.Then); err != nil {
		return fmt.Errorf("group: all of group %s are done, and what follows could not be enqueued: %w", g.ID, err)
	}
	return nil
}
