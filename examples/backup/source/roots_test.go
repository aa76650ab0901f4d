package source_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/retry"
)

// tree makes a root with one of everything, beside a secret that must not be read.
func tree(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	root := filepath.Join(top, "root")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(filepath.Join(root, "dir"), 0o755))
	check(os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o600))
	check(os.WriteFile(filepath.Join(root, "dir", "file"), []byte("hello"), 0o644))
	check(os.WriteFile(filepath.Join(root, "locked"), []byte("x"), 0o000))
	check(syscall.Mkfifo(filepath.Join(root, "pipe"), 0o644))
	for name, target := range map[string]string{
		"inside":    "dir/file",
		"dangling":  "dir/nothing",
		"circle":    "circle",
		"outside":   "../secret",
		"absolute":  filepath.Join(top, "secret"),
		"upstairs":  "..",
		"dir/chain": "../outside",
	} {
		check(os.Symlink(target, filepath.Join(root, name)))
	}
	return root
}

func TestOpen(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for _, tc := range []struct {
		name, path string
		want       error
		permanent  bool
		link       string
	}{
		{name: "file", path: "dir/file"},
		{name: "pipe", path: "pipe"},
		{name: "link inside", path: "inside", link: "dir/file"},
		{name: "link to nothing", path: "dangling", link: "dir/nothing"},
		{name: "link to itself", path: "circle", link: "circle"},
		{name: "link outside", path: "outside", want: source.ErrEscapes, permanent: true},
		{name: "absolute link", path: "absolute", want: source.ErrEscapes, permanent: true},
		{name: "link to a link outside", path: "dir/chain", want: source.ErrEscapes, permanent: true},
		{name: "through a link outside", path: "upstairs/secret", want: source.ErrEscapes, permanent: true},
		{name: "dot dot", path: "../secret", want: source.ErrEscapes, permanent: true},
		{name: "dot dot in the middle", path: "dir/../../secret", want: source.ErrEscapes, permanent: true},
		{name: "absolute path", path: filepath.Dir(root) + "/secret", want: source.ErrEscapes, permanent: true},
		{name: "not clean", path: "dir//file", want: source.ErrEscapes, permanent: true},
		{name: "the root", path: ".", want: source.ErrEscapes, permanent: true},
		{name: "empty", path: "", want: source.ErrEscapes, permanent: true},
		{name: "gone", path: "dir/nothing", want: source.ErrGone},
		{name: "gone with its directory", path: "no/thing", want: source.ErrGone},
		{name: "its directory is a file now", path: "dir/file/x", want: source.ErrGone},
		{name: "zero byte", path: "a\x00b", want: syscall.EINVAL, permanent: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			item, err := source.Roots{root}.Open(root, tc.path)
			if !errors.Is(err, tc.want) || retry.IsPermanent(err) != tc.permanent {
				t.Fatalf("got %v, permanent %v; want %v, %v", err, retry.IsPermanent(err), tc.want, tc.permanent)
			}
			if err != nil {
				return
			}
			if item.Target != tc.link || item.IsLink() != (tc.link != "") {
				t.Errorf("got target %q, want %q", item.Target, tc.link)
			}
			if err := item.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRefusesOtherRoots(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for _, dir := range []string{filepath.Dir(root), root + "/dir", "/", ""} {
		_, err := source.Roots{root}.Open(dir, "file")
		if !errors.Is(err, source.ErrRefused) || !retry.IsPermanent(err) {
			t.Errorf("root %q: got %v, want ErrRefused for good", dir, err)
		}
	}
	if _, err := (source.Roots)(nil).Open(root, "dir/file"); !errors.Is(err, source.ErrRefused) {
		t.Errorf("no roots: got %v, want ErrRefused", err)
	}
}

// A root that is not mounted must not look like a thousand deleted files.
func TestOpenMissingRoot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "away")
	_, err := source.Roots{dir}.Open(dir, "file")
	if err == nil || errors.Is(err, source.ErrGone) || retry.IsPermanent(err) {
		t.Errorf("got %v, want an error worth another attempt", err)
	}
}

func TestOpenForbidden(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("nothing is forbidden to root; TestClassify covers the decision")
	}
	root := tree(t)
	_, err := source.Roots{root}.Open(root, "locked")
	if !errors.Is(err, fs.ErrPermission) || !retry.IsPermanent(err) {
		t.Errorf("got %v, want fs.ErrPermission for good", err)
	}
}

func TestRoot(t *testing.T) {
	t.Parallel()
	root := tree(t)
	want, err := filepath.EvalSymlinks(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := source.Root(root + "/dir/.."); err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{root + "/dir/file", root + "/nothing"} {
		if got, err := source.Root(bad); err == nil {
			t.Errorf("%s: got %q, want an error", bad, got)
		}
	}
}

func TestUnchanged(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(path string) error
		want   error
		read   string
	}{
		{"left alone", func(string) error { return nil }, nil, "hello"},
		{"grown", func(p string) error { return appendTo(p, " world, and more") }, source.ErrChanged, "hello "},
		{"cut", func(p string) error { return os.Truncate(p, 2) }, source.ErrChanged, "he"},
		{"same size", func(p string) error { return os.WriteFile(p, []byte("HELLO"), 0o644) }, source.ErrChanged, "HELLO"},
		{"replaced", func(p string) error { return os.Remove(p) }, nil, "hello"}, // the open file is still the old one, whole
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			root := tree(t)
			path := filepath.Join(root, "dir", "file")
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
			item, err := source.Roots{root}.Open(root, "dir/file")
			if err != nil {
				t.Fatal(err)
			}
			defer item.Close()
			if err := tc.change(path); err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(item)
			if err != nil || string(body) != tc.read {
				t.Errorf("read %q, %v, want %q", body, err, tc.read)
			}
			if err := item.Unchanged(int64(len(body))); !errors.Is(err, tc.want) || retry.IsPermanent(err) {
				t.Errorf("got %v, want %v, worth another attempt", err, tc.want)
			}
		})
	}
}

func TestRewind(t *testing.T) {
	t.Parallel()
	root := tree(t)
	item, err := source.Roots{root}.Open(root, "dir/file")
	if err != nil {
		t.Fatal(err)
	}
	defer item.Close()
	for range 2 {
		body, err := io.ReadAll(item)
		if err != nil || string(body) != "hello" {
			t.Fatalf("got %q, %v, want hello", body, err)
		}
		if err := item.Rewind(); err != nil {
			t.Fatal(err)
		}
	}
}
