package jobtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/rpc"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

func TestDrainTellsTheOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error // the handler's
		opts []job.Option
		want worker.Outcome
	}{
		{"done", nil, nil, worker.Done},
		{"retried", errBoom, nil, worker.Retried},
		{"permanent", retry.Permanent(errBoom), nil, worker.Dead},
		{"snoozed", worker.Snooze(time.Hour), nil, worker.Snoozed},
		{"expired", nil, []job.Option{job.ExpireIn(time.Second)}, worker.Expired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jobtest.Broker) {
				w := newWorker(b, func(context.Context, mail) error { return test.err })
				enqueue(t, b, sendMail.New(mail{To: "a"}, test.opts...))
				time.Sleep(2 * time.Second)
				got := jobtest.Drain(t, b, w)
				if len(got) != 1 || got[0].Outcome != test.want || got[0].Job.Queue != "mail" || got[0].Job.Kind != "mail.send" {
					t.Fatalf("Drain: got %+v, want one job that is %s", got, test.want)
				}
				if test.err != nil && got[0].Err == nil {
					t.Errorf("the error is nil, want the handler's")
				}
				if more := jobtest.Drain(t, b, w); len(more) != 0 {
					t.Errorf("a second Drain: got %v, want nothing", more)
				}
			})
		})
	}
}

// Of a temporary queue there is no drain, and what fails there is dropped.
func TestDroppedByATemporaryQueue(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		news := event.Define[mail]("news")
		w := worker.New(b, worker.Config{Logger: quiet})
		event.Subscribe(w, news, event.Temporary(), func(context.Context, mail) error { return errBoom })
		stop := start(t, w)
		synctest.Wait()
		enqueue(t, b, news.New(mail{To: "all"}))
		synctest.Wait()
		if got := jobtest.Drain(t, b, w); len(got) != 0 {
			t.Errorf("Drain: got %v, want nothing", got)
		}
		stop()
		if got := w.Stats(); got != (worker.Stats{Dropped: 1}) {
			t.Errorf("stats: got %+v, want one dropped", got)
		}
	})
}

// A worker that is killed between its handler and the ack has worked the job twice, and
// nothing is lost.
func TestKillBetweenHandlerAndAck(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		calls := map[string]int{}
		w := newWorker(b, func(_ context.Context, m mail) error { calls[m.To]++; return nil })
		const jobs = 10
		for n := range jobs {
			enqueue(t, b, sendMail.New(mail{To: fmt.Sprint(n)}))
		}
		b.CutBefore(func(_ *broker.Delivery, v broker.Verdict) bool {
			return v == broker.Acked && calls["4"] == 1 && len(calls) == 5
		})
		var lost []string
		for _, worked := range jobtest.Drain(t, b, w) {
			if worked.Outcome == worker.Lost {
				lost = append(lost, worked.Job.ID)
			}
		}
		total := 0
		for _, n := range calls {
			total += n
		}
		if len(calls) != jobs || total != jobs+1 || calls["4"] != 2 || len(lost) != 1 {
			t.Errorf("handlers were called %v, and %d jobs were lost; want each of %d once and 4 twice, one lost", calls, len(lost), jobs)
		}
		jobtest.WantEnqueued(t, b, sendMail)
		jobtest.WantDead(t, b, sendMail)
	})
}

// The same with workers that run: other connections go on.
func TestKillOneWorkerOfTwo(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		calls := make(chan string, 100)
		handle := func(_ context.Context, m mail) error {
			time.Sleep(time.Second)
			calls <- m.To
			return nil
		}
		victim := b.Connect()
		killed := false
		victim.CutBefore(func(_ *broker.Delivery, v broker.Verdict) bool {
			kill := !killed && v == broker.Acked
			killed = killed || kill
			return kill
		})
		for _, c := range []*jobtest.Conn{victim, b.Connect()} {
			w := worker.New(c, worker.Config{Logger: quiet, Concurrency: 1})
			worker.Handle(w, sendMail, handle)
			start(t, w)
		}
		synctest.Wait()
		for n := range 10 {
			enqueue(t, b, sendMail.New(mail{To: fmt.Sprint(n)}))
		}
		time.Sleep(time.Minute)
		var all []string
		for range len(calls) {
			all = append(all, <-calls)
		}
		slices.Sort(all)
		if distinct := slices.Compact(slices.Clone(all)); len(all) != 11 || len(distinct) != 10 {
			t.Errorf("worked: got %q, want each of ten, and one of them twice", all)
		}
		jobtest.WantEnqueued(t, b, sendMail)
	})
}

// A job that its workers die of again and again is put aside, and does no more harm.
func TestPoison(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		calls := map[string]int{}
		w := newWorker(b, func(_ context.Context, m mail) error {
			if calls[m.To]++; m.To == "poison" {
				b.Cut()
			}
			return nil
		})
		enqueue(t, b, sendMail.New(mail{To: "poison"}), sendMail.New(mail{To: "ann"}))
		for range 30 {
			jobtest.Drain(t, b, w)
			time.Sleep(time.Minute) // workers may send it away for a moment
		}
		if n := calls["poison"]; n < 2 || n > topology.CrashLimit+1 || calls["ann"] != 1 {
			t.Errorf("handlers were called %v, want poison again and again, up to %d times, and ann once", calls, topology.CrashLimit+1)
		}
		jobtest.WantEnqueued(t, b, sendMail)
		jobtest.WantDead(t, b, sendMail, mail{To: "poison"})
	})
}

// Retries come exactly when the policy says, rounded up as topology.RoundRetry says.
func TestRetriesAreExact(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		steps := retry.Steps{time.Second, time.Minute, time.Hour, 24 * time.Hour}
		var at []time.Time
		w := newWorker(b, func(context.Context, mail) error {
			at = append(at, time.Now())
			return errBoom
		}, worker.Retry(steps))
		began := time.Now()
		enqueue(t, b, sendMail.New(mail{To: "a"}))
		start(t, w)
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		want := began
		for n, got := range at {
			if got != want {
				t.Errorf("attempt %d came after %v, want %v", n+1, got.Sub(began), want.Sub(began))
			}
			if n < len(steps) {
				want = want.Add(topology.RoundRetry(steps[n]))
			}
		}
		if len(at) != len(steps)+1 {
			t.Errorf("%d attempts, want %d", len(at), len(steps)+1)
		}
		dead := jobtest.Dead(t, b, sendMail)
		if len(dead) != 1 || dead[0].Failure == nil || dead[0].Failure.Reason != job.Exhausted || dead[0].Attempt != 5 {
			t.Errorf("put aside: got %+v, want one, exhausted at attempt 5", dead)
		}
	})
}

// A delay that is longer than the ladder goes round twice, and is exact.
func TestDelayOf400Days(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		const delay = 400 * 24 * time.Hour
		var at time.Time
		w := newWorker(b, func(context.Context, mail) error { at = time.Now(); return nil })
		start(t, w)
		began := time.Now()
		enqueue(t, b, sendMail.New(mail{To: "later"}, job.Delay(delay)))
		time.Sleep(delay + time.Second)
		synctest.Wait()
		if got := at.Sub(began); got < delay || got > delay+time.Second {
			t.Errorf("worked after %v, want %v", got, delay)
		}
	})
}

// NotBefore holds at each level of the ladder, whatever level a job is at.
func TestEnqueuedKnowsWhenDelayedJobsAreDue(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		const delay = topology.MaxDelay // all levels, one by one
		began := time.Now()
		enqueue(t, b, sendMail.New(mail{To: "later"}, job.Delay(delay)))
		for level := 34; level >= 7; level-- {
			found := jobtest.Enqueued(t, b, sendMail)
			if len(found) != 1 || found[0].NotBefore.Sub(began) != delay || found[0].Queue != "mail" {
				t.Fatalf("at level %d: got %+v, want one job for queue mail, due after %v", level, found, delay)
			}
			time.Sleep(1 << level * time.Millisecond)
		}
		found := jobtest.Enqueued(t, b, sendMail)
		if len(found) != 1 || found[0].Queue != "mail" || found[0].NotBefore.After(time.Now()) {
			t.Errorf("in its queue: got %+v, want one job that is due", found)
		}
	})
}

func TestDrainGoesOnWithWhatHandlersEnqueue(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		archive := job.Define[mail]("archive", job.Queue("archive"))
		w := newWorker(b, func(ctx context.Context, m mail) error {
			enqueue(t, b, archive.New(m))
			return nil
		})
		worker.Handle(w, archive, func(_ context.Context, m mail) error { return nil })
		enqueue(t, b, sendMail.New(mail{To: "a"}), sendMail.New(mail{To: "b"}))
		var got []string
		for _, worked := range jobtest.Drain(t, b, w) {
			got = append(got, worked.Job.Kind)
		}
		if want := []string{"mail.send", "mail.send", "archive", "archive"}; !slices.Equal(got, want) {
			t.Errorf("worked: got %q, want %q", got, want)
		}
	})
}

func TestRun(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		w := newWorker(b, func(_ context.Context, m mail) error {
			if m.To == "" {
				return retry.Permanent(errBoom)
			}
			return nil
		})
		if got := jobtest.Run(t, w, sendMail.New(mail{To: "a"})); got.Outcome != worker.Done || got.Err != nil {
			t.Errorf("Run: got %+v, want done", got)
		}
		if got := jobtest.Run(t, w, sendMail.New(mail{})); got.Outcome != worker.Dead || !errors.Is(got.Err, errBoom) {
			t.Errorf("Run: got %+v, want dead of %v", got, errBoom)
		}
		jobtest.WantDead(t, b, sendMail, mail{})
	})
}

func TestServe(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		double, gone := rpc.Define[int, int]("double"), rpc.Define[int, int]("gone")
		s := rpc.NewServer(b, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, double, func(_ context.Context, n int) (int, error) {
			if n < 0 {
				return 0, rpc.Errorf(rpc.InvalidRequest, "%d is negative", n)
			}
			return 2 * n, nil
		})
		c := jobtest.Serve(t, b, s)
		if got, err := double.Call(t.Context(), c, 21); got != 42 || err != nil {
			t.Errorf("Call: got %d, %v, want 42", got, err)
		}
		var e *rpc.Error
		if _, err := double.Call(t.Context(), c, -1); !errors.As(err, &e) || e.Code != rpc.InvalidRequest {
			t.Errorf("Call: got %v, want code %v", err, rpc.InvalidRequest)
		}
		if _, err := gone.Call(t.Context(), c, 1); !errors.Is(err, rpc.ErrNoServer) {
			t.Errorf("Call: got %v, want %v", err, rpc.ErrNoServer)
		}
	})
}

// A server that can't run fails the test at once.
func TestServeFails(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "double", map[string]any{"x-queue-type": "quorum"}) // not as rpc wants it
		s := rpc.NewServer(b, rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, rpc.Define[int, int]("double"), func(_ context.Context, n int) (int, error) { return 2 * n, nil })
		w := &witness{TB: t}
		var cleanups []func()
		done := make(chan bool)
		go func() {
			defer close(done)
			jobtest.Serve(&cleaner{w, &cleanups}, b, s)
		}()
		<-done
		for _, f := range cleanups {
			f()
		}
		if len(w.said) != 2 || w.said[0] != "FailNow" || !strings.Contains(w.said[1], "PRECONDITION_FAILED") {
			t.Errorf("it says %q, want it to fail, and the server's error", w.said)
		}
	})
}
