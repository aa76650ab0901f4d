package integration_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/errandq/errand/examples/archive/ledger"
	"github.com/errandq/errand/examples/archive/orders"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/topology"
)

// The archiver of the examples is killed again and again. In the end each event has its row, once.
func TestArchiverIsKilled(t *testing.T) {
	t.Parallel()
	const (
		events = 20_000
		kills  = 7
	)
	url := rabbit.URL(t)
	conn := dial(t, url)
	if err := orders.Declare(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	a := newArchiver(t, url)
	want := map[string]orders.Order{} // by the IDs of the events
	var all []job.Job
	for n := range int64(events) {
		o := orders.Sample(n+1, time.Now())
		e := orders.Placed.New(o)
		want[e.ID] = o
		all = append(all, e)
	}

	began := time.Now()
	var publishing sync.WaitGroup
	publishing.Go(func() {
		p := producer.New(conn, producer.Config{})
		for ; len(all) > 0; all = all[200:] {
			if err := p.Enqueue(t.Context(), all[:200]...); err != nil {
				t.Errorf("Enqueue: %v", err)
				return
			}
		}
	})
	for i := range kills {
		a.start()
		goal := min(a.rows()+1+rand.IntN(events/kills/2), events) // it has to get on between the kills
		eventually(t, fmt.Sprintf("%d rows, kill %d", goal, i+1), func() bool { return a.rows() >= goal })
		a.kill()
	}
	a.start()
	publishing.Wait()
	eventually(t, "all rows", func() bool { return a.rows() >= events })
	took := time.Since(began)
	a.terminate()
	t.Logf("%d rows in %v with %d kills, %.0f a second; the last archiver: %s", events, took, kills, events/took.Seconds(), a.total())

	rows, err := a.ledger.Rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		o, there := want[r.EventID]
		switch {
		case !there:
			t.Fatalf("row %+v: got an event that was not published, or was there before", r)
		case o != r.Order:
			t.Errorf("event %s: got %+v, want %+v", r.EventID, r.Order, o)
		}
		delete(want, r.EventID)
	}
	if len(rows) != events || len(want) != 0 {
		t.Errorf("got %d rows, %d events without one, want %d and none", len(rows), len(want), events)
	}
	r := dialRaw(t, url)
	r.empty(orders.Archive, topology.DeadQueue(orders.Archive))
}

// An archiver is the program of the examples, with a database of its own.
type archiver struct {
	t      *testing.T
	url    string
	dir    string
	db     string
	ledger *ledger.Ledger
	cmd    *exec.Cmd
	out    bytes.Buffer
}

func newArchiver(t *testing.T, url string) *archiver {
	t.Helper()
	dir := t.TempDir()
	a := &archiver{t: t, url: url, dir: dir, db: "sqlite:" + filepath.Join(dir, "archive.db")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", a.path("archiver"), "github.com/errandq/errand/examples/archive/archiver")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	l, err := ledger.Open(t.Context(), a.db)
	if err != nil {
		t.Fatal(err)
	}
	a.ledger = l
	t.Cleanup(func() {
		if a.cmd != nil {
			a.kill()
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the archivers' output:\n%s", a.out.String())
		}
	})
	return a
}

func (a *archiver) path(name string) string { return filepath.Join(a.dir, name) }

func (a *archiver) start() {
	a.t.Helper()
	a.cmd = exec.Command(a.path("archiver"), "-amqp", a.url, "-db", a.db, "-summary", a.path("summary"))
	a.cmd.Stderr = &a.out
	if err := a.cmd.Start(); err != nil {
		a.cmd = nil
		a.t.Fatal(err)
	}
}

func (a *archiver) kill() {
	a.t.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		a.t.Error(err)
	}
	_ = a.cmd.Wait() // it was killed
	a.cmd = nil
}

func (a *archiver) terminate() {
	a.t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	if err := a.cmd.Wait(); err != nil {
		a.t.Errorf("SIGTERM: got %v, want an orderly end", err)
	}
	a.cmd = nil
}

func (a *archiver) rows() int {
	a.t.Helper()
	rows, _, err := a.ledger.Count(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return rows
}

// total is what an archiver that was not killed has done.
func (a *archiver) total() string {
	a.t.Helper()
	line, err := os.ReadFile(a.path("summary"))
	if err != nil {
		a.t.Fatal(err)
	}
	var total struct{ Rows, Known, Transactions int }
	if err := json.Unmarshal(line, &total); err != nil {
		a.t.Fatal(err)
	}
	perTransaction := float64(total.Rows+total.Known) / float64(max(total.Transactions, 1))
	return fmt.Sprintf("%d rows, %d known, %.0f in a transaction", total.Rows, total.Known, perTransaction)
}
