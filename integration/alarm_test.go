package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// Not parallel: it raises the memory alarm of the private server, which then takes no
// messages. What was enqueued before goes on being worked.
func TestMemoryAlarm(t *testing.T) {
	const jobs = 200
	url, elsewhere := private.URL(t), private.URL(t)
	conn := dial(t, url)
	p := producer.New(conn, producer.Config{})
	kind := job.Define[numbered]("alarmed")
	enqueueNumbered(t, conn, kind, jobs)
	if err := p.Enqueue(t.Context(), kind.New(numbered{0})); err != nil { // p declares, which takes its time
		t.Fatal(err)
	}

	newHog(t, elsewhere, 2*serverAlarmMemory)
	// The server tells a connection that it is blocked at its next message, whose own fate is
	// open then.
	sent := 0
	eventually(t, "the alarm", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := p.Enqueue(ctx, kind.New(numbered{jobs + sent}))
		sent++
		if err != nil && !errors.Is(err, broker.ErrUnconfirmed) && !errors.Is(err, broker.ErrBlocked) {
			t.Errorf("got %v, want nil, ErrUnconfirmed or ErrBlocked", err)
		}
		return conn.Status().Publish.Blocked != ""
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := p.Enqueue(ctx, kind.New(numbered{-1}))
	if !errors.Is(err, broker.ErrBlocked) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, broker.ErrUnconfirmed) {
		t.Errorf("got %v, want ErrBlocked because of the deadline", err)
	}
	if conn.Status().Ready() {
		t.Error("Status says ready")
	}

	var worked tally
	w := newWorker(conn, 10)
	worker.Handle(w, kind, worked.work)
	stop := start(t, w)
	eventually(t, "the jobs enqueued before", func() bool { return worked.worked() >= jobs })
	waiting := make(chan error, 1)
	go func() { waiting <- p.Enqueue(t.Context(), kind.New(numbered{-2})) }()
	silent(t, "a job was enqueued in spite of the alarm", waiting, 300*time.Millisecond)

	if err := private.Server(t).CloseConnections(t.Context(), "enough", elsewhere); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := receive(t, "the end of the alarm", waiting); err != nil {
		t.Errorf("got %v after the alarm, want nil", err)
	}
	t.Logf("the alarm was over after %v", time.Since(began).Round(time.Millisecond))
	eventually(t, "the job that waited", func() bool { return worked.has(-2) })
	stop()
	if worked.has(-1) {
		t.Error("the job that was refused was worked")
	}
	if g := conn.Status(); g.Publish.Generation != 1 || g.Consume.Generation != 1 {
		t.Errorf("got %+v, want the first connections to have lived through it", g)
	}
	dialRaw(t, url).empty(job.DefaultQueue)
}

// Not parallel, for the same reason. The alarm stops the server in the midst of a message
// that no buffer holds, and its sender waits no longer than its context all the same. (After
// the alarm this server refuses it, for its size, on its channel alone.)
func TestLargeMessageInTheAlarm(t *testing.T) {
	url, elsewhere := private.URL(t), private.URL(t)
	conn, probe := dial(t, url), dial(t, url)
	if err := conn.Declare(t.Context(), topology.Work("", "large")); err != nil {
		t.Fatal(err)
	}
	newHog(t, elsewhere, 2*serverAlarmMemory)
	eventually(t, "the alarm", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_ = probe.Publish(ctx, broker.Message{ID: "probe", Key: "large"}) // may succeed or not
		return probe.Status().Publish.Blocked != ""
	})
	const size = 15 << 20
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	go func() { done <- conn.Publish(ctx, broker.Message{ID: "1", Key: "large", Body: make([]byte, size)}) }()
	select {
	case err := <-done:
		if !errors.Is(err, broker.ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnconfirmed because of the deadline", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("Publish has ignored the end of its context")
	}
	if err := private.Server(t).CloseConnections(t.Context(), "enough", elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish(t.Context(), broker.Message{ID: "2", Key: "large"}); err != nil {
		t.Errorf("got %v for the next message", err)
	}
	if g := conn.Status().Publish.Generation; g != 1 {
		t.Errorf("it took %d connections, want the first to have lived through it", g)
	}
}
