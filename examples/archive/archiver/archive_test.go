package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/errandq/errand/examples/archive/batch"
	"github.com/errandq/errand/examples/archive/ledger"
	"github.com/errandq/errand/examples/archive/orders"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a ledger that has known rows, and fails with err if that is set.
type fake struct {
	known int64
	err   error
}

func (f fake) Insert(_ context.Context, rows []ledger.Row) (int64, error) {
	return int64(len(rows)) - f.known, f.err
}

func TestInsertCounts(t *testing.T) {
	t.Parallel()
	a := newArchive(fake{known: 1}, 10)
	for range 2 {
		if err := a.insert(t.Context(), make([]ledger.Row, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if want := (totals{Rows: 4, Known: 2, Transactions: 2}); a.total != want {
		t.Errorf("got %+v, want %+v", a.total, want)
	}
}

func TestOnlyRefusedBatchesAreDivided(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{errors.New("away"): false, ledger.ErrRefused: true} {
		a := newArchive(fake{err: err}, 10)
		got := a.insert(t.Context(), make([]ledger.Row, 3))
		if !errors.Is(got, err) || errors.Is(got, batch.ErrDivide) != want {
			t.Errorf("got %v, want %v, divided: %v", got, err, want)
		}
		if a.total != (totals{}) {
			t.Errorf("%v: got %+v, want nothing counted", err, a.total)
		}
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	if _, again := (patient{}).Next(1000, errors.New("away")); !again {
		t.Error("got no attempt 1001 while the database is away, want one")
	}
	if _, again := (patient{}).Next(1000, ledger.ErrRefused); again {
		t.Error("got attempt 1001 of a row that is refused, want none")
	}
}

func TestStoreNeedsAnEvent(t *testing.T) {
	t.Parallel()
	if err := newArchive(fake{}, 1).store(t.Context(), orders.Order{}); err == nil {
		t.Error("got no error outside of a worker, want one: there is no ID")
	}
}

// Several at once come to one transaction each row at most, and every caller hears of it.
func TestBatchesReachTheLedger(t *testing.T) {
	t.Parallel()
	a := newArchive(fake{}, 10)
	ctx, cancel := context.WithCancel(t.Context())
	var runs, callers sync.WaitGroup
	runs.Go(func() { a.batches.Run(ctx) })
	errs := make([]error, 100)
	for i := range errs {
		callers.Go(func() { errs[i] = a.batches.Do(ctx, ledger.Row{}) })
	}
	callers.Wait()
	cancel()
	runs.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		t.Errorf("row %d: %v", i, errs[i])
	}
	if a.total.Rows != 100 || a.total.Transactions < 10 || a.total.Transactions > 100 {
		t.Errorf("got %+v, want 100 rows in 10 to 100 transactions", a.total)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-batch", "0"}, {"-batch", "5001"}, {"x"}, {"-nonsense"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q: got no error", args)
		}
	}
	t.Setenv("DATABASE_URL", "")
	t.Setenv("AMQP_URL", "amqp://elsewhere")
	got, err := parse([]string{"-batch", "7"})
	if want := (config{amqp: "amqp://elsewhere", db: "sqlite:archive.db", batch: 7}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
