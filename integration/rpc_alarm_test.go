package integration_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/worker"
)

// Not parallel: it raises the memory alarm of the private server. Calls wait for its end or
// for their deadlines; jobs on the same Conn are worked and acked meanwhile, which is why
// calls share the connection of what is published.
func TestJobsAreAckedDuringAnAlarmBesideCalls(t *testing.T) {
	const jobs, timeout = 200, 500 * time.Millisecond
	url, elsewhere := private.URL(t), private.URL(t)
	conn := dial(t, url)
	kind := job.Define[numbered]("beside")
	enqueueNumbered(t, conn, kind, jobs)
	var runs tally
	s, _ := serveIncrement(t, conn, rpc.ServerConfig{}, increment, &runs)
	r := dialRaw(t, url)
	r.awaitConsumer("increment")
	c := newClient(t, conn, rpc.ClientConfig{})
	// call makes call n, which ends at its deadline at the latest.
	call := func(n int) error {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		began := time.Now()
		got, err := increment.Call(ctx, c, numbered{n})
		took := time.Since(began)
		if took > timeout+prompt || err != nil && !errors.Is(err, context.DeadlineExceeded) || err == nil && got != n+1 {
			t.Errorf("call %d: got %d, %v after %v, with a timeout of %v", n, got, err, took, timeout)
		}
		return err
	}
	if err := call(0); err != nil {
		t.Fatal(err)
	}
	newHog(t, elsewhere, 2*serverAlarmMemory)
	n := 0
	eventually(t, "the alarm", func() bool {
		n++
		return call(n) != nil && conn.Status().Publish.Blocked != ""
	})
	var wg sync.WaitGroup
	for range 50 {
		n++
		id := n
		wg.Go(func() {
			if err := call(id); !errors.Is(err, broker.ErrBlocked) {
				t.Errorf("call %d: got %v during the alarm, want ErrBlocked", id, err)
			}
		})
	}
	wg.Wait()
	before := runs.worked()

	var worked tally
	w := newWorker(conn, 10)
	worker.Handle(w, kind, worked.work)
	stop := start(t, w)
	eventually(t, "the jobs", func() bool { return worked.worked() == jobs })
	stop()
	if got := w.Stats(); got.Done != jobs || got.Lost != 0 || worked.duplicates() != 0 {
		t.Errorf("got %+v, want %d jobs done", got, jobs)
	}
	r.empty(job.DefaultQueue) // what was not acked would be back
	if conn.Status().Publish.Blocked == "" {
		t.Error("the alarm was over before the jobs were")
	}

	waiting := make(chan error, 1)
	go func() {
		_, err := increment.Call(t.Context(), c, numbered{-1})
		waiting <- err
	}()
	silent(t, "a call went through in spite of the alarm", waiting, 300*time.Millisecond)
	if err := private.Server(t).CloseConnections(t.Context(), "enough", elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the end of the alarm", waiting); err != nil {
		t.Errorf("the call that waited for the end of the alarm: %v", err)
	}
	n++
	if err := call(n); err != nil {
		t.Errorf("a call after the alarm: %v", err)
	}
	if got := runs.worked() - before; got > 4 {
		t.Errorf("%d calls were run since the alarm, most of them of callers that had left", got)
	}
	if g := conn.Status(); g.Publish.Generation != 1 || g.Consume.Generation != 1 {
		t.Errorf("got %+v, want the first connections to have lived through it", g)
	}
	if got := c.Stats(); got.Waiting != 0 {
		t.Errorf("got %+v, want none waiting; the server's %+v", got, s.Stats())
	}
}

// Not parallel, for the same reason. Who leaves a stream does not wait until its server can
// be told.
func TestCallerLeavesAStreamDuringAnAlarm(t *testing.T) {
	url, elsewhere := private.URL(t), private.URL(t)
	server := serveCount(t, url, count)
	dialRaw(t, url).awaitConsumer("math.count")
	conn := dial(t, url)
	c := newClient(t, conn, rpc.ClientConfig{})
	var began time.Time
	for _, err := range count.Call(t.Context(), c, 1_000_000_000) {
		if err != nil {
			t.Fatal(err)
		}
		newHog(t, elsewhere, 2*serverAlarmMemory)
		eventually(t, "the alarm", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, _ = increment.Call(ctx, c, numbered{}) // nobody serves it
			return conn.Status().Publish.Blocked != ""
		})
		began = time.Now()
		break
	}
	if took := time.Since(began); took > prompt {
		t.Errorf("it took %v to leave the stream", took)
	}
	if err := private.Server(t).CloseConnections(t.Context(), "enough", elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the end of the handler", server.ended); err == nil {
		t.Error("the handler came to its end")
	}
}
