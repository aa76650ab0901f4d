package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// Mail is what the jobs of kind mail.send carry.
type Mail struct {
	To string `json:"to"`
}

// SendMail is shared by the programs that enqueue and those that work.
var SendMail = job.Define[Mail]("mail.send", job.Queue("mail"))

var errNoMailbox = errors.New("no such mailbox")

// deliver knows nothing of errand but how to say what a failure means.
func deliver(_ context.Context, m Mail) error {
	if m.To == "" {
		return retry.Permanent(errNoMailbox) // put aside at once
	}
	return nil
}

// A worker program: it works until it is interrupted, and then finishes what it is at.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	conn, err := broker.Dial(ctx, "amqp://localhost", broker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	w := worker.New(conn, worker.Config{Concurrency: 8})
	worker.Handle(w, SendMail, deliver,
		worker.Retry(retry.Exponential{Initial: time.Minute, Attempts: 8}),
		worker.Timeout(30*time.Second))
	if err := errors.Join(w.Run(ctx), conn.Close()); err != nil {
		fmt.Println(err)
	}
}

// A handler that has to wait for something else gives its job back for a while. That does
// not count as an attempt.
func ExampleSnooze() {
	open := func(now time.Time) bool { return now.Hour() >= 8 }
	handler := func(context.Context, Mail) error {
		if night := time.Date(2026, 1, 1, 3, 0, 0, 0, time.UTC); !open(night) {
			return worker.Snooze(time.Hour)
		}
		return nil
	}
	fmt.Println(handler(context.Background(), Mail{}))
	// Output: worker: snooze for 1h0m0s
}

// Middleware sees every job of a worker.
func ExampleMiddleware() {
	timed := func(next worker.Handler) worker.Handler {
		return func(ctx context.Context, j job.Job) error {
			err := next(ctx, j)
			fmt.Printf("%s, attempt %d: %v\n", j.Kind, j.Attempt, err)
			return err
		}
	}
	run := timed(func(context.Context, job.Job) error { return errNoMailbox })
	if err := run(context.Background(), SendMail.New(Mail{})); err != nil {
		fmt.Println("the worker sees:", err)
	}
	// Output:
	// mail.send, attempt 1: no such mailbox
	// the worker sees: no such mailbox
}

// JobFrom gives a handler what it needs to tell a job that it has seen before.
func ExampleJobFrom() {
	seen := map[string]bool{}
	handler := func(ctx context.Context, m Mail) error {
		if j, ok := worker.JobFrom(ctx); ok && seen[j.ID] {
			return nil // done already: the last worker died before it could say so
		}
		return deliver(ctx, m)
	}
	fmt.Println(handler(context.Background(), Mail{To: "gopher@example.com"}))
	// Output: <nil>
}
