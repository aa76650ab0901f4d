package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/errandq/errand/retry"
)

// ErrRefused is returned for a root that this worker was not told to read. It is permanent.
var ErrRefused = errors.New("source: root refused")

// Roots are the directories whose files may be read: absolute, clean paths.
// The zero value refuses everything. It is safe for concurrent use.
type Roots []string

// Root returns the form of dir that jobs carry and that [Roots.Open] compares: absolute and
// clean, links in it resolved. It returns an error if dir is not a directory.
func Root(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("source: %w", err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", fmt.Errorf("source: %w", err)
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("source: %w", err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("source: %s is not a directory: name the directory that holds it", abs)
	}
	return abs, nil
}

// Open opens path, which is slash-separated and relative to dir, one of the roots.
// The caller closes the item.
//
// It returns [ErrRefused], [ErrEscapes] or [ErrGone], wrapped, or an error of the system.
// A root that is not there is not ErrGone but worth another attempt: it may not be mounted.
func (r Roots) Open(dir, path string) (*Item, error) {
	if !slices.Contains(r, dir) {
		return nil, retry.Permanent(fmt.Errorf("%w: %q is not one of %q: start the worker with -source", ErrRefused, dir, []string(r)))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("source: open root: %w", err)
	}
	defer root.Close() // an open item does not need it
	return open(root, path)
}
