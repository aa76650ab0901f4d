package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/errandq/errand/examples/backup/source"
)

// abandoned is how long nobody has written to a temporary file that nobody will finish.
const abandoned = 24 * time.Hour

// Prepare makes dir if it is not there, removes what killed workers left half done in it,
// and returns the directory for temporary files, which the program has to make os.TempDir
// return (on Unix by $TMPDIR).
//
// It returns an error if dir is one of the roots or lies in one: each run would back up the
// one before.
func Prepare(dir string, roots source.Roots) (tmp string, err error) {
	if err := outside(dir, roots); err != nil {
		return "", err
	}
	tmp = filepath.Join(dir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return "", fmt.Errorf("directory: store: %w", err)
	}
	// Once more, now that it is there and links in its path can be followed.
	resolved, err := source.Root(dir)
	if err != nil {
		return "", err
	}
	if err := outside(resolved, roots); err != nil {
		return "", err
	}
	return tmp, sweep(tmp, time.Now().Add(-abandoned))
}

func outside(dir string, roots source.Roots) error {
	for _, root := range roots {
		if rel, err := filepath.Rel(root, dir); err == nil && filepath.IsLocal(rel) {
			return fmt.Errorf("directory: the store %s lies in the source %s, so every run would back up the one before: put it elsewhere", dir, root)
		}
	}
	return nil
}

// sweep removes the files in dir that were last written to before limit.
func sweep(dir string, limit time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("directory: sweep: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !info.ModTime().Before(limit) {
			continue // another worker has just finished it, or still writes to it
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("directory: sweep: %w", err)
		}
	}
	return nil
}
