package jobtest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/errandq/errand/job"
)

// A Recorder is an Enqueuer that keeps what it is given: for code that enqueues, where a
// broker would be too much. The zero value works. It is safe for concurrent use.
type Recorder struct {
	// Fail, if set, is asked before jobs are kept; its error is Enqueue's.
	Fail func(jobs []job.Job) error

	mu   sync.Mutex
	jobs []job.Job
}

var _ job.Enqueuer = (*Recorder)(nil)

// Enqueue implements [job.Enqueuer]. A job that is invalid is an error, as it is with a
// producer.
func (r *Recorder) Enqueue(_ context.Context, jobs ...job.Job) error {
	for _, j := range jobs {
		if err := j.Err(); err != nil {
			return err
		}
	}
	if r.Fail != nil {
		if err := r.Fail(jobs); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, jobs...)
	return nil
}

// Jobs returns what was enqueued, in order.
func (r *Recorder) Jobs() []job.Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.jobs)
}

// Reset forgets what was enqueued.
func (r *Recorder) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = nil
}

// Recorded returns the jobs of kind k that r was given, with their arguments. One whose
// arguments do not decode fails the test.
func Recorded[T any](tb testing.TB, r *Recorder, k job.Kind[T]) []Found[T] {
	tb.Helper()
	var found []Found[T]
	for _, j := range r.Jobs() {
		if j.Kind != k.Name() {
			continue
		}
		args, err := k.Decode(j)
		if err != nil {
			tb.Fatalf("jobtest: job %s of kind %q: %v", j.ID, k.Name(), err)
		}
		found = append(found, Found[T]{j, args})
	}
	return found
}
