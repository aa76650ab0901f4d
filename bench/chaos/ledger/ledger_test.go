package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/errandq/errand/bench/chaos/ledger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func follow(t *testing.T, dir string) *ledger.Follower {
	t.Helper()
	f := ledger.Follow(dir)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func poll(t *testing.T, f *ledger.Follower) (ids []string) {
	t.Helper()
	err := f.Poll(func(name string, e ledger.Event) {
		if e.At == 0 {
			t.Errorf("event %+v has no time", e)
		}
		ids = append(ids, name+" "+e.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestFollowerSeesEachEventOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := follow(t, dir)
	if got := poll(t, f); len(got) > 0 {
		t.Errorf("got %q of an empty directory", got)
	}
	var want []string
	for _, name := range []string{"a", "b"} {
		w, err := ledger.Create(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		var wg sync.WaitGroup
		for i := range 200 { // at once, because a process does so too
			want = append(want, fmt.Sprint(name, " ", i))
			wg.Go(func() {
				if err := w.Write(ledger.Event{What: ledger.Start, ID: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := poll(t, f)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		want = nil
	}
	if got := poll(t, f); len(got) > 0 {
		t.Errorf("got %q a second time", got)
	}
}

func TestLineWithoutEndIsNoEvent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "a.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	f := follow(t, dir)
	for _, step := range []struct {
		text string
		want []string
	}{
		{`{"at":1,"id":"x"}` + "\n" + `{"at":2,`, []string{"a x"}},
		{`"id":"y"}`, nil},
		{"\n", []string{"a y"}},
	} {
		if _, err := file.WriteString(step.text); err != nil {
			t.Fatal(err)
		}
		if got := poll(t, f); !slices.Equal(got, step.want) {
			t.Errorf("after %q: got %q, want %q", step.text, got, step.want)
		}
	}
}

func TestLedgerIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, err := ledger.Create(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w, err := ledger.Create(dir, "a"); err == nil {
		w.Close()
		t.Error("a second ledger of the name was made, want an error")
	}
}
