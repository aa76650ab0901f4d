package event_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// order is the value of the tests' topics.
type order struct {
	ID string `json:"id"`
}

// A fakeBroker keeps what it is told, and takes and delivers everything.
type fakeBroker struct {
	mu        sync.Mutex
	declared  topology.Topology
	published []broker.Message
	consumed  []broker.Subscription
	arriving  []broker.Message // what the first consumer gets
	answered  chan broker.Verdict
}

func (f *fakeBroker) Declare(_ context.Context, t topology.Topology) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.declared = topology.Join(f.declared, t)
	return nil
}

func (f *fakeBroker) Publish(_ context.Context, ms ...broker.Message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published = append(f.published, ms...)
	return nil
}

func (f *fakeBroker) Consume(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
	f.mu.Lock()
	f.consumed = append(f.consumed, s)
	arriving := f.arriving
	f.arriving = nil
	f.mu.Unlock()
	for _, m := range arriving {
		deliver(broker.NewDelivery(ctx, s.Queue, m, f))
	}
	select {
	case <-s.Drain:
	case <-ctx.Done():
	}
	return nil
}

func (f *fakeBroker) Answer(_ *broker.Delivery, v broker.Verdict) error {
	f.answered <- v
	return nil
}

// sent returns the only message that was published.
func (f *fakeBroker) sent(t *testing.T) broker.Message {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.published) != 1 {
		t.Fatalf("got %d messages published, want one: %+v", len(f.published), f.published)
	}
	return f.published[0]
}

// A recorder is an Enqueuer that keeps what it is given.
type recorder struct{ jobs []job.Job }

func (r *recorder) Enqueue(_ context.Context, jobs ...job.Job) error {
	r.jobs = append(r.jobs, jobs...)
	return nil
}

// runBriefly runs a worker with the subscriptions of subscribe, which must not fail, and
// returns what it consumes.
func runBriefly(t *testing.T, subscribe func(w *worker.Worker)) []broker.Subscription {
	t.Helper()
	f := &fakeBroker{}
	w := worker.New(f, worker.Config{Logger: quiet})
	subscribe(w)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it consumes for a moment
	if err := w.Run(ctx); err != nil {
		t.Fatalf("Run: %v", err)
	}
	return f.consumed
}

// deliver lets a worker with the subscriptions of subscribe work m, and returns the broker.
func deliver(t *testing.T, m broker.Message, subscribe func(w *worker.Worker)) *fakeBroker {
	t.Helper()
	f := &fakeBroker{arriving: []broker.Message{m}, answered: make(chan broker.Verdict, 1)}
	w := worker.New(f, worker.Config{Logger: quiet})
	subscribe(w)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	if v := <-f.answered; v != broker.Acked {
		t.Errorf("got verdict %v, want an ack", v)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	return f
}

func nothing(context.Context, order) error { return nil }

// checkError wants that err has all of texts.
func checkError(t *testing.T, name string, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: got no error, want one with %q", name, texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got error %q, want one with %q", name, err, text)
		}
	}
}
