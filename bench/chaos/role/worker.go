package role

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"time"

	"github.com/errandq/errand/bench/chaos/ledger"
	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

var errTrouble = errors.New("trouble, as was ordered")

func (p *program) work(conn *broker.Conn) error {
	w := worker.New(conn, worker.Config{
		Concurrency: 8, Prefetch: 32, Grace: grace, Logger: p.log, Timeout: 5 * time.Minute,
		Middleware: []worker.Middleware{p.watch},
	})
	steps := worker.Retry(retry.Steps{100 * time.Millisecond, 250 * time.Millisecond, 600 * time.Millisecond})
	worker.Handle(w, plain, takeTime)
	worker.Handle(w, delayed, takeTime)
	worker.Handle(w, sacrifice, takeTime)
	worker.Handle(w, flaky, failThenSucceed, steps)
	worker.Handle(w, exhausted, func(context.Context, Task) error { return errTrouble }, steps)
	worker.Handle(w, permanent, func(context.Context, Task) error { return retry.Permanent(errTrouble) })
	worker.Handle(w, long, p.takeLong)
	return w.Run(p.soft)
}

// watch notes the beginning and the end of each handler.
func (p *program) watch(next worker.Handler) worker.Handler {
	return func(ctx context.Context, j job.Job) error {
		t, err := plain.Decode(j) // all kinds have the same arguments
		if err != nil {
			return fmt.Errorf("%s is not what was sent: %w", j.ID, err)
		}
		e := ledger.Event{What: ledger.Start, ID: j.ID, Kind: j.Kind, Attempt: j.Attempt, Sent: t.Sent}
		e.Early = time.Now().UnixNano() < t.NotBefore
		p.note(e)
		err = next(ctx, j)
		e.What, e.Early = ledger.Done, false
		switch {
		case errors.Is(err, worker.ErrDeliveryLost):
			e.What = ledger.Lost
		case err != nil:
			e.What = ledger.Failed
		}
		p.note(e)
		return err
	}
}

// takeTime is a handler that succeeds if it may run long enough.
func takeTime(ctx context.Context, t Task) error { return Sleep(ctx, t.Takes) }

// Sleep waits for d, or returns the reason why ctx has ended.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failThenSucceed fails one to three times, depending on the job.
func failThenSucceed(ctx context.Context, t Task) error {
	j, _ := worker.JobFrom(ctx)
	h := fnv.New32()
	_, _ = h.Write([]byte(j.ID)) // it has no reason to fail
	if j.Attempt <= 1+int(h.Sum32()%3) {
		return errTrouble
	}
	return takeTime(ctx, t)
}

// takeLong goes on for longer than the delivery timeout when it runs first, in whatever
// process, and is quick after that.
func (p *program) takeLong(ctx context.Context, t Task) error {
	j, _ := worker.JobFrom(ctx)
	mark, err := os.OpenFile(filepath.Join(p.Dir, j.ID+".ran"), os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := mark.Close(); err != nil {
		return err
	}
	return Sleep(ctx, t.Takes)
}
