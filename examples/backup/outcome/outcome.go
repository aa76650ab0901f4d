// Package outcome names what can become of a file that is to be backed up.
//
// Every job of the backup ends in exactly one of the final statuses, whatever happened on
// the way; [Retrying] is the only one that is not final.
package outcome

// A Status says what became of a file. Its text goes over the wire and into summaries.
type Status string

// The final statuses that are well, the one that is not, and the one that is not final.
const (
	Copied    Status = "copied"    // written to the store and read back
	Unchanged Status = "unchanged" // the store has it already
	Linked    Status = "linked"    // a symbolic link: its target's name is recorded
	Skipped   Status = "skipped"   // a socket, pipe or device: has no bytes of its own
	Gone      Status = "gone"      // deleted since the walk: nothing to back up
	Failed    Status = "failed"    // not backed up; no further attempt follows
	Retrying  Status = "retrying"  // not backed up; another attempt follows
)

// Final reports whether s is the last word about a file.
func (s Status) Final() bool { return s.Known() && s != Retrying }

// Well reports whether the file needs nobody's attention.
func (s Status) Well() bool { return s.Final() && s != Failed }

// Known reports whether s is one of the statuses of this package.
func (s Status) Known() bool {
	switch s {
	case Copied, Unchanged, Linked, Skipped, Gone, Failed, Retrying:
		return true
	}
	return false
}

// A Result is what one attempt that went well has done.
type Result struct {
	Status Status
	Bytes  int64  // written to the store; zero unless Copied
	Note   string // what a reader of the summary should know; mostly empty
}
