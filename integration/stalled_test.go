package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// overrun is how long after the end of its context a call may return at the latest.
const overrun = 3 * time.Second

// The network swallows what is sent, which nobody notices before a few heartbeats are
// missing. Callers don't wait that long: their contexts count.
func TestCallsEndWithTheirContextsOnAStalledNetwork(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	tests := []struct {
		name string
		call func(ctx context.Context, conn *broker.Conn) error
	}{
		{"publish", func(ctx context.Context, conn *broker.Conn) error {
			return conn.Publish(ctx, broker.Message{ID: "1", Key: "stalled"})
		}},
		{"declare", func(ctx context.Context, conn *broker.Conn) error {
			return conn.Declare(ctx, topology.Work("", "stalled"))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, url)
			conn := dialWith(t, p.url, broker.Config{})
			p.swallow()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := test.call(ctx, conn)
			if took := time.Since(began); took > time.Second+overrun || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v after %v, want the deadline, a second", err, took)
			}
			began = time.Now()
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > overrun {
				t.Errorf("Close took %v", took)
			}
		})
	}
}

// The same for Run: the server takes the job back by itself.
func TestShutdownKeepsGraceOnAStalledNetwork(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	p := newProxy(t, url)
	conn := dialWith(t, p.url, broker.Config{})
	kind := job.Define[numbered]("stalled", job.Queue("stalled-shutdown"))
	const grace = 2 * time.Second
	w := worker.New(conn, worker.Config{Logger: quiet, Grace: grace})
	running := make(chan struct{}, 1)
	worker.Handle(w, kind, func(ctx context.Context, _ numbered) error {
		running <- struct{}{}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	enqueue(t, conn, kind.New(numbered{1}))
	<-running
	p.swallow()
	cancel()
	began := time.Now()
	err := receive(t, "the end of Run", done)
	if took := time.Since(began); err != nil || took > grace+overrun {
		t.Errorf("got %v after %v, want nil after %v", err, took, grace)
	}
}
