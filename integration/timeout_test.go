package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

// A job runs longer than the private server lets a delivery stay unanswered. Before 4.3 the
// server closes the channel over it, which it looks for once a minute; from 4.3 on the
// worker has asked for a longer time, and nothing happens.
func TestConsumerTimeout(t *testing.T) {
	t.Parallel()
	log, book := newLog()
	conn := dialWith(t, private.URL(t), broker.Config{Logger: log})
	slow, quick := job.Define[numbered]("slow", job.Queue("slow")), job.Define[numbered]("quick", job.Queue("quick"))
	causes := make(chan error, 1)
	var second atomic.Bool
	var worked tally
	w := newWorker(conn, 2)
	worker.Handle(w, slow, func(ctx context.Context, n numbered) error {
		if n.N == 0 && !second.Swap(true) {
			select {
			case <-ctx.Done():
			case <-time.After(75 * time.Second): // longer than the server needs to see it
			}
			causes <- context.Cause(ctx)
		}
		return worked.work(ctx, n)
	})
	worker.Handle(w, quick, worked.work)
	start(t, w)
	enqueue(t, conn, slow.New(numbered{0}))
	n := 1
	for waiting := true; waiting; n++ { // the others go on meanwhile
		enqueue(t, conn, quick.New(numbered{2 * n}), slow.New(numbered{2*n + 1}))
		eventually(t, "two quick jobs", func() bool { return worked.has(2*n) && worked.has(2*n+1) })
		select {
		case err := <-causes:
			waiting = false
			if old := !atLeast(conn.Status().Publish.Version, 4, 3); old != errors.Is(err, worker.ErrDeliveryLost) {
				t.Errorf("got cause %v, want ErrDeliveryLost before 4.3: %v", err, old)
			}
		case <-time.After(100 * time.Millisecond): // a few jobs a second are enough
		}
	}
	eventually(t, "the slow job", func() bool { return worked.has(0) })
	if lines := book.lines("consuming interrupted", "queue=quick"); len(lines) > 0 {
		t.Errorf("the other queue was disturbed: %s", lines[0])
	}
	t.Logf("%d other jobs meanwhile, %+v", 2*n, w.Stats())
}

// A consumer whose delivery has timed out gets it again, and what comes later, too. On 4.3 the
// server cancels the consumer, and takes an answer that comes late for a sign of life: whoever
// answers one without having answered the cancellation is given messages that nobody sees
// (RabbitMQ issue 17317).
func TestConsumerIsNotStuckAfterATimeout(t *testing.T) {
	t.Parallel()
	url := private.URL(t)
	log, book := newLog()
	conn := dialWith(t, url, broker.Config{Logger: log})
	r := dialRaw(t, url)
	declareQuorum(t, url, "slow", 1)
	r.publish("slow", broker.Message{ID: "1"}, broker.Message{ID: "2"})
	got := make(chan *broker.Delivery)
	runUntil(t, func(ctx context.Context) error {
		return conn.Consume(ctx, broker.Subscription{Queue: "slow", Prefetch: 1}, func(d *broker.Delivery) { got <- d })
	})
	late := receive(t, "the first delivery", got)
	select {
	case <-late.Context().Done():
		t.Logf("timed out: %v", context.Cause(late.Context()))
	case <-time.After(75 * time.Second):
		t.Fatal("the server has not taken it back")
	}
	if cause := context.Cause(late.Context()); errors.Is(cause, broker.ErrRefused) {
		t.Errorf("got cause %v, want nothing of ErrRefused: nothing was sent", cause)
	}
	if err := late.Ack(); !errors.Is(err, broker.ErrDeliveryLost) {
		t.Errorf("the late answer: got %v, want ErrDeliveryLost", err)
	}
	r.publish("slow", broker.Message{ID: "3"})
	seen := map[string]bool{}
	for len(seen) < 3 { // 4.3 does not put it back at the head
		d := receive(t, "the next delivery", got)
		if seen[d.ID] {
			t.Errorf("message %s came again", d.ID)
		}
		seen[d.ID] = true
		if err := d.Ack(); err != nil {
			t.Errorf("message %s: %v", d.ID, err)
		}
	}
	eventually(t, "an empty queue", func() bool { return r.ready("slow") == 0 })
	if len(book.lines("consuming interrupted", "queue=slow")) == 0 {
		t.Error("nothing was logged about it")
	}
}

// atLeast compares a server's version.
func atLeast(version string, major, minor int) bool {
	var ma, mi int
	if _, err := fmt.Sscanf(version, "%d.%d", &ma, &mi); err != nil {
		return false
	}
	return ma > major || ma == major && mi >= minor
}
