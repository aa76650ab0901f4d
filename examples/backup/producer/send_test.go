package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/tally"
	"github.com/errandq/errand/job"
)

type enqueuer func(ctx context.Context, jobs ...job.Job) error

func (e enqueuer) Enqueue(ctx context.Context, jobs ...job.Job) error { return e(ctx, jobs...) }

func TestSend(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const n = 2*batch + 1
	for i := range n {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("%04d", i)), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bad\xff"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tl := tally.New()
	seen := map[string]bool{}
	calls := 0
	to := enqueuer(func(_ context.Context, jobs ...job.Job) error {
		calls++
		for _, j := range jobs {
			f, err := backup.CopyFile.Decode(j)
			if err != nil || f.Run != "run" || f.Source != root {
				t.Errorf("got %+v, %v", f, err)
			}
			seen[f.Path] = true
			// A worker may be faster than the producer: the tally has to know of the file by now.
			if !tl.Add(tally.Report{Path: f.Path, Status: outcome.Copied, Bytes: 1}) {
				t.Errorf("%s is reported before it is expected", f.Path)
			}
		}
		return nil
	})
	if err := send(t.Context(), to, tl, root, "run"); err != nil {
		t.Fatal(err)
	}
	if len(seen) != n || calls != 3 {
		t.Errorf("got %d files in %d calls, want %d in 3", len(seen), calls, n)
	}
	<-tl.Done()
	if s := tl.Snapshot(); s.Files != n+1 || s.Done != n || s.Failed != 1 || s.Bytes != n {
		t.Errorf("got %+v, want %d done and the bad name failed", s, n)
	}
}

func TestSendStopsAtAnError(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	away := errors.New("broker away")
	err := send(t.Context(), enqueuer(func(context.Context, ...job.Job) error { return away }), tally.New(), root, "")
	if !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	interrupted := errors.New("interrupted")
	for _, tc := range []struct {
		name  string
		stall time.Duration
		then  func(tl *tally.Tally, cancel func(error))
		want  error
		after time.Duration
	}{
		{"all known", time.Minute, func(tl *tally.Tally, _ func(error)) {
			for range 10 { // each time in time
				time.Sleep(50 * time.Second)
				tl.Add(tally.Report{Path: "f", Status: outcome.Retrying, Attempt: 1})
			}
			tl.Add(tally.Report{Path: "f", Status: outcome.Copied})
		}, nil, 500 * time.Second},
		{"no word", time.Minute, func(*tally.Tally, func(error)) {}, errStalled, time.Minute},
		{"no word, for ever", 0, func(_ *tally.Tally, cancel func(error)) {
			time.Sleep(time.Hour)
			cancel(interrupted)
		}, interrupted, time.Hour},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tl := tally.New()
				tl.Expect("f", 1)
				tl.Seal()
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				start := time.Now()
				go tc.then(tl, cancel)
				if err := await(ctx, tl, tc.stall); !errors.Is(err, tc.want) {
					t.Errorf("got %v, want %v", err, tc.want)
				}
				if got := time.Since(start); got != tc.after {
					t.Errorf("after %v, want %v", got, tc.after)
				}
			})
		})
	}
}
