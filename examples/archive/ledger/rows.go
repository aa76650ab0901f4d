package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/errandq/errand/examples/archive/orders"
)

// A Row is an order, with the ID of its event.
type Row struct {
	EventID string
	orders.Order
}

// MaxRows is how many rows one Insert may have. The least of the databases' limits is SQLite's, of 32,766 placeholders.
const MaxRows = 5000

// ErrRefused is wrapped by the error of an Insert that the database refused, although it is there: one of the rows may be to blame.
var ErrRefused = errors.New("ledger: refused")

// Insert returns when all rows are on disk, or none, which is an error. Rows that are there already are left alone; added says how many
// were not.
func (l *Ledger) Insert(ctx context.Context, rows []Row) (added int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if len(rows) > MaxRows {
		return 0, fmt.Errorf("ledger: insert: %d rows in one call, want at most %d", len(rows), MaxRows)
	}
	var values []any
	for _, r := range rows {
		values = append(values, r.EventID, r.Number, r.Customer, r.Item, r.Cents, r.PlacedAt.UTC())
	}
	// One statement is a transaction by itself.
	result, err := l.db.ExecContext(ctx, l.insert(len(rows)), values...)
	if err != nil {
		return 0, l.explain(ctx, err)
	}
	return result.RowsAffected()
}

// explain tells a refusal from an outage.
func (l *Ledger) explain(ctx context.Context, err error) error {
	if away := l.db.PingContext(ctx); away != nil {
		return fmt.Errorf("ledger: insert: %w", err)
	}
	return fmt.Errorf("%w: insert: %w", ErrRefused, err)
}

// Rows are all rows, by their orders' numbers.
func (l *Ledger) Rows(ctx context.Context) (all []Row, err error) {
	found, err := l.db.QueryContext(ctx, "SELECT "+columns+" FROM orders ORDER BY number, event_id")
	if err != nil {
		return nil, fmt.Errorf("ledger: read: %w", err)
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var r Row
		if err := found.Scan(&r.EventID, &r.Number, &r.Customer, &r.Item, &r.Cents, &r.PlacedAt); err != nil {
			return nil, fmt.Errorf("ledger: read: %w", err)
		}
		r.PlacedAt = r.PlacedAt.UTC()
		all = append(all, r)
	}
	return all, found.Err()
}

// Count is the number of rows, and that of different orders in them: they differ if an order was told twice, by events of different IDs.
func (l *Ledger) Count(ctx context.Context) (rows, different int, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT COUNT(*), COUNT(DISTINCT number) FROM orders").Scan(&rows, &different)
	if err != nil {
		return 0, 0, fmt.Errorf("ledger: count: %w", err)
	}
	return rows, different, nil
}
