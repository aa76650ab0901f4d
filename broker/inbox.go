package broker

import "sync"

// An inbox has what came in and was not looked at yet. It is never full: what it holds is
// bounded by the prefetch, or by what others do with it.
type inbox[T any] struct {
	ready chan struct{} // has room for one; gets a value when there is something

	mu   sync.Mutex
	list []T
}

func newInbox[T any]() *inbox[T] { return &inbox[T]{ready: make(chan struct{}, 1)} }

// put adds v, and never waits.
func (in *inbox[T]) put(v T) {
	in.mu.Lock()
	in.list = append(in.list, v)
	in.mu.Unlock()
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// take returns all that is there, oldest first. It uses the room of spare, whose contents are
// forgotten, for what comes next.
func (in *inbox[T]) take(spare []T) []T {
	clear(spare)
	in.mu.Lock()
	defer in.mu.Unlock()
	list := in.list
	in.list = spare[:0]
	return list
}
