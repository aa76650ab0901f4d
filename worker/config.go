package worker

import (
	"log/slog"
	"time"

	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
)

// Defaults of [Config].
const (
	DefaultConcurrency = 10
	DefaultTimeout     = 15 * time.Minute
	DefaultGrace       = 30 * time.Second
)

// Config changes what a Worker does. The zero value works.
type Config struct {
	// Concurrency is how many jobs of each queue run at once. Zero means 10.
	Concurrency int
	// Prefetch is how many jobs of each queue the worker holds at once, running and waiting.
	// More than Concurrency keeps the handlers busy while the next jobs are on their way, which
	// pays for jobs of less than a few milliseconds; the jobs that wait here can't run
	// elsewhere. Zero means Concurrency, which less is raised to.
	Prefetch int
	// Queues overrides Concurrency and Prefetch for single queues, by name.
	Queues map[string]Queue

	// Retry is the policy for handlers that name none. Nil means retry.Exponential{}: 11
	// attempts in about 20 minutes.
	Retry retry.Policy
	// Timeout is how long a handler that names none may run. Zero means 15 minutes, half of
	// what RabbitMQ allows by default; negative means no limit.
	Timeout time.Duration
	// Grace is how long Run takes at most to return after its context has ended. Handlers that
	// still run shortly before its end have their context cancelled with [ErrShutdown], and
	// their jobs go back to the queue. It is also how long a handler may ignore its
	// timeout before it counts as abandoned. Zero means 30 seconds.
	Grace time.Duration

	// Middleware wraps every handler, the first one outermost.
	Middleware []Middleware
	// Namespace is the prefix of errand's own exchanges and queues; producers and workers of
	// one application share it. Empty means "errand".
	Namespace topology.Namespace
	// Logger gets a line for each job that fails, and at level debug for each job. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// Queue is what [Config] says of one queue. Zero fields mean those of Config.
type Queue struct {
	Concurrency int
	Prefetch    int
}

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Retry == nil {
		c.Retry = retry.Exponential{}
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// limits are those of one queue.
func (c Config) limits(queue string) Queue {
	q := c.Queues[queue]
	if q.Concurrency <= 0 {
		q.Concurrency = c.Concurrency
	}
	if q.Prefetch <= 0 {
		q.Prefetch = c.Prefetch
	}
	q.Prefetch = max(q.Prefetch, q.Concurrency)
	return q
}

// cutOff is how long before the end of Grace running handlers are cut off, so that their
// jobs can still be given back.
func (c Config) cutOff() time.Duration { return min(c.Grace/10, time.Second) }
