package ledger_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/errandq/errand/examples/archive/ledger"
	"github.com/errandq/errand/examples/archive/orders"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSQLite(t *testing.T) {
	t.Parallel()
	exercise(t, "sqlite:"+filepath.Join(t.TempDir(), "a file?with #odd%20name.db"))
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	url, stop := startPostgres(t)
	exercise(t, url)
	testOutage(t, url, stop)
}

func TestMySQL(t *testing.T) {
	t.Parallel()
	url, stop := startMySQL(t)
	exercise(t, url)
	testOutage(t, url, stop)
}

func open(t *testing.T, url string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// row is the n-th row, with values that are not easy to keep.
func row(n int64) ledger.Row {
	return ledger.Row{
		EventID: fmt.Sprint("event-", n),
		Order: orders.Order{
			Number:   n,
			Customer: "Zoë \"O'Hara\" \\ 王小明 🫖\n",
			Item:     "",
			Cents:    -1 << 40,
			PlacedAt: time.Date(2026, 3, 14, 15, 9, 26, 535897000, time.UTC),
		},
	}
}

// exercise is what every database has to be able to do. The parts build on each other.
func exercise(t *testing.T, url string) {
	t.Helper()
	l := open(t, url)
	insert := func(want int64, rows ...ledger.Row) {
		t.Helper()
		if added, err := l.Insert(t.Context(), rows); err != nil || added != want {
			t.Fatalf("Insert of %d rows: got %d added, %v, want %d", len(rows), added, err, want)
		}
	}
	var want []ledger.Row
	check := func() {
		t.Helper()
		got, err := l.Rows(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %d rows, want %d; first difference: %s", len(got), len(want), difference(got, want))
		}
	}
	check()
	insert(0)

	for n := range int64(ledger.MaxRows) {
		want = append(want, row(n))
	}
	insert(3, want[:3]...)
	insert(int64(len(want))-3, want...) // three are there already
	insert(0, want...)
	check()

	again := row(2)
	again.Customer = "somebody else"
	again2 := row(ledger.MaxRows)
	want = append(want, again2)
	insert(1, again2, again2, again) // the first stays, also within one batch
	check()

	// Only the very same ID is the same.
	for _, id := range []string{"EVENT-0", "event-0 ", "évent-0", strings.Repeat("x", 255)} {
		r := row(ledger.MaxRows + 1)
		r.EventID = id
		insert(1, r)
	}
	rows, different, err := l.Count(t.Context())
	if n := ledger.MaxRows; err != nil || rows != n+5 || different != n+2 {
		t.Errorf("Count: got %d rows, %d different orders, %v, want %d and %d", rows, different, err, n+5, n+2)
	}

	testAllOrNone(t, l)
	testSideBySide(t, url)
}

// testAllOrNone inserts what the database can't take.
func testAllOrNone(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	rows := []ledger.Row{row(-1), row(-2), row(-3)}
	rows[2].PlacedAt = rows[2].PlacedAt.AddDate(300_000, 0, 0)
	rows[2].Customer = "\x00\xff" // no text
	rows[1].Item = strings.Repeat("x", 1<<20)
	before, _, err := l.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	added, err := l.Insert(t.Context(), rows)
	after, _, err2 := l.Count(t.Context())
	if err2 != nil {
		t.Fatal(err2)
	}
	switch {
	case err == nil && (added != 3 || after != before+3): // SQLite takes anything
		t.Errorf("got %d added and %d more rows, want 3", added, after-before)
	case err != nil && (after != before || !errors.Is(err, ledger.ErrRefused)):
		t.Errorf("got %v and %d more rows, want ErrRefused and none", err, after-before)
	}
	if _, err := l.Insert(t.Context(), make([]ledger.Row, ledger.MaxRows+1)); err == nil {
		t.Error("too many rows: got no error")
	}
}

// testSideBySide is several processes at work on the same rows.
func testSideBySide(t *testing.T, url string) {
	t.Helper()
	const batches, size = 8, 50
	var total atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		l := open(t, url)
		wg.Go(func() {
			for b := range int64(batches) {
				var rows []ledger.Row
				for n := range int64(size) {
					rows = append(rows, row(1_000_000+b*size+n))
				}
				added, err := l.Insert(t.Context(), rows)
				if err != nil {
					t.Errorf("Insert: %v", err)
				}
				total.Add(added)
			}
		})
	}
	wg.Wait()
	if got := total.Load(); got != batches*size {
		t.Errorf("got %d rows added by all together, want %d", got, batches*size)
	}
}

// testOutage takes the server away.
func testOutage(t *testing.T, url string, stop func()) {
	t.Helper()
	l := open(t, url)
	stop()
	if _, err := l.Insert(t.Context(), []ledger.Row{row(0)}); err == nil || errors.Is(err, ledger.ErrRefused) {
		t.Errorf("without a server: got %v, want an error other than ErrRefused", err)
	}
}

func difference(got, want []ledger.Row) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("row %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	return "one has more rows"
}

func TestBadURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"",
		"archive.db",
		"sqlite:",
		"oracle://u:s3cret@host/db",
		"postgres://u:s3cret@host:port/db",
		"postgres://u:s3cret@host/db?sslmode=perhaps",
		"mysql://u:s3cret@host:port/db",
		"mysql://u:s3cret@host/db?parseTime=perhaps",
		"mysql://u:s3cret@ho st/db",
	} {
		l, err := ledger.Open(t.Context(), url)
		if err == nil {
			t.Errorf("%q: got no error", url)
			_ = l.Close() // the test has failed anyway
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: the error tells the password: %v", url, err)
		}
	}
}
