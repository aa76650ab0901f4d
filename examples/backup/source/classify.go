package source

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/errandq/errand/retry"
)

// Conditions of a path below a root.
var (
	// ErrGone is returned for a file that is not there, or no longer there.
	ErrGone = errors.New("source: file is gone")
	// ErrEscapes is returned for a path or a link that leads out of its root. It is permanent.
	ErrEscapes = errors.New("source: leads out of its root")
)

// classify says of an error about name what can be done about it.
func classify(name string, err error) error {
	switch {
	case escapes(err):
		return retry.Permanent(fmt.Errorf("%w: %s: %w", ErrEscapes, name, err))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR): // ENOTDIR: its directory is a file by now
		return fmt.Errorf("%w: %w", ErrGone, err)
	case errors.Is(err, fs.ErrPermission):
		return retry.Permanent(fmt.Errorf("source: %w: give the worker's user the right to read it", err))
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENAMETOOLONG):
		return retry.Permanent(fmt.Errorf("source: %w: no file can have this name", err))
	}
	return fmt.Errorf("source: %w", err)
}

// escapes reports whether err is os.Root's refusal to leave the root. The os package does
// not export that error; what the system itself reports always has an errno in it.
func escapes(err error) bool {
	if err == nil {
		return false
	}
	_, fromSystem := errors.AsType[syscall.Errno](err)
	return !fromSystem
}
