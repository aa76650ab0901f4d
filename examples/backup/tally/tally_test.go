package tally_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/tally"
)

// story is what is reported of six files of a thousand bytes each.
var story = []tally.Report{
	{Path: "a", Status: outcome.Copied, Bytes: 1000, Attempt: 1},
	{Path: "b", Status: outcome.Retrying, Attempt: 1, Reason: "store away"},
	{Path: "b", Status: outcome.Retrying, Attempt: 2, Reason: "store away"},
	{Path: "b", Status: outcome.Copied, Bytes: 1000, Attempt: 3},
	{Path: "c", Status: outcome.Failed, Attempt: 1, Reason: "forbidden"},
	{Path: "d", Status: outcome.Unchanged, Attempt: 1},
	{Path: "e", Status: outcome.Gone, Attempt: 1, Reason: "no such file"},
	{Path: "f", Status: outcome.Failed, Attempt: 4, Reason: "given up"}, // one run of a job that ran twice
	{Path: "f", Status: outcome.Unchanged, Attempt: 4},
	{Path: "stranger", Status: outcome.Copied, Bytes: 1, Attempt: 1},
	{Path: "a", Status: "sideways", Attempt: 1},
}

// Reports may come in any order and several times: the account is the same.
func TestAddInAnyOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		tl := tally.New()
		for _, path := range []string{"a", "b", "c", "d", "e", "f", "a"} {
			tl.Expect(path, 1000)
		}
		reports := append(append([]tally.Report(nil), story...), story...)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(reports), func(i, j int) { reports[i], reports[j] = reports[j], reports[i] })
		for _, r := range reports {
			tl.Add(r)
		}
		got := tl.Snapshot()
		got.Elapsed = 0
		want := tally.Snapshot{Files: 6, Done: 5, Failed: 1, Retried: 2, Bytes: 6000, Settled: 6000, Copied: 2000}
		if got != want {
			t.Fatalf("seed %d: got %+v, want %+v", seed, got, want)
		}
		s := tl.Summary("run", "/src")
		if s.Copied != 2 || s.Unchanged != 2 || s.Gone != 1 || s.Failed != 1 || s.Unreported != 0 || s.OK() {
			t.Fatalf("seed %d: got %+v", seed, s)
		}
		if len(s.Failures) != 1 || s.Failures[0] != (tally.Finding{Path: "c", Status: outcome.Failed, Reason: "forbidden", Attempts: 1}) {
			t.Fatalf("seed %d: got failures %+v", seed, s.Failures)
		}
	}
}

func TestDone(t *testing.T) {
	t.Parallel()
	done := func(tl *tally.Tally) bool {
		select {
		case <-tl.Done():
			return true
		default:
			return false
		}
	}
	tl := tally.New()
	tl.Expect("a", 1)
	tl.Add(tally.Report{Path: "a", Status: outcome.Copied})
	if done(tl) {
		t.Error("done although more files may come")
	}
	tl.Expect("b", 1)
	tl.Seal()
	tl.Add(tally.Report{Path: "b", Status: outcome.Retrying, Attempt: 1})
	if done(tl) {
		t.Error("done although b is still tried")
	}
	tl.Add(tally.Report{Path: "b", Status: outcome.Failed, Attempt: 2})
	if !done(tl) {
		t.Error("not done although all is known")
	}
	tl.Add(tally.Report{Path: "b", Status: outcome.Copied, Attempt: 2}) // a late twin must not close it again

	empty := tally.New()
	empty.Seal()
	if !done(empty) {
		t.Error("an empty run is not done")
	}
}

func TestHeardCoalesces(t *testing.T) {
	t.Parallel()
	tl := tally.New()
	tl.Expect("a", 1)
	for range 3 {
		tl.Add(tally.Report{Path: "a", Status: outcome.Retrying, Attempt: 1})
	}
	<-tl.Heard()
	select {
	case <-tl.Heard():
		t.Error("heard twice without a report between")
	default:
	}
}

func TestSnapshotRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tl := tally.New()
		if s := tl.Snapshot(); s.Left() != 0 || s.Rate() != 0 {
			t.Errorf("nothing to do: got %v, %v", s.Left(), s.Rate())
		}
		tl.Expect("a", 1000)
		tl.Expect("b", 3000)
		tl.Seal()
		time.Sleep(10 * time.Second)
		if s := tl.Snapshot(); s.Left() >= 0 {
			t.Errorf("nothing known yet: got %v, want a negative time", s.Left())
		}
		tl.Add(tally.Report{Path: "a", Status: outcome.Copied, Bytes: 1000})
		if s := tl.Snapshot(); s.Left() != 30*time.Second || s.Rate() != 100 {
			t.Errorf("got %v left at %v B/s, want 30s at 100", s.Left(), s.Rate())
		}
		tl.Add(tally.Report{Path: "b", Status: outcome.Copied, Bytes: 3000})
		time.Sleep(time.Hour)
		if s := tl.Snapshot(); s.Left() != 0 || s.Elapsed != 10*time.Second {
			t.Errorf("got %v left after %v, want none after 10s: the clock stops", s.Left(), s.Elapsed)
		}
	})
}

func TestSummaryOfAnEmptyRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "summary.json")
	s := tally.New().Summary("run", "/src")
	if err := s.Save(path); err != nil || !s.OK() {
		t.Fatalf("got %v, OK %v", err, s.OK())
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	for _, list := range []string{"failures", "notes", "missing"} {
		if v, ok := fields[list].([]any); !ok || len(v) != 0 {
			t.Errorf("%s: got %v, want an empty list", list, fields[list])
		}
	}
}

func TestSummaryNamesTheMissing(t *testing.T) {
	t.Parallel()
	tl := tally.New()
	tl.Expect("b", 1)
	tl.Expect("a", 1)
	tl.Add(tally.Report{Path: "b", Status: outcome.Retrying, Attempt: 1})
	s := tl.Summary("", "")
	if s.OK() || s.Unreported != 2 || len(s.Missing) != 2 || s.Missing[0] != "a" {
		t.Errorf("got %+v, want a and b missing", s)
	}
}
