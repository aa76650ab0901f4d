package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/job"
)

// A jobContext is the context of a handler that has a timeout. It starts the timer when it is
// first asked for anything but the job: many handlers never ask, and starting and stopping one
// would be a good part of what the worker does for a quick job.
type jobContext struct {
	parent   context.Context
	deadline time.Time // however late somebody asks
	job      *job.Job

	mu     sync.Mutex
	timed  context.Context // nil until somebody asks
	cancel context.CancelFunc
	over   bool
}

// start returns the context that has the timer.
func (c *jobContext) start() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadlineCause(c.parent, c.deadline, ErrTimeout)
		if c.over {
			c.cancel()
		}
	}
	return c.timed
}

// end cancels the context, because the handler has returned.
func (c *jobContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline implements [context.Context].
func (c *jobContext) Deadline() (time.Time, bool) { return c.start().Deadline() }

// Done implements [context.Context].
func (c *jobContext) Done() <-chan struct{} { return c.start().Done() }

// Err implements [context.Context].
func (c *jobContext) Err() error { return c.start().Err() }

// Value implements [context.Context].
func (c *jobContext) Value(key any) any {
	if key == (jobKey{}) {
		return c.job
	}
	return c.start().Value(key) // package context finds the cause by a key of its own
}

// String implements [fmt.Stringer]: whoever prints a context must not read its fields.
func (c *jobContext) String() string { return fmt.Sprint(c.start()) }
