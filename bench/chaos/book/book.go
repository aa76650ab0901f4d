package book

import (
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/bench/chaos/ledger"
)

// A Book is the account of a run. It is safe for concurrent use.
type Book struct {
	fates map[string]Fate // by kind

	mu      sync.Mutex
	jobs    map[string]*job
	calls   map[string]*call
	watches []*Watch
	gap     gap
	last    time.Time         // of the latest event
	errors  map[string]uint64 // texts of errors, and how often
}

// A job is what is known of one.
type job struct {
	kind                  string
	tried, kept           bool
	unsure, refused       bool
	stuck                 bool
	starts, done, dead    int
	early                 bool
	left, reason, refusal string
}

// New begins an account. A kind that fates does not name is a mistake of whoever sent it.
func New(fates map[string]Fate) *Book {
	return &Book{
		fates:  fates,
		jobs:   map[string]*job{},
		calls:  map[string]*call{},
		errors: map[string]uint64{},
	}
}

// Add enters an event that a child has written.
func (b *Book) Add(child string, e ledger.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Time().After(b.last) && e.What != ledger.Self {
		b.last = e.Time()
	}
	switch e.What {
	case ledger.Self:
	case ledger.Call, ledger.Right, ledger.Wrong, ledger.Error, ledger.Hung, ledger.Answer:
		b.addCall(e)
	default:
		b.addJob(e)
	}
	for _, w := range b.watches {
		w.see(child, &e, b.fates)
	}
}

func (b *Book) addJob(e ledger.Event) {
	j := b.job(e.ID)
	if e.Kind != "" {
		j.kind = e.Kind
	}
	switch e.What {
	case ledger.Try:
		j.tried = true
	case ledger.Kept:
		j.kept = true
	case ledger.Unsure:
		j.unsure = true
		b.errors["enqueue: "+e.Note]++
	case ledger.Refused:
		j.refused, j.refusal = true, e.Note
		b.errors["enqueue: "+e.Note]++
	case ledger.Stuck:
		j.stuck = true
	case ledger.Start:
		j.starts++
		j.early = j.early || e.Early
	case ledger.Done:
		j.done++
		if b.fates[j.kind] == Work {
			b.gap.progress(e.Time())
		}
	}
}

func (b *Book) job(id string) *job {
	j := b.jobs[id]
	if j == nil {
		j = &job{}
		b.jobs[id] = j
	}
	return j
}

// Dead enters a job that was found in a dead-letter queue.
func (b *Book) Dead(id, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	j := b.job(id)
	j.dead++
	j.reason = reason
}

// Left enters a job that was found in another queue at the end.
func (b *Book) Left(id, queue string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.job(id).left = queue
}

// Open is how many jobs were enqueued and not worked so far, of those that are to be.
func (b *Book) Open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, j := range b.jobs {
		if j.kept && j.done == 0 && b.fates[j.kind] == Work {
			n++
		}
	}
	return n
}

// Last is when something has happened last.
func (b *Book) Last() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// Produce begins or ends the time in which jobs come, and progress is expected.
func (b *Book) Produce(now time.Time, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !on {
		b.gap.progress(now)
	}
	b.gap.last, b.gap.on = now, on
}

// A gap is the longest time without progress.
type gap struct {
	on      bool
	last    time.Time
	longest time.Duration
	at      time.Time // when the longest one began
}

func (g *gap) progress(now time.Time) {
	if !g.on || !now.After(g.last) {
		return
	}
	if d := now.Sub(g.last); d > g.longest {
		g.longest, g.at = d, g.last
	}
	g.last = now
}

// lost says what is known of a job that is.
func (j *job) lost(id string) string {
	return fmt.Sprintf("%s (%s, started %d times)", id, j.kind, j.starts)
}
