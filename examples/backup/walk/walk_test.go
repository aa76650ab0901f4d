package walk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/errandq/errand/examples/backup/walk"
)

func tree(t *testing.T, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFiles(t *testing.T) {
	t.Parallel()
	root := tree(t, "a", "b/c", "b/d/e", "ü/ß ")
	for _, err := range []error{
		os.Mkdir(filepath.Join(root, "empty"), 0o755),
		os.Symlink("b", filepath.Join(root, "z-dir")),
		os.Symlink("/etc", filepath.Join(root, "z-out")),
		syscall.Mkfifo(filepath.Join(root, "z-pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []walk.Entry
	for e, err := range walk.Files(root) {
		if err != nil {
			t.Errorf("%s: %v", e.Path, err)
		}
		got = append(got, e)
	}
	want := []walk.Entry{{"a", 1}, {"b/c", 3}, {"b/d/e", 5}, {"z-dir", 0}, {"z-out", 0}, {"z-pipe", 0}, {"ü/ß ", 6}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFilesGoesOnBehindAnError(t *testing.T) {
	t.Parallel()
	root := tree(t, "a", "b\xff/c", "d", "e\xff", "f")
	var paths []string
	bad := 0
	for e, err := range walk.Files(root) {
		if err == nil {
			paths = append(paths, e.Path)
			continue
		}
		if !errors.Is(err, walk.ErrName) {
			t.Errorf("%s: got %v, want ErrName", e.Path, err)
		}
		bad++
	}
	if want := []string{"a", "d", "f"}; !slices.Equal(paths, want) || bad != 2 {
		t.Errorf("got %v and %d errors, want %v and 2", paths, bad, want)
	}
}

func TestFilesForbiddenDirectory(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("nothing is forbidden to root")
	}
	root := tree(t, "a/x", "b/x", "c/x")
	locked := filepath.Join(root, "b")
	if err := os.Chmod(locked, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(locked, 0o755) }) // so that the test's directory can be removed
	var seen []string
	for e, err := range walk.Files(root) {
		if errors.Is(err, fs.ErrPermission) {
			e.Path += "!"
		}
		seen = append(seen, e.Path)
	}
	if want := []string{"a/x", "b!", "c/x"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}

func TestFilesMissingRoot(t *testing.T) {
	t.Parallel()
	n := 0
	for e, err := range walk.Files(filepath.Join(t.TempDir(), "away")) {
		if n++; !errors.Is(err, fs.ErrNotExist) || e.Path != "." {
			t.Errorf("got %v, %v, want . and fs.ErrNotExist", e, err)
		}
	}
	if n != 1 {
		t.Errorf("got %d entries, want 1", n)
	}
}

func TestFilesStops(t *testing.T) {
	t.Parallel()
	n := 0
	for range walk.Files(tree(t, "a", "b", "c/d")) {
		n++
		break
	}
	if n != 1 {
		t.Errorf("got %d entries after a break, want 1", n)
	}
}
