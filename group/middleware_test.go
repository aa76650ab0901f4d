package group_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/errandq/errand/group"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/worker"
)

var (
	part  = job.Define[int]("part", job.Queue("parts"))
	whole = job.Define[string]("whole", job.Queue("wholes"))
)

// A fakeEnqueuer keeps the jobs that it takes.
type fakeEnqueuer struct {
	jobs []job.Job
	err  error
}

// Enqueue implements [job.Enqueuer].
func (f *fakeEnqueuer) Enqueue(_ context.Context, jobs ...job.Job) error {
	if f.err != nil {
		return f.err
	}
	f.jobs = append(f.jobs, jobs...)
	return nil
}

// A fakeStore fails with err, if there is one.
type fakeStore struct {
	group.Store
	err error
}

// Done implements [group.Store].
func (f *fakeStore) Done(ctx context.Context, name string, size int, member string) (bool, error) {
	if f.err != nil {
		return false, f.err
	}
	return f.Store.Done(ctx, name, size, member)
}

// received is j as a worker on its queue has it.
func received(t *testing.T, j job.Job) job.Job {
	t.Helper()
	got, err := job.Parse(j.Message())
	if err != nil {
		t.Fatal(err)
	}
	return got.On(j.Queue)
}

func TestCount(t *testing.T) {
	t.Parallel()
	var (
		store     = &fakeStore{Store: group.NewMemory()}
		enqueuer  = &fakeEnqueuer{}
		handlerIs error
		ran       int
	)
	handler := group.Count(store, enqueuer)(func(context.Context, job.Job) error {
		ran++
		return handlerIs
	})
	then := whole.New("all")
	members := job.Group(then, part.New(1), part.New(2))
	errFailed := errors.New("failed")

	for _, step := range []struct {
		name                     string
		job                      job.Job
		handler, store, enqueuer error
		want                     error
		enqueued                 int // so far
	}{
		{"a job of no group", part.New(0), nil, nil, nil, nil, 0},
		{"its error passes", part.New(0), errFailed, nil, nil, errFailed, 0},
		{"the first member", members[0], nil, nil, nil, nil, 0},
		{"a duplicate of it", members[0], nil, nil, nil, nil, 0},
		{"the second fails", members[1], errFailed, nil, nil, errFailed, 0},
		{"it is given back", members[1], worker.Snooze(1), nil, nil, worker.Snooze(1), 0},
		{"it can't be counted", members[1], nil, errFailed, nil, errFailed, 0},
		{"what follows can't be enqueued", members[1], nil, nil, errFailed, errFailed, 0},
		{"the other is delivered again", members[0], nil, nil, nil, nil, 0},
		{"what follows can be enqueued", members[1], nil, nil, nil, nil, 1},
		{"once more, after a crash", members[1], nil, nil, nil, nil, 2},
		{"the last can't be counted", members[1], nil, errFailed, nil, errFailed, 2},
		{"the other one for the last time", members[0], nil, nil, nil, nil, 2},
	} {
		handlerIs, store.err, enqueuer.err = step.handler, step.store, step.enqueuer
		before := ran
		err := handler(t.Context(), received(t, step.job))
		if step.want == nil && err != nil || step.want != nil && (err == nil || !errors.Is(err, step.want) && err.Error() != step.want.Error()) {
			t.Errorf("%s: got error %v, want %v", step.name, err, step.want)
		}
		if len(enqueuer.jobs) != step.enqueued {
			t.Errorf("%s: %d jobs were enqueued, want %d", step.name, len(enqueuer.jobs), step.enqueued)
		}
		if ran != before+1 {
			t.Errorf("%s: the handler ran %d times, want once", step.name, ran-before)
		}
	}
	for i, j := range enqueuer.jobs {
		if j.ID != then.ID || j.Kind != then.Kind || j.Queue != then.Queue || !slices.Equal(j.Body, then.Body) || j.Err() != nil {
			t.Errorf("job %d that followed: got %+v, want %+v", i, j, then)
		}
	}
}

// A handler that panics is not done, and the panic is the worker's to see.
func TestCountPassesPanics(t *testing.T) {
	t.Parallel()
	enqueuer := &fakeEnqueuer{}
	handler := group.Count(group.NewMemory(), enqueuer)(func(context.Context, job.Job) error { panic("at the disco") })
	member := job.Group(whole.New("all"), part.New(1))[0]
	defer func() {
		if v := recover(); v != "at the disco" || len(enqueuer.jobs) > 0 {
			t.Errorf("got panic %v and %d jobs enqueued, want the handler's and none", v, len(enqueuer.jobs))
		}
	}()
	err := handler(t.Context(), received(t, member))
	t.Errorf("got %v, want a panic", err)
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"Count without a store":     func() { group.Count(nil, &fakeEnqueuer{}) },
		"Count without an enqueuer": func() { group.Count(group.NewMemory(), nil) },
		"NewSQL without a database": func() { group.NewSQL(nil, group.SQLite) },
		"NewSQL without a dialect":  func() { group.NewSQL(openSQLite(t, ""), "oracle") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
