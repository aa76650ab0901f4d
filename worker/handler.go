package worker

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/topology"
)

// A Handler runs one job. Middleware sees handlers in this form.
type Handler func(ctx context.Context, j job.Job) error

// Middleware wraps a Handler: it may look at the job, change the context and the error, or
// not call the handler at all.
type Middleware func(Handler) Handler

// An Option says something about one handler.
type Option func(*registration)

// Retry is the policy for this handler's jobs. The default is Config.Retry. Nil panics.
func Retry(p retry.Policy) Option {
	if p == nil {
		panic("worker: Retry: nil policy; to give up at once say retry.Never")
	}
	return func(r *registration) { r.retry = p }
}

// Timeout is how long this handler may run. Zero means Config.Timeout, negative means no
// limit.
func Timeout(d time.Duration) Option {
	return func(r *registration) {
		if d != 0 {
			r.timeout = d
		}
	}
}

// A registration is a kind with its handler.
type registration struct {
	kind    string
	handler Handler
	retry   retry.Policy
	timeout time.Duration // zero or less: none
}

// patience is how long the handler may take when it ignores its timeout.
func (r *registration) patience(grace time.Duration) time.Duration {
	return min(r.timeout, math.MaxInt64-grace) + grace // it must not overflow
}

// Handle says that fn runs the jobs of kind k. The worker consumes the kind's queue, and
// declares it as the kind says. Handle must not be called once Run was; two handlers for one
// kind, and a nil one, panic. fn is called from many goroutines at once.
func Handle[T any](w *Worker, k job.Kind[T], fn func(context.Context, T) error, opts ...Option) {
	if fn == nil {
		panic(fmt.Sprintf("worker: Handle: nil handler for kind %q", k.Name()))
	}
	handler := func(ctx context.Context, j job.Job) error {
		args, err := k.Decode(j)
		if err != nil {
			return &malformedError{err}
		}
		return fn(ctx, args)
	}
	w.handle(k.Name(), k.Queue(), k.QueueOptions(), k.Err(), handler, opts)
}

func (w *Worker) handle(kind, queue string, queueOpts []topology.Option, kindErr error, h Handler, opts []Option) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		panic(fmt.Sprintf("worker: Handle: kind %q comes after Run", kind))
	}
	if kindErr != nil {
		w.errs = append(w.errs, kindErr)
		return
	}
	p := w.pools[queue]
	if p == nil {
		p = newPool(w, queue, queueOpts)
		w.pools[queue] = p
	} else if !p.sameQueue(queueOpts) {
		w.errs = append(w.errs, fmt.Errorf("kind %q: other kinds define its queue %q with other options", kind, queue))
		return
	} else {
		// All together, also when a retry declares them: one kind must not unbind what another wants.
		p.options = slices.Concat(p.options, queueOpts)
	}
	p.topology = topology.Work(w.cfg.Namespace, queue, p.options...)
	if p.kinds[kind] != nil {
		panic(fmt.Sprintf("worker: Handle: two handlers for kind %q on queue %q", kind, queue))
	}
	r := &registration{kind: kind, retry: w.cfg.Retry, timeout: w.cfg.Timeout}
	for _, o := range opts {
		o(r)
	}
	for i := len(w.cfg.Middleware) - 1; i >= 0; i-- {
		h = w.cfg.Middleware[i](h)
	}
	r.handler = h
	p.kinds[kind] = r
}

// jobKey is the context key of the running job.
type jobKey struct{}

// JobFrom returns the job that the handler with this context is running. ok is false outside
// of a handler.
func JobFrom(ctx context.Context) (j job.Job, ok bool) {
	p, ok := ctx.Value(jobKey{}).(*job.Job)
	if !ok {
		return job.Job{}, false
	}
	return *p, true
}
