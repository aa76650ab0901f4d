package main

import (
	"context"
	"errors"
	"testing"

	"github.com/errandq/errand/examples/archive/orders"
	"github.com/errandq/errand/job"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder keeps what it gets, or fails with err.
type recorder struct {
	err   error
	calls int
	jobs  []job.Job
}

func (r *recorder) Enqueue(_ context.Context, jobs ...job.Job) error {
	r.calls++
	r.jobs = append(r.jobs, jobs...)
	return r.err
}

func TestPlace(t *testing.T) {
	t.Parallel()
	for n, calls := range map[int64]int{0: 0, 1: 1, together: 1, together + 1: 2} {
		var r recorder
		if err := place(t.Context(), &r, n); err != nil || r.calls != calls || len(r.jobs) != int(n) {
			t.Fatalf("%d orders: got %d in %d calls, %v, want %d calls", n, len(r.jobs), r.calls, err, calls)
		}
		ids := map[string]bool{}
		for i, e := range r.jobs {
			ids[e.ID] = true
			if e.Kind != orders.Placed.Name() || !e.Published() {
				t.Errorf("order %d: got %+v, want an event of %s", i, e, orders.Placed.Name())
			}
		}
		if len(ids) != int(n) {
			t.Errorf("%d orders: got %d different IDs", n, len(ids))
		}
	}
}

func TestPlaceStopsAtAnError(t *testing.T) {
	t.Parallel()
	r := recorder{err: errors.New("outage")}
	if err := place(t.Context(), &r, 10*together); !errors.Is(err, r.err) || r.calls != 1 {
		t.Errorf("got %v after %d calls, want the error after one", err, r.calls)
	}
}
