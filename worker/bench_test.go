package worker_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/worker"
)

type noted struct{ answers int }

// Answer implements [broker.Answerer].
func (n *noted) Answer(_ *broker.Delivery, v broker.Verdict) error {
	if v == broker.Acked {
		n.answers++
	}
	return nil
}

// What the worker itself costs a job, with its default timeout and without the broker.
func BenchmarkWork(b *testing.B) {
	kind := job.Define[struct{ N int }]("bench", job.Queue("bench"))
	w := worker.New(jobtest.NewBroker(b).Connect(), worker.Config{Concurrency: 1})
	worker.Handle(w, kind, func(context.Context, struct{ N int }) error { return nil })
	m := kind.New(struct{ N int }{1}).Message()
	answers := &noted{}
	b.ReportAllocs()
	for b.Loop() {
		if r := w.Work(broker.NewDelivery(b.Context(), "bench", m, answers)); r.Outcome != worker.Done {
			b.Fatalf("got %+v, want it done", r)
		}
	}
	if answers.answers != b.N {
		b.Errorf("%d of %d were acked", answers.answers, b.N)
	}
}

// A source delivers as fast as its consumer takes.
type source struct {
	job.Broker
	deliver func(handle func(*broker.Delivery))
}

func (s source) Consume(ctx context.Context, sub broker.Subscription, handle func(*broker.Delivery)) error {
	s.deliver(handle)
	return nil
}

type counted struct {
	left atomic.Int64
	done chan struct{}
}

// Answer implements [broker.Answerer].
func (c *counted) Answer(*broker.Delivery, broker.Verdict) error {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
	return nil
}

// What the worker costs a job with all its goroutines, without the broker.
func BenchmarkRun(b *testing.B) {
	kind := job.Define[struct{ N int }]("bench", job.Queue("bench"))
	m := kind.New(struct{ N int }{1}).Message()
	c := &counted{done: make(chan struct{})}
	n := b.N
	c.left.Store(int64(n))
	ctx, stop := context.WithCancel(b.Context())
	w := worker.New(source{jobtest.NewBroker(b).Connect(), func(handle func(*broker.Delivery)) {
		b.ResetTimer()
		for range n {
			handle(broker.NewDelivery(context.Background(), "bench", m, c))
		}
		<-c.done
		b.StopTimer()
		stop()
	}}, worker.Config{Concurrency: 100})
	worker.Handle(w, kind, func(context.Context, struct{ N int }) error { return nil })
	b.ReportAllocs()
	if err := w.Run(ctx); err != nil {
		b.Fatal(err)
	}
}
