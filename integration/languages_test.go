package integration_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A language has a client of its own, and programs of ours in testdata.
type language struct {
	name      string
	command   string
	extension string
	install   string
}

// languages are tried by the tests below. Python is the system's own, because that is where
// the system's packages are.
func languages() []language {
	return []language{
		{"python", "/usr/bin/python3", ".py", "apt-get install python3-pika"},
		{"php", "php", ".php", "apt-get install php-cli php-amqplib"},
	}
}

// run runs a program of testdata to its end.
func (l language) run(t *testing.T, program string, args ...string) {
	t.Helper()
	command := append([]string{"testdata/" + program + l.extension}, args...)
	out, err := exec.CommandContext(t.Context(), l.command, command...).CombinedOutput()
	if err != nil && testing.Short() {
		t.Skipf("skipped in short mode: %v", err)
	}
	if err != nil {
		t.Fatalf("%s %v: %v (%s)\n%s", l.command, command, err, l.install, out)
	}
}

// Programs in other languages enqueue jobs with nothing but their AMQP client.
func TestOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			const calls = 5 // four good jobs, one of them retried
			jobs := make(chan job.Job, calls)
			w := worker.New(dial(t, url), worker.Config{Retry: soon, Logger: quiet})
			kind := job.Define[numbered]("foreign", job.Queue("languages"))
			worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
				j, _ := worker.JobFrom(ctx)
				checkForeign(t, n.N, j, "from-"+l.name)
				jobs <- j
				if j.Attempt == 2 {
					return errBoom
				}
				return nil
			})
			start(t, w)
			r := dialRaw(t, url)
			r.awaitConsumer("languages")
			l.run(t, "enqueue", url, "languages")
			for range calls {
				receive(t, "a job", jobs)
			}
			m := r.await(topology.DeadQueue("languages"))
			checkDead(t, m, job.Malformed, "job: malformed message: header errand-attempt is")
		})
	}
}

// The task queue of the second RabbitMQ tutorial, declared and filled by a program that
// knows nothing of errand, is worked by a handler of one line.
func TestTaskQueueOfOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, l := range languages() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			l.run(t, "new_task", url, "First task.", "Zweite Aufgabe: größer..", "")
			tasks := make(chan string, 3)
			w := newWorker(dial(t, url), 1)
			worker.Handle(w, taskQueue(), func(_ context.Context, task []byte) error { tasks <- string(task); return nil })
			start(t, w)
			for _, want := range []string{"First task.", "Zweite Aufgabe: größer..", ""} {
				if got := receive(t, "a task", tasks); got != want {
					t.Errorf("got task %q, want %q", got, want)
				}
			}
		})
	}
}

// checkForeign wants what the programs in testdata have sent as job n.
func checkForeign(t *testing.T, n int, j job.Job, id string) {
	t.Helper()
	switch n {
	case 1:
		if j.ID == "" || j.Attempt != 1 {
			t.Errorf("job 1: got ID %q and attempt %d", j.ID, j.Attempt)
		}
	case 2:
		if j.ID != id || j.AppID == "" {
			t.Errorf("job 2: got ID %q from app %q, want %s", j.ID, j.AppID, id)
		}
	case 3:
		if j.Attempt < 2 || j.Headers["tenant"] != "acme" || len(j.Headers) != 3 {
			t.Errorf("job 3: got attempt %d and headers %v", j.Attempt, j.Headers)
		}
	case 4:
		if j.NotBefore.IsZero() {
			t.Error("job 4: got no NotBefore")
		}
	default:
		t.Errorf("got job %d, want 1 to 4", n)
	}
}
