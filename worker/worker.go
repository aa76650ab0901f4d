package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
)

// A Worker consumes queues and runs their jobs. Make it with [New], give it handlers with
// [Handle], and call [Worker.Run] once.
type Worker struct {
	broker broker.Broker
	cfg    Config
	sender *job.Sender
	stats  counters

	mu      sync.Mutex
	running bool
	pools   map[string]*pool // by queue
	errs    []error          // of kinds
}

// New makes a Worker. The broker is its owner's to close, after Run has returned. A nil
// broker or a bad namespace panics.
func New(b broker.Broker, cfg Config) *Worker {
	return &Worker{
		broker: b,
		cfg:    cfg.withDefaults(),
		sender: job.NewSender(b, cfg.Namespace),
		pools:  map[string]*pool{},
	}
}

// Run works until ctx ends, and then shuts down: no new jobs are taken, jobs that wait here
// go back to their queues, running ones are finished. It returns nil when every job is
// answered, at the latest after Config.Grace. Values of ctx reach the handlers; its end does
// not.
//
// Run returns an error if there is no handler or a kind is invalid, if a queue can't be
// declared or consumed at the start, if the broker was closed, and if handlers were left
// running at the end because they ignore their contexts. Everything else that goes wrong
// with the broker later is waited out. Run must not be called twice.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.begin(); err != nil {
		return err
	}
	soft, stop := context.WithCancel(ctx)
	defer stop()
	hard, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)

	errs := make(chan error, len(w.pools))
	for _, p := range w.pools {
		// If one queue can't be worked, the others shut down in order.
		go func() { errs <- p.run(hard, soft.Done(), stop) }()
	}
	all := make([]error, 0, len(w.pools))
	var grace <-chan time.Time
	done := soft.Done()
	for len(all) < len(w.pools) {
		select {
		case err := <-errs:
			all = append(all, err)
		case <-done:
			done = nil
			timer := time.NewTimer(w.cfg.Grace - w.cfg.cutOff())
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			cut(ErrShutdown)
		}
	}
	return errors.Join(all...)
}

func (w *Worker) begin() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return errors.New("worker: Run was called twice")
	}
	if err := errors.Join(w.errs...); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	if len(w.pools) == 0 {
		return errors.New("worker: no handler: call worker.Handle before Run")
	}
	w.running = true
	return nil
}
