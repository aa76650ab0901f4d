package tally

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/errandq/errand/examples/backup/outcome"
)

// A Summary is the account of a run, for people and programs. Lists are sorted by path.
type Summary struct {
	Run         string  `json:"run"`
	Source      string  `json:"source"`
	Files       int     `json:"files"`
	Bytes       int64   `json:"bytes"`
	Done        int     `json:"done"`      // well: the sum of the next five
	Copied      int     `json:"copied"`    //
	Unchanged   int     `json:"unchanged"` // the store had them already
	Links       int     `json:"links"`
	Special     int     `json:"special"` // sockets, pipes, devices
	Gone        int     `json:"gone"`
	Failed      int     `json:"failed"`
	Retried     int     `json:"retried"`    // attempts that were followed by another
	Unreported  int     `json:"unreported"` // nothing final is known; zero unless the wait was given up
	CopiedBytes int64   `json:"copied_bytes"`
	Seconds     float64 `json:"seconds"`

	Failures []Finding `json:"failures"` // why each failed
	Notes    []Finding `json:"notes"`    // what else is worth knowing: gone, special, links
	Missing  []string  `json:"missing"`  // the unreported
}

// A Finding is what there is to say about one file.
type Finding struct {
	Path     string         `json:"path"`
	Status   outcome.Status `json:"status"`
	Reason   string         `json:"reason"`
	Attempts int            `json:"attempts"`
}

// Summary returns the account of what is known now.
func (t *Tally) Summary(run, source string) Summary {
	snap := t.Snapshot()
	s := Summary{
		Run: run, Source: source,
		Files: snap.Files, Bytes: snap.Bytes, Done: snap.Done, Failed: snap.Failed, Retried: snap.Retried,
		Unreported: snap.Files - snap.Done - snap.Failed, CopiedBytes: snap.Copied, Seconds: snap.Elapsed.Seconds(),
		Failures: []Finding{}, Notes: []Finding{}, Missing: []string{},
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for path, f := range t.files {
		s.add(path, f.last)
	}
	byPath := func(a, b Finding) int { return cmp.Compare(a.Path, b.Path) }
	slices.SortFunc(s.Failures, byPath)
	slices.SortFunc(s.Notes, byPath)
	slices.Sort(s.Missing)
	return s
}

// OK reports whether every file is known to be well.
func (s Summary) OK() bool { return s.Failed == 0 && s.Unreported == 0 }

// Save writes the summary to a file, as indented JSON.
func (s Summary) Save(path string) error {
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	if err := os.WriteFile(path, append(body, '\n'), 0o644); err != nil {
		return fmt.Errorf("tally: save summary: %w", err)
	}
	return nil
}

func (s *Summary) add(path string, r Report) {
	finding := Finding{Path: path, Status: r.Status, Reason: r.Reason, Attempts: r.Attempt}
	switch r.Status {
	case outcome.Copied:
		s.Copied++
		return
	case outcome.Unchanged:
		s.Unchanged++
		return
	case outcome.Failed:
		s.Failures = append(s.Failures, finding)
		return
	case outcome.Linked:
		s.Links++
	case outcome.Skipped:
		s.Special++
	case outcome.Gone:
		s.Gone++
	default:
		s.Missing = append(s.Missing, path)
		return
	}
	s.Notes = append(s.Notes, finding)
}
