package integration_test

import (
	"context"
	"os/exec"
	"testing"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// Programs in other languages enqueue jobs with nothing but their AMQP client.
func TestOtherLanguages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		command []string
		id      string // what the program gives to job 2
		install string
	}{
		// The system's own Python, because that is where the system's packages are.
		{"python", []string{"/usr/bin/python3", "testdata/enqueue.py"}, "from-python", "apt-get install python3-pika"},
		{"php", []string{"php", "testdata/enqueue.php"}, "from-php", "apt-get install php-cli php-amqplib"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.URL(t)
			const calls = 5 // four good jobs, one of them retried
			jobs := make(chan job.Job, calls)
			w := worker.New(dial(t, url), worker.Config{Retry: soon, Logger: quiet})
			kind := job.Define[numbered]("foreign", job.Queue("languages"))
			worker.Handle(w, kind, func(ctx context.Context, n numbered) error {
				j, _ := worker.JobFrom(ctx)
				checkForeign(t, n.N, j, c.id)
				jobs <- j
				if j.Attempt == 2 {
					return errBoom
				}
				return nil
			})
			start(t, w)
			r := dialRaw(t, url)
			r.awaitConsumer("languages")
			out, err := exec.CommandContext(t.Context(), c.command[0], append(c.command[1:], url, "languages")...).CombinedOutput()
			if err != nil {
				if testing.Short() {
					t.Skipf("skipped in short mode: %v", err)
				}
				t.Fatalf("%v: %v (%s)\n%s", c.command, err, c.install, out)
			}
			for range calls {
				receive(t, "a job", jobs)
			}
			m := r.await(topology.DeadQueue("languages"))
			checkDead(t, m, job.Malformed, "job: malformed message: header errand-attempt is")
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
