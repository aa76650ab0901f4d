package invoice

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/moby/sys/atomicwriter"
)

// Store keeps PDFs as files named after their orders, in one directory. Several processes may share the directory, and two may store the
// same order at once: the last one wins, and readers see one of the two whole.
type Store struct {
	dir string
}

// OpenStore returns the store in dir, which it makes if need be.
func OpenStore(dir string) (Store, error) {
	if dir == "" {
		return Store{}, fmt.Errorf("invoice: open store: the directory's name is empty")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Store{}, fmt.Errorf("invoice: open store: %w", err)
	}
	return Store{dir: dir}, nil
}

// Put stores the PDF of an order and returns its path. When Put returns nil the file is on disk under its name; when it returns an error,
// or the process dies in it, the name holds what it held before. A process killed half way leaves a ".tmp-" file, which no reader looks at.
// An ID that Validate refuses is refused here too (ErrInvalid), so that no ID can name a file outside of the directory.
func (s Store) Put(orderID string, pdf []byte) (path string, err error) {
	path, err = s.Path(orderID)
	if err != nil {
		return "", err
	}
	if err := atomicwriter.WriteFile(path, pdf, 0o644); err != nil {
		return "", fmt.Errorf("invoice: store order %s: %w", orderID, err)
	}
	if err := syncDir(s.dir); err != nil {
		return "", fmt.Errorf("invoice: store order %s: %w", orderID, err)
	}
	return path, nil
}

// Path returns where the PDF of an order is or will be. It returns ErrInvalid for an ID that cannot name a file.
func (s Store) Path(orderID string) (string, error) {
	if err := checkID(orderID); err != nil {
		return "", &InvalidError{OrderID: orderID, Problems: []string{err.Error()}}
	}
	return filepath.Join(s.dir, orderID+".pdf"), nil
}

// syncDir makes a rename in dir survive a power cut: the file's own sync does not cover its name. Windows cannot sync a directory and
// does not need it.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
