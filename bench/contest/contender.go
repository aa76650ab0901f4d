package contest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Contender is one way to do the work.
type Contender struct {
	Name   string
	About  string // its settings, in full
	Server string // which of the servers it uses
	Does   []Kind

	// Share is the part of a work's jobs that it gets, for those that take long.
	// Kinds that are not in it get all.
	Share map[Kind]float64

	// Open returns with connections and queues ready.
	Open func(ctx context.Context, url string, w Work) (Client, error)
	// Serve answers calls until ctx ends. It calls ready when it answers. Nil where the
	// contender makes none.
	Serve func(ctx context.Context, url string, w Work, ready func()) error
}

func (c Contender) does(w Work) bool { return slices.Contains(c.Does, w.Kind) }

// A Client is what Open returns. Beside Close it has the methods of those of the interfaces
// below that its kinds of work need. They may be called from many goroutines at once.
type Client interface {
	Close() error
}

// An Enqueuer does Enqueue, Waiting and Paced.
type Enqueuer interface {
	// Enqueue returns when the job is confirmed.
	Enqueue(ctx context.Context, a Args) error
}

// A Batcher does Batch and Through.
type Batcher interface {
	// EnqueueMany enqueues n jobs the quickest way, and returns when all are confirmed.
	EnqueueMany(ctx context.Context, n int, next func() Args) error
}

// A Worker does Consume, Through, Waiting, Paced and Delayed.
type Worker interface {
	// Work calls handle for each job, with its arguments decoded, until ctx ends. It returns
	// when all of the jobs that were handled are acked.
	Work(ctx context.Context, handle func(Args)) error
}

// A Delayer does Delayed.
type Delayer interface {
	// EnqueueIn enqueues a job that is due after d, and returns when it is confirmed.
	EnqueueIn(ctx context.Context, a Args, d time.Duration) error
}

// A Caller does Calls and Direct.
type Caller interface {
	// Call returns the response, which is what was sent.
	Call(ctx context.Context, a Args) (Args, error)
}

// as returns the client as what a kind of work needs.
func as[T any](c Client) (T, error) {
	t, ok := c.(T)
	if !ok {
		return t, fmt.Errorf("%T is no %T", c, &t)
	}
	return t, nil
}

// ErrMissing says that a server is not installed. Contenders that need it are left out.
var ErrMissing = errors.New("not installed")

// A Server is what jobs wait in.
type Server interface {
	// Version names it, with version and settings.
	Version() string
	// PID is that of its process, as this machine sees it, or 0.
	PID() int
	// Space makes an empty space for one sample, and returns its URL and what removes it.
	Space(ctx context.Context) (url string, remove func(context.Context) error, err error)
	Stop() error
}
