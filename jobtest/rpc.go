package jobtest

import (
	"cmp"
	"context"
	"errors"
	"testing"

	"github.com/errandq/errand/rpc"
)

// Serve runs s until the test ends, and returns a client for it. Both are on b: s must have been
// made for it. It returns when the server is there to be called.
func Serve(tb testing.TB, b *Broker, s *rpc.Server) *rpc.Client {
	tb.Helper()
	client := rpc.NewClient(b, rpc.ClientConfig{})
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	running, ended := context.WithCancelCause(context.WithoutCancel(tb.Context()))
	go func() { ended(cmp.Or(s.Run(ctx), errServed)) }()
	tb.Cleanup(func() {
		if err := client.Close(); err != nil {
			tb.Errorf("jobtest: %v", err)
		}
		stop()
		<-running.Done()
		if err := context.Cause(running); err != errServed {
			tb.Errorf("jobtest: %v", err)
		}
	})
	for _, queue := range s.Queues() {
		b.awaitConsumer(running, queue)
	}
	if running.Err() != nil {
		tb.FailNow() // its cleanup says why
	}
	return client
}

// errServed is the end of a server that has ended as it should.
var errServed = errors.New("served")

// awaitConsumer waits until somebody consumes the queue, or ctx ends.
func (b *Broker) awaitConsumer(ctx context.Context, queue string) {
	s := b.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for ctx.Err() == nil {
		if q := s.queues[queue]; q != nil && len(q.consumers) > 0 {
			return
		}
		s.wait(ctx)
	}
}
