package ledger

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const suffix = ".jsonl"

// A Writer writes the events of one process. It is safe for concurrent use.
type Writer struct{ file *os.File }

// Create begins the ledger of a process; name must be new in dir.
func Create(dir, name string) (*Writer, error) {
	path := filepath.Join(dir, name+suffix)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	return &Writer{f}, nil
}

// Write appends e with the present time. When it returns nil, the line is the system's: the
// end of the process does not take it away.
func (w *Writer) Write(e Event) error {
	e.At = time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if _, err := w.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Close ends the ledger.
func (w *Writer) Close() error { return w.file.Close() }
