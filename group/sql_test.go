package group_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/group"
	_ "modernc.org/sqlite" // the driver
)

// processes is how many handles of one database a test has.
const processes = 4

// openSQLite opens an SQLite file, a new one if the name is empty, until the test ends.
func openSQLite(t *testing.T, file string, pragmas ...string) *sql.DB {
	t.Helper()
	if file == "" {
		file = filepath.Join(t.TempDir(), "groups.db")
	}
	url := "file:" + file + "?_pragma=journal_mode(wal)&_pragma=synchronous(off)"
	for _, p := range pragmas {
		url += "&_pragma=" + p
	}
	db := open(t, "sqlite", url)
	db.SetMaxOpenConns(1) // there is one writer at a time: the others wait here, in order
	return db
}

// open opens a database until the test ends.
func open(t *testing.T, driver, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(20) // PostgreSQL takes 100 in all
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// create makes the tables from all processes at once, and again.
func create(t *testing.T, d group.Dialect, openOne func() *sql.DB) (stores []group.Store) {
	t.Helper()
	var wg sync.WaitGroup
	for range processes {
		s := group.NewSQL(openOne(), d)
		stores = append(stores, s)
		wg.Go(func() {
			for range 2 {
				if err := s.Create(t.Context()); err != nil {
					t.Errorf("Create: %v", err)
				}
			}
		})
	}
	wg.Wait()
	return stores
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "groups.db")
	stores := create(t, group.SQLite, func() *sql.DB { return openSQLite(t, file, "busy_timeout(10000)") })
	testStore(t, stores...)
	testPrune(t, openSQLite(t, "", "busy_timeout(10000)"), group.SQLite)
}

// testPrune wants a database without groups.
func testPrune(t *testing.T, db *sql.DB, d group.Dialect) {
	t.Helper()
	s := group.NewSQL(db, d)
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantDone(t, s, "old", 2, "a", false)
	wantDone(t, s, "old", 2, "b", true)
	wantDone(t, s, "waiting", 2, "a", false)
	wantRows(t, db, "errand_group_members", 1) // a complete group needs none

	wantPruned(t, s, time.Hour, 0)
	wantDone(t, s, "old", 2, "b", true)
	wantPruned(t, s, -time.Hour, 1) // what was recorded up to in an hour
	wantPruned(t, s, -time.Hour, 0)
	wantRows(t, db, "errand_groups", 1)
	wantDone(t, s, "waiting", 2, "b", true)
	wantDone(t, s, "old", 2, "b", false) // it begins anew
}

func wantPruned(t *testing.T, s *group.SQL, olderThan time.Duration, want int64) {
	t.Helper()
	got, err := s.Prune(t.Context(), olderThan)
	if err != nil || got != want {
		t.Errorf("Prune(%v): got %d, %v, want %d", olderThan, got, err, want)
	}
}

func wantRows(t *testing.T, db *sql.DB, table string, want int) {
	t.Helper()
	var got int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&got); err != nil || got != want {
		t.Errorf("table %s has %d rows, %v, want %d", table, got, err, want)
	}
}

// lock takes the file's write lock, on a handle of its own, until unlock is called.
func lock(t *testing.T, db *sql.DB) (unlock func()) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		if err = errors.Join(err, conn.Close()); err != nil {
			t.Error(err)
		}
	}
}

// What is locked is tried again, until the context ends. The busy timeout of these handles is
// zero, so SQLite itself does not wait.
func TestConflictsAreTriedAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "groups.db")
	s := group.NewSQL(openSQLite(t, file), group.SQLite)
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	unlock := lock(t, openSQLite(t, file))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if last, err := s.Done(ctx, "g", 1, "m"); last || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is locked: got %v, %v, want the context's error", last, err)
	}
	var unlocked atomic.Bool
	time.AfterFunc(100*time.Millisecond, func() {
		unlocked.Store(true)
		unlock()
	})
	wantDone(t, s, "g", 1, "m", true)
	if !unlocked.Load() {
		t.Error("it was recorded before the lock was gone")
	}
}

// An error that no further try can cure is returned at once.
func TestOtherErrorsAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	s := group.NewSQL(openSQLite(t, ""), group.SQLite) // without tables
	began := time.Now()
	last, err := s.Done(t.Context(), "g", 1, "m")
	if last || err == nil {
		t.Errorf("Done: got %v, %v, want an error", last, err)
	}
	if n, err := s.Prune(t.Context(), 0); n != 0 || err == nil {
		t.Errorf("Prune: got %d, %v, want an error", n, err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("both took %v, want no waiting", took)
	}
}

// The store is what a worker that starts after a crash finds.
func TestSQLOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "groups.db")
	for i := range 3 {
		db := openSQLite(t, file)
		s := group.NewSQL(db, group.SQLite)
		if err := s.Create(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantDone(t, s, "g", 3, fmt.Sprint(i), i == 2)
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
