package event_test

import (
	"context"
	"errors"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

var (
	resize = job.Define[string]("resize", job.Queue("video"))
	notify = job.Define[order]("notify")
)

func same(o order) order { return o }

// enqueued are the jobs that a handler makes of an event with this ID.
func enqueued(t *testing.T, id string, handler func(p job.Enqueuer) func(context.Context, order) error) []job.Job {
	t.Helper()
	r := &recorder{}
	j := news.New(order{"42"}, event.ID(id))
	m := j.Message()
	m.Exchange = j.Exchange
	f := deliver(t, m, func(w *worker.Worker) { event.Subscribe(w, news, event.Durable("q"), handler(r)) })
	if len(f.published) > 0 {
		t.Errorf("the handler failed: %v was published", f.published)
	}
	return r.jobs
}

func threeJobs(p job.Enqueuer) func(context.Context, order) error {
	return event.Enqueue(p,
		event.Job(resize, func(o order) string { return o.ID + " small" }),
		event.Job(resize, func(o order) string { return o.ID + " large" }, job.Queue("slow")),
		event.Job(notify, same, job.ID("mine")))
}

func TestJobsOfAnEvent(t *testing.T) {
	t.Parallel()
	jobs := enqueued(t, "row-1", threeJobs)
	if len(jobs) != 3 {
		t.Fatalf("got %d jobs, want 3", len(jobs))
	}
	for i, want := range []struct{ kind, queue, body string }{
		{"resize", "video", `"42 small"`}, {"resize", "slow", `"42 large"`}, {"notify", job.DefaultQueue, `{"id":"42"}`},
	} {
		if j := jobs[i]; j.Kind != want.kind || j.Queue != want.queue || string(j.Body) != want.body || j.Err() != nil {
			t.Errorf("job %d: got %+v, want %v", i, j, want)
		}
	}
	if jobs[0].ID == jobs[1].ID || jobs[0].ID == "row-1" || jobs[2].ID != "mine" {
		t.Errorf("got IDs %s, %s and %s, want two new ones and mine", jobs[0].ID, jobs[1].ID, jobs[2].ID)
	}
	again, other := enqueued(t, "row-1", threeJobs), enqueued(t, "row-2", threeJobs)
	for i := range 2 {
		if again[i].ID != jobs[i].ID || other[i].ID == jobs[i].ID {
			t.Errorf("job %d: got ID %s, again %s, of another event %s, want the first two equal", i, jobs[i].ID, again[i].ID, other[i].ID)
		}
	}
}

func TestGroupOfAnEvent(t *testing.T) {
	t.Parallel()
	jobs := enqueued(t, "row-1", func(p job.Enqueuer) func(context.Context, order) error {
		step := event.Job(resize, func(o order) string { return o.ID })
		return event.EnqueueGroup(p, event.Job(notify, same), step, step)
	})
	if len(jobs) != 2 {
		t.Fatalf("got %d jobs, want the two members", len(jobs))
	}
	for _, j := range jobs {
		if j.Kind != "resize" || j.Err() != nil || j.Group == nil || j.Group.Size != 2 || j.Group.Then.Kind != "notify" || j.Group.ID != j.Group.Then.ID {
			t.Errorf("got %+v in group %+v, want a member of two that notify follows", j, j.Group)
		}
	}
	if jobs[0].ID == jobs[1].ID {
		t.Errorf("both members have the ID %s", jobs[0].ID)
	}
}

func TestEnqueueOutsideOfASubscription(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	step := event.Job(notify, same)
	for name, handler := range map[string]func(context.Context, order) error{
		"Enqueue":      event.Enqueue(r, step),
		"EnqueueGroup": event.EnqueueGroup(r, step, step),
	} {
		if err := handler(t.Context(), order{}); !errors.Is(err, event.ErrNoEvent) {
			t.Errorf("%s: got %v, want ErrNoEvent", name, err)
		}
	}
	if len(r.jobs) > 0 {
		t.Errorf("got %d jobs, want none", len(r.jobs))
	}
}

// What the enqueuer says is the handler's error, so that the event is tried again.
func TestEnqueueFails(t *testing.T) {
	t.Parallel()
	j := news.New(order{})
	m := j.Message()
	m.Exchange = j.Exchange
	f := deliver(t, m, func(w *worker.Worker) {
		event.Subscribe(w, news, event.Durable("q"), event.Enqueue(broken{}, event.Job(notify, same)))
	})
	if got := f.sent(t).Headers["errand-error"]; got != broker.ErrNotConnected.Error() {
		t.Errorf("got error %v, want the enqueuer's", got)
	}
}

type broken struct{}

func (broken) Enqueue(context.Context, ...job.Job) error { return broker.ErrNotConnected }
