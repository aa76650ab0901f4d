// Package summary lets the example's commands leave a machine-readable account of what they did.
package summary

import (
	"encoding/json"
	"fmt"

	"github.com/moby/sys/atomicwriter"
)

// Write puts v, as one line of JSON, into the file at path: whole or not at all. An empty path means that nobody asked for a summary;
// it does nothing then.
func Write(path string, v any) error {
	if path == "" {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("summary: encode: %w", err)
	}
	if err := atomicwriter.WriteFile(path, append(line, '\n'), 0o644); err != nil {
		return fmt.Errorf("summary: write %s: %w", path, err)
	}
	return nil
}
