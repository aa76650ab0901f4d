package jobtest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
)

// A witness is a testing.TB that keeps what it is told instead of failing.
type witness struct {
	testing.TB
	said []string
}

func (w *witness) Helper() {}
func (w *witness) Error(args ...any) {
	w.said = append(w.said, strings.TrimSuffix(fmt.Sprintln(args...), "\n"))
}
func (w *witness) Errorf(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}
func (w *witness) FailNow() {
	w.said = append(w.said, "FailNow")
	runtime.Goexit()
}
func (w *witness) Fatalf(format string, args ...any) {
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

// A cleaner is a witness that leaves the cleaning up to the test.
type cleaner struct {
	*witness
	cleanups *[]func()
}

func (c *cleaner) Cleanup(f func()) { *c.cleanups = append(*c.cleanups, f) }

// says wants check to fail with exactly this text; an empty one wants it to pass.
func says(t *testing.T, want string, check func(tb testing.TB)) {
	t.Helper()
	w := &witness{TB: t}
	check(w)
	if got := strings.Join(w.said, "\n"); got != want {
		t.Errorf("it says:\n%s\nwant:\n%s", got, want)
	}
}

func TestWantEnqueuedSays(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		wants := func(want string, args ...mail) {
			t.Helper()
			says(t, want, func(tb testing.TB) { jobtest.WantEnqueued(tb, b, sendMail, args...) })
		}
		wants("")
		wants(`jobs of kind "mail.send" enqueued:
  want {"to":"ann"}
  got  none`, mail{To: "ann"})

		enqueue(t, b, sendMail.New(mail{To: "ann", Subject: "hello"}))
		wants("", mail{To: "ann", Subject: "hello"})
		wants(`jobs of kind "mail.send" enqueued:
  want none
  got  {"to":"ann","subject":"hello"}`)
		wants(`jobs of kind "mail.send" enqueued:
  want {"to":"bob","subject":"hello"}
  got  {"to":"ann","subject":"hello"}
  job 1: to is "ann", want "bob"`, mail{To: "bob", Subject: "hello"})
		wants(`jobs of kind "mail.send" enqueued:
  want {"to":"ann"}
  got  {"to":"ann","subject":"hello"}
  job 1: subject is "hello", want none`, mail{To: "ann"})

		enqueue(t, b, sendMail.New(mail{To: "bob"}))
		wants("", mail{To: "ann", Subject: "hello"}, mail{To: "bob"})
		wants(`jobs of kind "mail.send" enqueued:
  want {"to":"bob"}
  want {"to":"ann","subject":"hello"}
  got  {"to":"ann","subject":"hello"}
  got  {"to":"bob"}
  the same jobs in another order`, mail{To: "bob"}, mail{To: "ann", Subject: "hello"})
		wants(`jobs of kind "mail.send" enqueued:
  want {"to":"bob"}
  got  {"to":"ann","subject":"hello"}
  got  {"to":"bob"}
  not wanted: {"to":"ann","subject":"hello"}`, mail{To: "bob"})
		wants(`jobs of kind "mail.send" enqueued:
  want {"to":"ann","subject":"hello"}
  want {"to":"cid"}
  want {"to":"bob"}
  got  {"to":"ann","subject":"hello"}
  got  {"to":"bob"}
  missing: {"to":"cid"}`, mail{To: "ann", Subject: "hello"}, mail{To: "cid"}, mail{To: "bob"})
	})
}

// What is elsewhere may be what is missed here.
func TestWantEnqueuedSaysWhatIsElsewhere(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		other := job.Define[int]("count")
		w := newWorker(b, func(context.Context, mail) error { return retry.Permanent(errBoom) })
		enqueue(t, b, sendMail.New(mail{To: "ann"}))
		jobtest.Drain(t, b, w)
		enqueue(t, b, other.New(7, job.Delay(time.Minute)))
		says(t, `jobs of kind "mail.send" enqueued:
  want {"to":"ann"}
  got  none
  also in the broker: mail.send {"to":"ann"} in queue mail.dead, failed: boom (permanent)
  also in the broker: count 7 in queue errand.delay.15, due in 1m0.032s`,
			func(tb testing.TB) { jobtest.WantEnqueued(tb, b, sendMail, mail{To: "ann"}) })
		says(t, `jobs of kind "count" put aside:
  want 7
  got  none
  also in the broker: mail.send {"to":"ann"} in queue mail.dead, failed: boom (permanent)
  also in the broker: count 7 in queue errand.delay.15, due in 1m0.032s`,
			func(tb testing.TB) { jobtest.WantDead(tb, b, other, 7) })
		says(t, "", func(tb testing.TB) { jobtest.WantDead(tb, b, sendMail, mail{To: "ann"}) })
	})
}

func TestEnqueuedFailsOverWhatDoesNotDecode(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		number := job.Define[int]("mail.send", job.Queue("mail"))
		enqueue(t, b, number.New(7, job.ID("the ID")))
		w := &witness{TB: t}
		jobtest.Enqueued(w, b, sendMail)
		if len(w.said) == 0 || !strings.HasPrefix(w.said[0], `jobtest: job the ID of kind "mail.send" in queue mail: `) {
			t.Errorf("it says %q, want it to name the job, its kind and its queue", w.said)
		}
	})
}

func TestWantDeadFindsWhatWasParked(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		enqueue(t, b, sendMail.New(mail{To: "ann"}, job.Delay(time.Minute)))
		b.DeleteQueue("mail")
		time.Sleep(2 * time.Minute)
		jobtest.WantEnqueued(t, b, sendMail)
		jobtest.WantDead(t, b, sendMail, mail{To: "ann"})
	})
}

func TestPurge(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		enqueue(t, b, sendMail.New(mail{To: "ann"}), sendMail.New(mail{To: "bob"}, job.Delay(topology.Resolution)))
		b.Purge("mail")
		b.Purge("missing")
		jobtest.WantEnqueued(t, b, sendMail, mail{To: "bob"})
	})
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	var r jobtest.Recorder
	if err := r.Enqueue(t.Context(), sendMail.New(mail{To: "ann"}), sendMail.New(mail{To: "bob"}, job.Delay(-1))); err == nil {
		t.Error("Enqueue of an invalid job: got nil, want an error")
	}
	r.Fail = func(jobs []job.Job) error {
		if len(jobs) > 1 {
			return errBoom
		}
		return nil
	}
	if err := r.Enqueue(t.Context(), sendMail.New(mail{To: "ann"}), sendMail.New(mail{To: "bob"})); err != errBoom {
		t.Errorf("Enqueue: got %v, want what Fail says", err)
	}
	if got := r.Jobs(); len(got) != 0 {
		t.Errorf("after failures: got %v, want nothing", got)
	}
	count := job.Define[int]("count")
	for _, j := range []job.Job{sendMail.New(mail{To: "ann"}), count.New(7)} {
		if err := r.Enqueue(t.Context(), j); err != nil {
			t.Errorf("Enqueue: %v", err)
		}
	}
	if got := jobtest.Recorded(t, &r, sendMail); len(r.Jobs()) != 2 || len(got) != 1 || got[0].Args.To != "ann" {
		t.Errorf("recorded: got %v of %v, want the mail to ann", got, r.Jobs())
	}
	r.Reset()
	if got := r.Jobs(); len(got) != 0 {
		t.Errorf("after Reset: got %v, want nothing", got)
	}
}
