package tally

import "time"

// A Snapshot is what is known at one moment.
type Snapshot struct {
	Files   int // expected so far
	Done    int // that are well
	Failed  int // that are not, for good
	Retried int // attempts that failed and were followed by another

	Bytes   int64 // of all files expected so far
	Settled int64 // of those that are done or failed
	Copied  int64 // that went to the store

	Elapsed time.Duration // since the run began; it stops when all is known
}

// Snapshot returns what is known now.
func (t *Tally) Snapshot() Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.end
	if end.IsZero() {
		end = time.Now()
	}
	return Snapshot{
		Files: t.sum.files, Done: t.sum.well, Failed: t.sum.failed, Retried: t.sum.retried,
		Bytes: t.sum.bytes, Settled: t.sum.settled, Copied: t.sum.copied,
		Elapsed: end.Sub(t.start),
	}
}

// Rate is how many bytes a second go to the store.
func (s Snapshot) Rate() float64 {
	if s.Elapsed <= 0 {
		return 0
	}
	return float64(s.Copied) / s.Elapsed.Seconds()
}

// Left is how long the files that are not settled will take if they take as long as those
// that are. It is negative if nothing can be said yet.
func (s Snapshot) Left() time.Duration {
	switch {
	case s.Done+s.Failed == s.Files:
		return 0
	case s.Settled == 0:
		return -1
	}
	return time.Duration(float64(s.Elapsed) * float64(s.Bytes-s.Settled) / float64(s.Settled))
}
