package tally

import (
	"sync"
	"time"

	"github.com/errandq/errand/examples/backup/outcome"
)

// A Report is what one attempt at one file came to.
type Report struct {
	Path    string
	Status  outcome.Status
	Bytes   int64  // copied to the store
	Attempt int    // from 1
	Reason  string // why it failed, or a note
}

// A Tally counts the reports about one run. It is safe for concurrent use.
type Tally struct {
	mu     sync.Mutex
	start  time.Time
	end    time.Time // zero until all is known
	sealed bool
	files  map[string]*file
	sum    counts
	done   chan struct{}
	heard  chan struct{}
}

type file struct {
	size    int64
	last    Report // the zero Report until a final one arrives
	retries map[int]bool
}

// counts are the sums over all files; they are kept up to date rather than computed, because
// a display asks for them several times a second.
type counts struct {
	files, well, failed, retried int
	bytes, settled, copied       int64
}

// New returns the Tally of a run that starts now.
func New() *Tally {
	return &Tally{
		start: time.Now(),
		files: make(map[string]*file),
		done:  make(chan struct{}),
		heard: make(chan struct{}, 1),
	}
}

// Expect says that path, a file of size bytes, is about to be sent off. It has to be called
// before any report about path can arrive. A path counts once.
func (t *Tally) Expect(path string, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files[path] != nil {
		return
	}
	t.files[path] = &file{size: size}
	t.sum.files++
	t.sum.bytes += size
}

// Seal says that Expect has been called for every file.
func (t *Tally) Seal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sealed = true
	t.checkDone()
}

// Add counts a report and says whether it told anything new. The same report may come twice,
// and an older one behind a newer: a file that is well stays well, because a job can run
// twice and the copy that the first run made is there whatever the second one met.
// A report about a path that nobody expects is ignored.
func (t *Tally) Add(r Report) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.files[r.Path]
	if f == nil || !r.Status.Known() {
		return false
	}
	select {
	case t.heard <- struct{}{}:
	default: // whoever waits has one waiting already
	}
	if !r.Status.Final() {
		return t.retry(f, r.Attempt)
	}
	if f.last.Status.Well() || f.last.Status == r.Status {
		return false
	}
	t.settle(f, r)
	t.checkDone()
	return true
}

// Done is closed when every expected file has a final report and no more are to come.
func (t *Tally) Done() <-chan struct{} { return t.done }

// Heard receives after reports have been added since it last received.
func (t *Tally) Heard() <-chan struct{} { return t.heard }

func (t *Tally) retry(f *file, attempt int) bool {
	if f.retries[attempt] {
		return false
	}
	if f.retries == nil {
		f.retries = make(map[int]bool)
	}
	f.retries[attempt] = true
	t.sum.retried++
	return true
}

func (t *Tally) settle(f *file, r Report) {
	if f.last.Status == outcome.Failed {
		t.sum.failed--
	} else {
		t.sum.settled += f.size
	}
	f.last = r
	t.sum.copied += r.Bytes
	if r.Status.Well() {
		t.sum.well++
	} else {
		t.sum.failed++
	}
}

func (t *Tally) checkDone() {
	if t.sealed && t.end.IsZero() && t.sum.well+t.sum.failed == t.sum.files {
		t.end = time.Now()
		close(t.done)
	}
}
