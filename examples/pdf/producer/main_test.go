package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/errandq/errand/examples/pdf/jobs"
	"github.com/errandq/errand/job"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEnqueuer keeps jobs, until it fails.
type fakeEnqueuer struct {
	mu    sync.Mutex
	jobs  []job.Job
	calls int
	fail  func(call int) error // nil: never
}

func (e *fakeEnqueuer) Enqueue(_ context.Context, work ...job.Job) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if e.fail != nil {
		if err := e.fail(e.calls); err != nil {
			return err
		}
	}
	for _, j := range work {
		if err := j.Err(); err != nil {
			return err
		}
	}
	e.jobs = append(e.jobs, work...)
	return nil
}

func newShop(enqueuer job.Enqueuer) *shop {
	return &shop{
		enqueuer: enqueuer,
		log:      slog.New(slog.DiscardHandler),
		now:      func() time.Time { return time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC) },
	}
}

func TestSampleOrders(t *testing.T) {
	t.Parallel()
	orders := sampleOrders(20, 3, time.Now())
	ids := map[string]bool{}
	for n, order := range orders {
		if err := order.Validate(); errors.Is(err, invoice.ErrInvalid) != (n >= 17) {
			t.Errorf("order %d of 20, the last 3 unfixable: got %v", n+1, err)
		}
		ids[order.ID] = true
	}
	if len(ids) != 20 {
		t.Errorf("got %d different IDs, want 20", len(ids))
	}
	if again := sampleOrders(1, 0, time.Now()); ids[again[0].ID] {
		t.Error("a second run uses the first one's IDs")
	}
}

func TestPlaceAll(t *testing.T) {
	t.Parallel()
	enqueuer := &fakeEnqueuer{}
	shop := newShop(enqueuer)
	orders := sampleOrders(2*batch+1, 0, time.Now())
	if err := shop.placeAll(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if len(enqueuer.jobs) != len(orders) || enqueuer.calls != 3 {
		t.Errorf("got %d jobs in %d calls, want %d in 3", len(enqueuer.jobs), enqueuer.calls, len(orders))
	}
	got, err := jobs.Render.Decode(enqueuer.jobs[200])
	if err != nil || got.ID != orders[200].ID {
		t.Errorf("got order %q, %v, want %q", got.ID, err, orders[200].ID)
	}
	if placed := shop.summary(); placed.Placed != len(orders) || !slices.Contains(placed.Orders, orders[200].ID) {
		t.Errorf("got summary of %d orders, want %d", placed.Placed, len(orders))
	}
}

func TestPlaceAllCountsOnlyWhatIsConfirmed(t *testing.T) {
	t.Parallel()
	outage := errors.New("outage")
	shop := newShop(&fakeEnqueuer{fail: func(call int) error {
		if call == 2 {
			return outage
		}
		return nil
	}})
	err := shop.placeAll(t.Context(), sampleOrders(3*batch, 0, time.Now()))
	if !errors.Is(err, outage) || !strings.Contains(err.Error(), "orders 101 to 200 of 300") {
		t.Errorf("got %v", err)
	}
	if placed := shop.summary(); placed.Placed != batch {
		t.Errorf("got %d placed, want %d", placed.Placed, batch)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                   "nothing to do",
		"-n 3":               "",
		"-n 3 -unfixable 3":  "",
		"-n 3 -unfixable 4":  "want 0 to -n, 3",
		"-n 3 -unfixable -1": "want 0 to -n, 3",
		"-n -3":              "nothing to do",
		"-n 3 more":          `unexpected argument "more"`,
	} {
		_, err := parse(strings.Fields(args))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("parse(%q): got %v, want %q", args, err, want)
		}
	}
	if _, err := parse([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: got %v", err)
	}
}
