package store_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/examples/backup/store"
	"github.com/errandq/errand/retry"
)

func isFile(key string) bool { return strings.HasPrefix(key, "files/") }

// A store that is away, whatever it is asked for, is worth another attempt.
func TestPutStoreAway(t *testing.T) {
	t.Parallel()
	away := errors.New("connection refused")
	for _, op := range []string{"read", "open", "close", "attributes"} {
		for _, only := range []string{"files/", "records/"} {
			t.Run(op+" "+only, func(t *testing.T) {
				t.Parallel()
				b := memory(t)
				failed := false
				b.fail = func(o, key string) error {
					if o == op && strings.HasPrefix(key, only) {
						failed = true
						return away
					}
					return nil
				}
				_, err := b.put(t.Context(), t, "f")
				if !failed {
					return // the store does not ask this of it
				}
				if !errors.Is(err, away) || retry.IsPermanent(err) {
					t.Errorf("got %v, want %v, worth another attempt", err, away)
				}
				b.fail = nil
				b.mustPut(t, "f", outcome.Copied)
			})
		}
	}
}

func TestPutMismatch(t *testing.T) {
	t.Parallel()
	spoil := func(key string, p []byte) {
		if isFile(key) {
			p[0] ^= 1
		}
	}
	for name, spoilt := range map[string]func(*faults){
		"written wrong": func(f *faults) { f.onWrite = spoil },
		"read wrong":    func(f *faults) { f.onRead = spoil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := memory(t)
			spoilt(b.faults)
			_, err := b.put(t.Context(), t, "f")
			if !errors.Is(err, store.ErrMismatch) || retry.IsPermanent(err) {
				t.Errorf("got %v, want ErrMismatch, worth another attempt", err)
			}
			if k := b.keys(t); len(k) != 0 {
				t.Errorf("got objects %q, want none: a wrong copy is taken away", k)
			}
			b.onWrite, b.onRead = nil, nil
			b.mustPut(t, "f", outcome.Copied)
		})
	}
}

// A copy that another worker has written meanwhile is not ours to take away.
func TestPutMismatchLeavesOthersCopies(t *testing.T) {
	t.Parallel()
	b := memory(t)
	b.fail = func(op, key string) error {
		if op == "read" && isFile(key) {
			return b.bucket.WriteAll(t.Context(), key, []byte("other"), nil)
		}
		return nil
	}
	if _, err := b.put(t.Context(), t, "f"); !errors.Is(err, store.ErrMismatch) {
		t.Errorf("got %v, want ErrMismatch", err)
	}
	if got := b.body(t, "f"); got != "other" {
		t.Errorf("the store holds %q, want the other worker's copy", got)
	}
}

// Whatever stops a copy half way, the object is as it was: absent, or the older copy.
func TestPutIsAtomic(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	for _, tc := range []struct {
		name string
		stop func(b *bench, cancel func()) error // called while the second part is written
		want error
	}{
		{"cancelled", func(_ *bench, cancel func()) error { cancel(); return nil }, context.Canceled},
		{"source grows", func(b *bench, _ func()) error { return os.Truncate(filepath.Join(b.root, "f"), 100<<20) }, source.ErrChanged},
		{"source shrinks", func(b *bench, _ func()) error { return os.Truncate(filepath.Join(b.root, "f"), 1) }, source.ErrChanged},
		{"store full", func(b *bench, _ func()) error {
			b.fail = func(op, key string) error {
				if op == "close" && isFile(key) {
					return full
				}
				return nil
			}
			return nil
		}, full},
	} {
		for _, before := range []string{"", "older"} {
			t.Run(tc.name+", before: "+before, func(t *testing.T) {
				t.Parallel()
				b, dir := directory(t)
				if before != "" {
					b.write(t, "f", before)
					b.mustPut(t, "f", outcome.Copied)
				}
				b.write(t, "f", strings.Repeat("x", 5<<20))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				parts := 0
				b.onWrite = func(key string, _ []byte) {
					if parts++; parts == 2 {
						if err := tc.stop(b, cancel); err != nil {
							t.Error(err)
						}
					}
				}
				if _, err := b.put(ctx, t, "f"); !errors.Is(err, tc.want) || retry.IsPermanent(err) {
					t.Errorf("got %v, want %v, worth another attempt", err, tc.want)
				}
				wantTree(t, dir, before)
			})
		}
	}
}

// wantTree checks that a directory store holds files/f with body, or nothing at all if body
// is empty, and no temporary file.
func wantTree(t *testing.T, dir, body string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(filepath.Join(dir, "files"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		if len(got) != 0 {
			t.Errorf("got %q, want nothing", got)
		}
		return
	}
	path := filepath.Join(dir, "files", "f")
	if len(got) != 1 || got[0] != path {
		t.Errorf("got %q, want %q alone", got, path)
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != body {
		t.Errorf("got %.20q, %v, want %q", have, err, body)
	}
}
