package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ledger notes which orders' mails a server has accepted: one empty file each, in a directory that the workers share. The IDs are those
// of orders with a stored PDF, hence fit to be file names.
type ledger struct {
	dir string
}

// openLedger returns the ledger below dir, which it makes if need be. Its name begins with a dot to keep out of sight among the PDFs.
func openLedger(dir string) (ledger, error) {
	l := ledger{dir: filepath.Join(dir, ".mailed")}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return ledger{}, fmt.Errorf("ledger: open: %w", err)
	}
	return l, nil
}

// has reports whether the order's mail is noted as sent.
func (l ledger) has(orderID string) (bool, error) {
	_, err := os.Stat(filepath.Join(l.dir, orderID))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ledger: look up order %s: %w", orderID, err)
	}
	return true, nil
}

// add notes that the order's mail is sent.
func (l ledger) add(orderID string) error {
	if err := os.WriteFile(filepath.Join(l.dir, orderID), nil, 0o644); err != nil {
		return fmt.Errorf("ledger: note order %s: %w", orderID, err)
	}
	return nil
}
