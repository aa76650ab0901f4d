package store_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/retry"
)

func TestPutCopies(t *testing.T) {
	t.Parallel()
	dir, _ := directory(t)
	for kind, b := range map[string]*bench{"memory": memory(t), "directory": dir} {
		for name, body := range map[string]string{
			"empty":         "",
			"one":           "1",
			"large":         strings.Repeat("0123456789", 300_001),
			"deep/er/still": "deep",
			"a b\n":         "blank and line feed",
			"ü":             "umlaut",
			"x.attrs":       "what fileblob keeps to itself",
			"x.attrs~":      "and what that is renamed to",
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				b.write(t, name, body)
				got, err := b.put(t.Context(), t, name)
				if err != nil || got.Status != outcome.Copied || got.Bytes != int64(len(body)) {
					t.Fatalf("got %+v, %v, want copied, %d bytes", got, err, len(body))
				}
				key := name
				if strings.HasPrefix(name, "x") {
					key += "~"
				}
				if got := b.body(t, key); got != body {
					t.Errorf("the store holds %.40q, want %.40q", got, body)
				}
			})
		}
		if want := []string{"x.attrs~", "x.attrs~~"}; !slices.Equal(b.keys(t)[5:7], want) {
			t.Errorf("%s: got keys %q, want %q among them", kind, b.keys(t), want)
		}
	}
}

func TestPutIsIdempotent(t *testing.T) {
	t.Parallel()
	record := func(w []string) bool { return len(w) == 1 && strings.HasPrefix(w[0], "records/") }
	for _, tc := range []struct {
		name   string
		before func(*testing.T, *bench) // between the first and the second run
		want   outcome.Status
		writes func([]string) bool
	}{
		{"same", func(*testing.T, *bench) {}, outcome.Unchanged, func(w []string) bool { return len(w) == 0 }},
		{"touched", func(t *testing.T, b *bench) { b.touch(t, "f", time.Now()) }, outcome.Unchanged, record},
		{"rewritten", func(t *testing.T, b *bench) {
			b.write(t, "f", "HELLO")
			b.touch(t, "f", time.Now())
		}, outcome.Copied, nil},
		{"grown", func(t *testing.T, b *bench) { b.write(t, "f", "hello!") }, outcome.Copied, nil},
		{"copy deleted", func(t *testing.T, b *bench) {
			if err := b.bucket.Delete(t.Context(), "files/f"); err != nil {
				t.Fatal(err)
			}
		}, outcome.Copied, nil},
		{"copy overwritten", func(t *testing.T, b *bench) {
			if err := b.bucket.WriteAll(t.Context(), "files/f", []byte("jello"), nil); err != nil {
				t.Fatal(err)
			}
		}, outcome.Copied, nil},
		{"record garbled", func(t *testing.T, b *bench) {
			key := b.writtenRecord(t)
			if err := b.bucket.WriteAll(t.Context(), key, []byte(`{"path":"f","si`), nil); err != nil {
				t.Fatal(err)
			}
		}, outcome.Copied, nil},
		{"record of another path", func(t *testing.T, b *bench) {
			key := b.writtenRecord(t)
			if err := b.bucket.WriteAll(t.Context(), key, []byte(`{"path":"g","size":5}`), nil); err != nil {
				t.Fatal(err)
			}
		}, outcome.Copied, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := memory(t)
			b.mustPut(t, "f", outcome.Copied)
			tc.before(t, b)
			b.written()
			b.mustPut(t, "f", tc.want)
			if w := b.written(); tc.writes != nil && !tc.writes(w) {
				t.Errorf("wrote %q", w)
			}
			want, err := os.ReadFile(filepath.Join(b.root, "f"))
			if err != nil {
				t.Fatal(err)
			}
			if got := b.body(t, "f"); got != string(want) {
				t.Errorf("the store holds %q, want %q", got, want)
			}
			b.written()
			b.mustPut(t, "f", outcome.Unchanged)
			if w := b.written(); len(w) != 0 {
				t.Errorf("a last run wrote %q", w)
			}
		})
	}
}

func (b *bench) writtenRecord(t *testing.T) string {
	t.Helper()
	w := b.written()
	if len(w) != 2 || w[0] != "files/f" || !strings.HasPrefix(w[1], "records/") {
		t.Fatalf("wrote %q, want the file and then its record", w)
	}
	return w[1]
}

func TestPutLink(t *testing.T) {
	t.Parallel()
	b := memory(t)
	link := filepath.Join(b.root, "l")
	if err := os.Symlink("f", link); err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "l", outcome.Linked)
	b.mustPut(t, "l", outcome.Unchanged)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", link); err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "l", outcome.Linked)
	if k := b.keys(t); len(k) != 0 {
		t.Errorf("got objects %q, want none: a link is not followed", k)
	}
	// A file in the link's place, and a link again, are told apart from what they were.
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	b.write(t, "l", "file")
	b.mustPut(t, "l", outcome.Copied)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", link); err != nil {
		t.Fatal(err)
	}
	b.mustPut(t, "l", outcome.Linked)
}

func TestPutSpecial(t *testing.T) {
	t.Parallel()
	b := memory(t)
	if err := syscall.Mkfifo(filepath.Join(b.root, "p"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := b.put(t.Context(), t, "p")
	if err != nil || got.Status != outcome.Skipped || !strings.Contains(got.Note, "named pipe") {
		t.Errorf("got %+v, %v, want skipped with a note", got, err)
	}
}

func TestPutNamesThatADirectoryCannotHold(t *testing.T) {
	t.Parallel()
	b, _ := directory(t)
	long := strings.Repeat("n", 255)
	b.write(t, long, "x")
	b.mustPut(t, "f", outcome.Copied)
	b.write(t, "d/f", "x")
	b.mustPut(t, "d/f", outcome.Copied)
	if err := os.RemoveAll(filepath.Join(b.root, "d")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(b.root, "f")); err != nil {
		t.Fatal(err)
	}
	b.write(t, "d", "was a directory")
	b.write(t, "f/x", "was a file")
	for _, name := range []string{long, "d", "f/x"} {
		if _, err := b.put(t.Context(), t, name); !retry.IsPermanent(err) {
			t.Errorf("%.10s: got %v, want a permanent error", name, err)
		}
	}
}
