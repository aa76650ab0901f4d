package crew

import "sync"

// A Crew works tasks of type T. Make it with [New]. Its methods are safe for concurrent use.
type Crew[T any] struct {
	work       func(T)
	goroutines sync.WaitGroup

	mu     sync.Mutex
	ready  []T // from head on: tasks that nobody works yet, oldest first
	head   int
	more   sync.Cond // ready or ended changed
	parked int       // goroutines that wait for more
	waking bool      // one was woken, or started, and has not looked for a task yet
	ended  bool
}

// New makes a Crew whose tasks are worked by work. That may end its goroutine, as t.FailNow in
// a test does.
func New[T any](work func(T)) *Crew[T] {
	c := &Crew[T]{work: work}
	c.more.L = &c.mu
	return c
}

// Add has t worked soon, after those that were added before have begun.
func (c *Crew[T]) Add(t T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = append(c.ready, t)
	c.wake()
}

// End lets the goroutines end as soon as there is nothing for them to do. Nothing may be added
// any more.
func (c *Crew[T]) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.more.Broadcast()
}

// Wait waits for all goroutines, after End.
func (c *Crew[T]) Wait() { c.goroutines.Wait() }

// wake has a goroutine look for what is ready, unless one is about to. That one wakes the next
// if there is more, so each task has its goroutine soon even if all of them take long. The
// caller holds mu.
func (c *Crew[T]) wake() {
	if c.waking || c.head == len(c.ready) {
		return
	}
	c.waking = true
	if c.parked > 0 {
		c.more.Signal()
	} else {
		c.goroutines.Go(c.run)
	}
}

// run works what comes until the end.
func (c *Crew[T]) run() {
	for woken := true; ; woken = false {
		t, ok := c.next(woken)
		if !ok {
			return
		}
		c.work(t)
	}
}

// next waits for a task. woken says that wake has started the caller.
func (c *Crew[T]) next(woken bool) (t T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if woken {
			c.waking = false
		}
		if c.head < len(c.ready) {
			t = c.take()
			c.wake()
			return t, true
		}
		if c.ended {
			return t, false
		}
		c.parked++
		c.more.Wait()
		c.parked--
		woken = true
	}
}

// take takes the oldest task out of ready. The caller holds mu.
func (c *Crew[T]) take() T {
	t := c.ready[c.head]
	if c.head++; 2*c.head >= len(c.ready) {
		left := copy(c.ready, c.ready[c.head:])
		clear(c.ready[left:])
		c.ready, c.head = c.ready[:left], 0
	}
	return t
}
