package invoice

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestStorePut(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	store, err := OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"first", "second"} {
		path, err := store.Put("A-1", []byte(content))
		if err != nil {
			t.Fatal(err)
		}
		if want := filepath.Join(dir, "A-1.pdf"); path != want {
			t.Errorf("got path %q, want %q", path, want)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("got %q, %v, want %q", got, err, content)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want the one PDF and no temporary file", entries, err)
	}
}

// Writers and a reader at once: the reader must find one writer's file whole, never a part or a mixture.
func TestStorePutIsAtomic(t *testing.T) {
	t.Parallel()
	store, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(letter string) {
		if _, err := store.Put("A-1", bytes.Repeat([]byte(letter), 100_000)); err != nil {
			t.Error(err)
		}
	}
	put("a")
	var writers sync.WaitGroup
	for _, letter := range []string{"a", "b", "c"} {
		writers.Go(func() {
			for range 10 {
				put(letter)
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		path, err := store.Path("A-1")
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || len(got) != 100_000 || !bytes.Equal(got, bytes.Repeat(got[:1], len(got))) {
			t.Fatalf("got %d bytes, %v, want one writer's 100000", len(got), err)
		}
	}
}

func TestStoreRefusesIDsThatLeaveTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := OpenStore(filepath.Join(dir, "invoices"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", `a\b`, "/etc/x", "a\x00", "-rf", "a\n", strings.Repeat("x", 65)} {
		if _, err := store.Put(id, []byte("x")); !errors.Is(err, ErrInvalid) {
			t.Errorf("Put(%q): got %v, want ErrInvalid", id, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("got %v, %v, want nothing outside of the store", entries, err)
	}
}

func TestOpenStoreSaysWhy(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"", file} {
		if _, err := OpenStore(dir); err == nil {
			t.Errorf("OpenStore(%q): got no error", dir)
		}
	}
}
