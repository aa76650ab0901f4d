package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/errandq/errand/examples/video/studio"
)

// A board has the announcements of videos that are ready. It is safe for concurrent use.
type board struct {
	want int
	full chan struct{} // closed when want videos are announced

	mu   sync.Mutex
	jobs map[studio.Video][]string // that have announced it: one, by its ID, as often as it ran
}

func newBoard(want int) *board {
	return &board{want: want, full: make(chan struct{}), jobs: map[studio.Video][]string{}}
}

func (b *board) announce(v studio.Video, jobID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	again := len(b.jobs[v]) > 0
	b.jobs[v] = append(b.jobs[v], jobID)
	if !again && len(b.jobs) == b.want {
		close(b.full)
	}
}

// await returns when all videos are announced.
func (b *board) await(ctx context.Context) error {
	select {
	case <-b.full:
		return nil
	case <-ctx.Done():
		b.mu.Lock()
		defer b.mu.Unlock()
		return fmt.Errorf("%d of %d videos are ready: %w", len(b.jobs), b.want, context.Cause(ctx))
	}
}

// of returns how often a video was announced, and by how many different jobs.
func (b *board) of(v studio.Video) (times, jobs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := slices.Sorted(slices.Values(b.jobs[v]))
	return len(ids), len(slices.Compact(slices.Clone(ids)))
}
