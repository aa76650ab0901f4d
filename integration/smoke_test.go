package integration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

type hello struct{ Name string }

func TestSmoke(t *testing.T) {
	t.Parallel()
	conn := dial(t, rabbit.URL(t))
	kind := job.Define[hello]("hello", job.Queue("greetings"))
	w := worker.New(conn, worker.Config{Logger: quiet, Retry: retry.Steps{time.Millisecond, time.Millisecond}})
	got := make(chan string, 100)
	worker.Handle(w, kind, func(ctx context.Context, h hello) error {
		j, _ := worker.JobFrom(ctx)
		switch h.Name {
		case "bad":
			return retry.Permanent(errors.New("bad name"))
		case "twice":
			if j.Attempt < 2 {
				return errors.New("once more")
			}
		case "never":
			return errors.New("no")
		}
		got <- h.Name
		return nil
	})
	start(t, w)
	p := producer.New(conn, producer.Config{})
	if err := p.Enqueue(t.Context(), kind.New(hello{"a"}), kind.New(hello{"bad"}), kind.New(hello{"twice"}), kind.New(hello{"never"}),
		kind.New(hello{"later"}, job.Delay(time.Second))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all done", func() bool { s := w.Stats(); return s.Done == 3 && s.Dead == 2 && s.Retried == 3 })
	t.Logf("%+v", w.Stats())
}
