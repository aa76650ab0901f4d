package worker_test

import (
	"context"
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
