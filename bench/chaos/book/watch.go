package book

import (
	"slices"
	"time"

	"github.com/errandq/errand/bench/chaos/ledger"
)

// A Subject is what a fault has hit: a child by its name, or "kind " and a kind of jobs.
type Subject string

// OfKind is the subject that works again when a job of the kind is started.
func OfKind(kind string) Subject { return Subject("kind " + kind) }

// A Watch waits until everything that a fault has hit works again. A subject works again
// when it handles a job or a call that was made after the fault.
type Watch struct {
	Fault string
	Since time.Time
	Mixed bool // other faults happened meanwhile

	missing []Subject
	took    time.Duration
	done    chan struct{}
}

// Done is closed when everything works again.
func (w *Watch) Done() <-chan struct{} { return w.done }

// Watch begins to wait. No name of a fault means the beginning. Mixed says that the fault is not alone.
func (b *Book) Watch(fault string, mixed bool, since time.Time, subjects ...Subject) *Watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &Watch{Fault: fault, Since: since, Mixed: mixed, missing: subjects, done: make(chan struct{})}
	if len(subjects) == 0 {
		close(w.done)
	}
	b.watches = append(b.watches, w)
	return w
}

// Missing are the faults after which something does not work yet, and what.
func (b *Book) Missing() (texts []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.watches {
		for _, s := range w.missing {
			texts = append(texts, w.Fault+": "+string(s))
		}
	}
	return texts
}

// see looks whether an event is the one that was waited for.
func (w *Watch) see(child string, e *ledger.Event, fates map[string]Fate) {
	if len(w.missing) == 0 || !shows(e) || e.Sent <= w.Since.UnixNano() {
		return
	}
	w.missing = slices.DeleteFunc(w.missing, func(s Subject) bool {
		if e.What == ledger.Start && s == OfKind(e.Kind) {
			return true
		}
		// A queue of its own says nothing of the others.
		return s == Subject(child) && (e.What != ledger.Start || fates[e.Kind] == Work)
	})
	if len(w.missing) == 0 {
		w.took = e.Time().Sub(w.Since)
		close(w.done)
	}
}

// shows reports whether an event shows that its child works.
func shows(e *ledger.Event) bool {
	switch e.What {
	case ledger.Kept, ledger.Start, ledger.Right, ledger.Answer:
		return true
	}
	return false
}
