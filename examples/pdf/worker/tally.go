package main

import (
	"context"
	"errors"
	"sync"

	"github.com/errandq/errand/examples/pdf/jobs"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// totals is what a worker tells about itself at its end.
type totals struct {
	PDFs    int   `json:"pdfs"`
	Mails   int   `json:"mails"`
	Retried int64 `json:"retried"`
	Dead    int64 `json:"dead"`
	// Reasons tells of the jobs that this worker's handlers gave up; at most 100.
	Reasons []reason `json:"reasons"`
}

// reason says why a job was put aside.
type reason struct {
	Kind  string `json:"kind"`
	Job   string `json:"job"`
	Error string `json:"error"`
}

const maxReasons = 100

// tally is a middleware that counts. It is safe for concurrent use.
type tally struct {
	policies map[string]retry.Policy // by kind, as given to the handlers

	mu      sync.Mutex
	done    map[string]int // by kind
	reasons []reason
}

func newTally(policies map[string]retry.Policy) *tally {
	return &tally{policies: policies, done: map[string]int{}, reasons: []reason{}}
}

// count wraps a handler.
func (t *tally) count(next worker.Handler) worker.Handler {
	return func(ctx context.Context, j job.Job) error {
		err := next(ctx, j)
		t.note(ctx, j, err)
		return err
	}
}

func (t *tally) note(ctx context.Context, j job.Job, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.done[j.Kind]++
		return
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, worker.ErrShutdown) || errors.Is(cause, worker.ErrDeliveryLost) {
		return // the job is not given up: it goes to another worker
	}
	if _, again := retry.Decide(t.policies[j.Kind], j.Attempt, err); !again && len(t.reasons) < maxReasons {
		t.reasons = append(t.reasons, reason{Kind: j.Kind, Job: j.ID, Error: err.Error()})
	}
}

// summary returns the totals; what follows a failure is counted by the worker itself.
func (t *tally) summary(stats worker.Stats) totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	return totals{
		PDFs:    t.done[jobs.Render.Name()],
		Mails:   t.done[jobs.Mail.Name()],
		Retried: stats.Retried,
		Dead:    stats.Dead,
		Reasons: append([]reason{}, t.reasons...),
	}
}
