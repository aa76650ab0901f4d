package directory

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/errandq/errand/examples/backup/source"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		place, want string
		ok, fails   bool
	}{
		{place: "/a/b/", want: "/a/b", ok: true},
		{place: "a", want: filepath.Join(here, "a"), ok: true},
		{place: "file:///a%20b", want: "/a b", ok: true},
		{place: "s3://bucket?region=x"},
		{place: "mem://"},
		{place: "", fails: true},
		{place: "file://a/b", fails: true},
		{place: "file:///a?metadata=skip", fails: true},
		{place: "file://", fails: true},
		{place: "s3://%zz", fails: true},
	} {
		got, ok, err := Named(tc.place)
		if got != tc.want || ok != tc.ok || (err != nil) != tc.fails {
			t.Errorf("%q: got %q, %v, %v, want %q, %v", tc.place, got, ok, err, tc.want, tc.ok)
		}
	}
}

func TestPrepare(t *testing.T) {
	t.Parallel()
	top, err := source.Root(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(top, "store")
	tmp, err := Prepare(dir, source.Roots{filepath.Join(top, "src")})
	if err != nil || tmp != filepath.Join(dir, "tmp") {
		t.Fatalf("got %q, %v", tmp, err)
	}
	old, fresh := filepath.Join(tmp, "old"), filepath.Join(tmp, "fresh")
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, then, then); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(dir, nil); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) != 1 || left[0].Name() != "fresh" {
		t.Errorf("got %v, %v, want only what may still be written", left, err)
	}
	for _, root := range []string{top, dir, "/"} {
		if _, err := Prepare(dir, source.Roots{root}); err == nil {
			t.Errorf("store %s in source %s: got no error", dir, root)
		}
	}
	fresh = filepath.Join(top, "never")
	if _, err := Prepare(fresh, source.Roots{top}); err == nil {
		t.Error("a store in the source that is not there yet: got no error")
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("a refused store was made in the source")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Prepare(link, source.Roots{top}); err == nil {
		t.Error("a store in the source behind a link: got no error")
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	b, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a directory that others can't enter", info, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("a file: got no error")
	}
}
