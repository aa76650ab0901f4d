package main

import (
	"context"

	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/tally"
	"github.com/errandq/errand/examples/backup/walk"
	"github.com/errandq/errand/job"
)

// batch is how many jobs go out in one call, which waits once for all of them.
const batch = 500

// send enqueues a job for everything that source holds, and seals the tally. What can't be
// walked is tallied as failed. run is empty if nobody waits.
func send(ctx context.Context, to job.Enqueuer, t *tally.Tally, source, run string) error {
	jobs := make([]job.Job, 0, batch)
	for entry, err := range walk.Files(source) {
		t.Expect(entry.Path, entry.Size)
		if err != nil {
			t.Add(tally.Report{Path: entry.Path, Status: outcome.Failed, Reason: err.Error()})
			continue
		}
		jobs = append(jobs, backup.CopyFile.New(backup.File{Run: run, Source: source, Path: entry.Path}))
		if len(jobs) == batch {
			if err := to.Enqueue(ctx, jobs...); err != nil {
				return err
			}
			jobs = jobs[:0]
		}
	}
	if err := to.Enqueue(ctx, jobs...); err != nil {
		return err
	}
	t.Seal()
	return nil
}
