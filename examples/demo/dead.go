package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

var quiet = slog.New(slog.DiscardHandler)

// A deadLetter is a job that was put aside.
type deadLetter struct {
	queue string
	job   job.Job
}

// late is how long to look for dead letters that should not be there.
const late = 300 * time.Millisecond

// deadLetters reads the dead-letter queues of queues, and leaves everything in them. It
// waits until want are there.
func deadLetters(ctx context.Context, url string, want int, queues ...string) (found []deadLetter, err error) {
	conn, err := broker.Dial(ctx, url, broker.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	letters := make(chan *broker.Delivery)
	ended := make(chan error, len(queues))
	for _, q := range queues {
		// What is not answered goes back when the consuming ends.
		go func() {
			ended <- conn.Consume(ctx, broker.Subscription{Queue: topology.DeadQueue(q), Prefetch: 1000}, func(d *broker.Delivery) {
				select {
				case letters <- d:
				case <-ctx.Done():
				}
			})
		}()
	}
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for waiting := true; waiting; {
		select {
		case d := <-letters:
			j, err := job.Parse(d.Message)
			if err != nil || j.Failure == nil {
				return nil, fmt.Errorf("dead letter %s in %s: no reason in it (%v)", d.ID, d.Queue, err)
			}
			found = append(found, deadLetter{d.Queue, j})
			if len(found) == want {
				patience.Reset(late) // one more would be one too many
			}
		case <-patience.C:
			waiting = false
		}
	}
	stop()
	for range queues {
		err = errors.Join(err, <-ended)
	}
	return found, err
}
