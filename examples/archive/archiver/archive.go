package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/examples/archive/batch"
	"github.com/errandq/errand/examples/archive/ledger"
	"github.com/errandq/errand/examples/archive/orders"
	"github.com/errandq/errand/retry"
)

// inserter is the part of *ledger.Ledger that the archive uses.
type inserter interface {
	Insert(ctx context.Context, rows []ledger.Row) (added int64, err error)
}

// An archive turns events into rows.
type archive struct {
	ledger  inserter
	batches *batch.Batcher[ledger.Row]
	total   totals // the batcher's goroutine's, until that has ended
}

// totals is what an archiver tells about itself at its end.
type totals struct {
	Rows         int64 `json:"rows"`  // added
	Known        int64 `json:"known"` // left alone, because they were there
	Transactions int64 `json:"transactions"`
}

func newArchive(l inserter, most int) *archive {
	a := &archive{ledger: l}
	a.batches = batch.New(most, a.insert)
	return a
}

// store is the handler. It returns, and the event is acked, when the transaction with its row has been committed. The acks of what is
// committed together go out as one.
func (a *archive) store(ctx context.Context, o orders.Order) error {
	e, ok := event.From(ctx)
	if !ok {
		return errors.New("not in the handler of a subscription")
	}
	return a.batches.Do(ctx, ledger.Row{EventID: e.ID, Order: o})
}

// insertTimeout ends a transaction that hangs. It is less than the handlers' own, so that they get to know.
const insertTimeout = 30 * time.Second

func (a *archive) insert(ctx context.Context, rows []ledger.Row) error {
	ctx, cancel := context.WithTimeout(ctx, insertTimeout)
	defer cancel()
	added, err := a.ledger.Insert(ctx, rows)
	if errors.Is(err, ledger.ErrRefused) {
		return fmt.Errorf("%w: %w", batch.ErrDivide, err)
	}
	if err != nil {
		return err
	}
	a.total.Rows += added
	a.total.Known += int64(len(rows)) - added
	a.total.Transactions++
	return nil
}

// patient is the retry policy. A database that is away comes back some day; a row that it refuses is given up after the usual attempts.
type patient struct{}

// Next implements retry.Policy.
func (patient) Next(attempt int, err error) (time.Duration, bool) {
	if errors.Is(err, ledger.ErrRefused) {
		return retry.Exponential{}.Next(attempt, err)
	}
	return retry.Exponential{Max: time.Minute, Attempts: -1}.Next(attempt, err)
}
