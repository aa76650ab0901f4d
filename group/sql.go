package group

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// SQL is a [Store] in two tables of a database, errand_groups and errand_group_members, which
// all workers of a group's members share. Make the tables with [SQL.Create].
//
// Each Done is a transaction that begins by locking the group's row, so members of one group
// take turns, and those of different groups don't wait for each other (but in SQLite, which
// has one writer at a time). One that meets a conflict, a deadlock or a locked SQLite database
// is tried again for 10 seconds, while its context allows it.
//
// A complete group takes one row, until [SQL.Prune] deletes it. An incomplete one takes a row
// a member more, and is left alone: it may be waiting for a job that somebody has to look at.
type SQL struct {
	db      *sql.DB
	dialect Dialect
}

var _ Store = (*SQL)(nil)

// NewSQL returns a store in db, which is its owner's to close, after the last use of the
// store. A nil db and an unknown dialect panic.
func NewSQL(db *sql.DB, d Dialect) *SQL {
	if db == nil {
		panic("group: NewSQL: nil database")
	}
	if !d.known() {
		panic(fmt.Sprintf("group: NewSQL: there is no dialect %q", d))
	}
	return &SQL{db, d}
}

// Create makes the tables, unless they are there. Several processes may do so at once.
func (s *SQL) Create(ctx context.Context) error {
	for _, statement := range s.dialect.tables() {
		_, err := again(ctx, s.dialect, func() (sql.Result, error) { return s.db.ExecContext(ctx, statement) })
		if err != nil {
			return fmt.Errorf("group: create tables: %w", err)
		}
	}
	return nil
}

// Done implements [Store].
func (s *SQL) Done(ctx context.Context, group string, size int, member string) (last bool, err error) {
	if err := check(group, size, member); err != nil {
		return false, err
	}
	last, err = again(ctx, s.dialect, func() (bool, error) {
		return s.transact(ctx, []byte(group), int64(size), []byte(member))
	})
	if err != nil {
		return false, fmt.Errorf("group: record in group %q: %w", group, err)
	}
	return last, nil
}

func (s *SQL) transact(ctx context.Context, group []byte, size int64, member []byte) (last bool, err error) {
	tx, err := s.db.BeginTx(ctx, s.dialect.isolation())
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing, before it err says more
	r := recording{ctx, tx, s.dialect, group, member}
	if last, err = r.record(size); err != nil {
		return false, err
	}
	return last, tx.Commit()
}

// Prune deletes the groups that are complete and of which nothing was recorded for the given
// time, and returns how many those were. A duplicate that comes after that begins its group
// anew, and a group of one member is then completed anew: so keep them for longer than a job
// may stand in a queue. It reads the whole table; once a day is often enough.
func (s *SQL) Prune(ctx context.Context, olderThan time.Duration) (int64, error) {
	before := time.Now().Add(-olderThan).UnixMilli()
	n, err := again(ctx, s.dialect, func() (int64, error) {
		result, err := s.db.ExecContext(ctx, s.dialect.bind(pruneGroups), before)
		if err != nil {
			return 0, err
		}
		return result.RowsAffected()
	})
	if err != nil {
		return 0, fmt.Errorf("group: prune: %w", err)
	}
	return n, nil
}

// A recording is one member's, in a transaction.
type recording struct {
	ctx           context.Context
	tx            *sql.Tx
	dialect       Dialect
	group, member []byte
}

func (r recording) exec(statement string, args ...any) error {
	_, err := r.tx.ExecContext(r.ctx, r.dialect.bind(statement), args...)
	return err
}

func (r recording) record(size int64) (last bool, err error) {
	now := time.Now().UnixMilli()
	if err := r.exec(r.dialect.lockGroup(), r.group, size, now, now); err != nil {
		return false, err
	}
	var known, done int64
	var lastMember, recorded []byte
	err = r.tx.QueryRowContext(r.ctx, r.dialect.bind(readGroup), r.member, r.group).Scan(&known, &done, &lastMember, &recorded)
	switch {
	case err != nil:
		return false, err
	case lastMember != nil:
		return bytes.Equal(lastMember, r.member), nil
	case recorded != nil:
		return false, nil
	}
	size, done = max(size, known), done+1
	if done < size {
		if err := r.exec(addMember, r.group, r.member); err != nil {
			return false, err
		}
		return false, r.exec(countMember, size, done, r.group)
	}
	if err := r.exec(dropMembers, r.group); err != nil {
		return false, err
	}
	return true, r.exec(completeGroup, size, done, r.member, r.group)
}

// again calls f until it meets no conflict with other transactions, for 10 seconds at most.
func again[T any](ctx context.Context, d Dialect, f func() (T, error)) (T, error) {
	pauses := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(5*time.Millisecond),
		backoff.WithMaxInterval(500*time.Millisecond),
		backoff.WithMultiplier(2),
		backoff.WithMaxElapsedTime(10*time.Second),
	)
	return backoff.RetryWithData(func() (T, error) {
		result, err := f()
		if err != nil && !d.conflict(err) {
			err = backoff.Permanent(err)
		}
		return result, err
	}, backoff.WithContext(pauses, ctx))
}
