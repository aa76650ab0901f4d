package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// envCrasher makes the test binary a worker of the server that it names, which one of the jobs
// kills.
const envCrasher = "ERRAND_TEST_CRASHER"

// culprit is the number of the job that kills its worker.
const culprit = 0

var mixed = job.Define[numbered]("mixed", job.Queue("mixed"))

func workUntilCrashed(url string) {
	conn, err := broker.Dial(context.Background(), url, broker.Config{Logger: quiet})
	if err != nil {
		panic(err)
	}
	w := worker.New(conn, worker.Config{Concurrency: 1, Prefetch: 20, Logger: quiet})
	worker.Handle(w, mixed, func(_ context.Context, n numbered) error {
		if n.N == culprit {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		fmt.Println(n.N)
		return nil
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := w.Run(ctx); err != nil {
		panic(err)
	}
}

// A job kills each worker that takes it, as often as they are started again. It ends in the
// dead-letter queue with the reason; the jobs that were prefetched behind it are worked.
func TestInnocentJobsSurviveACrashLoop(t *testing.T) {
	t.Parallel()
	const innocents = 15
	url := rabbit.URL(t)
	conn := dial(t, url)
	for n := range innocents + 1 { // the culprit is the first
		enqueue(t, conn, mixed.New(numbered{n}))
	}
	r := dialRaw(t, url)
	dead := topology.DeadQueue("mixed")
	over := func() bool { return r.ready(dead) > 0 }
	worked, crashes := map[int]int{}, 0
	for !over() {
		if crashes > 3*topology.CrashLimit {
			t.Fatalf("%d workers have died, and the culprit is not put aside", crashes)
		}
		runCrasher(t, url, worked, over)
		crashes++
	}
	m := r.await(dead)
	j, err := job.Parse(m)
	if err != nil || string(j.Body) != `{"N":0}` || j.Failure == nil || j.Failure.Reason != job.Crashed {
		t.Errorf("got %+v, %v put aside, want the culprit with the reason %s", j, err, job.Crashed)
	}
	eventually(t, "the innocent jobs that are still away", func() bool {
		if len(worked) < innocents {
			runCrasher(t, url, worked, func() bool { return len(worked) == innocents })
		}
		return len(worked) == innocents
	})
	r.empty("mixed", dead)
	t.Logf("%d workers died; %d innocent jobs were worked: %v", crashes, len(worked), worked)
}

// runCrasher runs a worker process until it dies or over says so, and enters what it has
// worked.
func runCrasher(t *testing.T, url string, worked map[int]int, over func() bool) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), envCrasher+"="+url)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	died := make(chan struct{})
	go func() {
		defer close(died)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			if _, err := fmt.Sscan(lines.Text(), &n); err == nil {
				mu.Lock()
				worked[n]++
				mu.Unlock()
			}
		}
	}()
	eventually(t, "the death of a worker, or its end of work", func() bool {
		select {
		case <-died:
			return true
		default:
		}
		mu.Lock()
		defer mu.Unlock()
		return over()
	})
	_ = child.Process.Signal(syscall.SIGTERM) // it may be dead; else it acks what it has put aside
	<-died
	_ = child.Wait() // it was killed, most likely
}
