package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// envWorker makes the test binary a worker of the server that it names, which takes one job
// and never finishes it.
const envWorker = "ERRAND_TEST_WORKER"

var fatal = job.Define[numbered]("fatal", job.Queue("fatal"))

func workUntilKilled(url string) {
	conn, err := broker.Dial(context.Background(), url, broker.Config{})
	if err != nil {
		panic(err)
	}
	w := worker.New(conn, worker.Config{Concurrency: 1})
	worker.Handle(w, fatal, func(_ context.Context, n numbered) error {
		fmt.Println("working", n.N)
		select {}
	})
	panic(w.Run(context.Background()))
}

func TestWorkerProcessIsKilled(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	enqueue(t, conn, fatal.New(numbered{42}))

	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envWorker+"="+url)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "working 42\n" {
		t.Errorf("the child said %q, %v", line, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // it was killed

	attempts := make(chan int, 1)
	w := newWorker(conn, 1)
	worker.Handle(w, fatal, func(ctx context.Context, n numbered) error {
		j, _ := worker.JobFrom(ctx)
		attempts <- j.Attempt
		return nil
	})
	stop := start(t, w)
	if a := receive(t, "the job of the killed worker", attempts); a != 1 {
		t.Errorf("got attempt %d, want 1", a)
	}
	stop()
	dialRaw(t, url).empty("fatal", topology.DeadQueue("fatal"))
}

// A job that kills its process each time must not do so for ever.
func TestJobThatKillsItsWorkerIsPutAside(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	enqueue(t, dial(t, url), fatal.New(numbered{13}))
	for i := range topology.CrashLimit + 1 {
		victim := dialRaw(t, url)
		eventually(t, fmt.Sprintf("delivery %d", i+1), func() bool { return victim.hold("fatal") })
		victim.close()
	}
	r := dialRaw(t, url)
	m := r.await(topology.DeadQueue("fatal"))
	if m.Type != "fatal" || string(m.Body) != `{"N":13}` {
		t.Errorf("got %+v put aside, want the job", m)
	}
	if reason := m.Headers["x-first-death-reason"]; reason != "delivery_limit" {
		t.Errorf("got reason %v, want delivery_limit", reason)
	}
	r.empty("fatal", topology.DeadQueue("fatal"))
}

// Not parallel: it kills the private server.
func TestServerIsKilled(t *testing.T) {
	const jobs = 3000
	url := private.URL(t)
	kind := job.Define[numbered]("kept", job.Queue("kept"))
	conn := dial(t, url)
	var wg sync.WaitGroup
	produce(t, &wg, conn, kind, 0, jobs/2, 50) // all confirmed before
	wg.Wait()
	awaitRegistered(t)
	produce(t, &wg, conn, kind, jobs/2, jobs, 50) // some in flight
	if err := private.Server(t).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	var worked tally
	w := newWorker(conn, 20)
	worker.Handle(w, kind, worked.work)
	start(t, w)
	eventually(t, "all jobs that were enqueued", func() bool { return worked.worked() == jobs })
	t.Logf("%d duplicates", worked.duplicates())
}

// A queue that its server has forgotten (see awaitRegistered) has no leader, and on 3.10 the
// channel that sends to it confirms nothing else. It may hold up the others of its publisher
// once, until the confirm is late.
//
// Not parallel: it kills the private server.
func TestForgottenQueueHoldsUpOthersOnce(t *testing.T) {
	url := private.URL(t)
	declareQuorum(t, url, "old", 1)
	awaitRegistered(t)
	declareQuorum(t, url, "forgotten", 1)
	if err := private.Server(t).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := dial(t, url)
	publish := func(queue, id string, limit time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		return conn.Publish(ctx, broker.Message{Key: queue, ID: id})
	}
	if err := publish("forgotten", "first", 2*time.Second); err == nil {
		t.Log("this server has not forgotten it")
		return
	}
	began := time.Now()
	if err := publish("old", "0", patience); err != nil {
		t.Error(err)
	}
	t.Logf("the other queue was held up for %v", time.Since(began).Round(time.Millisecond))
	for i := range 20 {
		if err := publish("forgotten", fmt.Sprint("forgotten ", i), 500*time.Millisecond); !errors.Is(err, broker.ErrUnconfirmed) {
			t.Errorf("the forgotten queue: got %v, want ErrUnconfirmed", err)
		}
		if err := publish("old", fmt.Sprint(i+1), 5*time.Second); err != nil {
			t.Errorf("the other queue: %v", err)
		}
	}
}
