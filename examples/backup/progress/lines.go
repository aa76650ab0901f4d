package progress

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/errandq/errand/examples/backup/tally"
)

// Lines writes a line for each snapshot that differs from the one before.
type Lines struct {
	Out      io.Writer
	Snapshot func() tally.Snapshot
	Every    time.Duration // at most one line in this time; zero means a second

	mu   sync.Mutex // of Out
	last tally.Snapshot
}

// Write implements [io.Writer].
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Out.Write(p)
}

// Run implements [Display].
func (l *Lines) Run(ctx context.Context) {
	every := l.Every
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.show()
		case <-ctx.Done():
			l.show()
			return
		}
	}
}

func (l *Lines) show() {
	now := l.Snapshot()
	was := l.last
	was.Elapsed = now.Elapsed // time alone is no news
	if now == was {
		return
	}
	l.last = now
	// A display that can't be written to must not stop the backup.
	_, _ = io.WriteString(l, Line(now)+"\n")
}

// Line renders a snapshot as one line of text without a line feed.
func Line(s tally.Snapshot) string {
	return fmt.Sprintf("%d of %d files done, %d failed, %d retried, %s of %s, %s, ETA %s",
		s.Done, s.Files, s.Failed, s.Retried, size(s.Settled), size(s.Bytes), rate(s), eta(s))
}
