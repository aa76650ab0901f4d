// Package walk lists what a directory tree holds.
package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"unicode/utf8"
)

// ErrName is returned for a name that is not UTF-8: neither a job nor an object store can
// carry it. The file has to be renamed.
var ErrName = errors.New("walk: the name is not UTF-8")

// An Entry is something below a root that is not a directory.
type Entry struct {
	Path string // below the root, slash-separated
	Size int64  // of a regular file, in bytes; else zero
}

// Files lists everything below root that is not a directory, in lexical order. It follows
// no symbolic link and never leaves root.
//
// An error comes with the path that it is about, and the walk goes on behind it: one
// directory that can't be read doesn't cost the others their backup.
func Files(root string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		dir, err := os.OpenRoot(root)
		if err != nil {
			yield(Entry{Path: "."}, fmt.Errorf("walk: %w", err))
			return
		}
		defer dir.Close()
		visit := func(path string, d fs.DirEntry, err error) error {
			entry, ok, err := look(path, d, err)
			if (ok || err != nil) && !yield(entry, err) {
				return fs.SkipAll
			}
			if errors.Is(err, ErrName) && d != nil && d.IsDir() {
				return fs.SkipDir // package fs could not open anything in it
			}
			return nil
		}
		// visit returns no error but the two that WalkDir keeps to itself.
		_ = fs.WalkDir(dir.FS(), ".", visit)
	}
}

// look turns what WalkDir has found into an entry; ok is false for a directory and for what
// has disappeared since its directory was listed.
func look(path string, d fs.DirEntry, err error) (e Entry, ok bool, _ error) {
	e.Path = path
	switch {
	case !utf8.ValidString(path):
		return e, false, fmt.Errorf("%w: %q: rename it", ErrName, path)
	case errors.Is(err, fs.ErrNotExist):
		return e, false, nil
	case err != nil:
		return e, false, fmt.Errorf("walk: %w", err)
	case d.IsDir():
		return e, false, nil
	case !d.Type().IsRegular():
		return e, true, nil
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("walk: %w", err)
	}
	e.Size = info.Size()
	return e, true, nil
}
