package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A link keeps one AMQP connection up: it owns the current generation and makes the next.
// A Conn has two, because RabbitMQ under a memory alarm stops reading from every connection
// that publishes, and acks must not wait behind that.
type link struct {
	role      string // publish or consume: how the connection is named
	cfg       Config
	endpoints []endpoint
	log       *slog.Logger
	// prepare is called with each new generation before anybody else gets it.
	prepare func(*generation) error

	// beside is the other link of the Conn, whose endpoint is the one to try first.
	beside *link

	mu      sync.Mutex
	at      int           // the endpoint of the last generation, or -1
	current *generation   // nil while there is none
	changed chan struct{} // closed and replaced when current changes
	status  LinkStatus
	closed  bool
}

func newLink(role string, cfg Config, endpoints []endpoint, prepare func(*generation) error) *link {
	return &link{
		role:      role,
		cfg:       cfg,
		endpoints: endpoints,
		log:       cfg.Logger.With("connection", role),
		prepare:   prepare,
		changed:   make(chan struct{}),
		at:        -1,
		status:    LinkStatus{State: Connecting, Since: time.Now()},
	}
}

// run keeps the link up until ctx ends. first is an open generation to begin with, or nil.
func (l *link) run(ctx context.Context, first *generation) {
	defer l.set(nil, nil, true)
	g := first
	for number := uint64(1); ; number++ {
		if g == nil {
			var err error
			if g, err = l.connect(ctx, number); err != nil {
				return // only because ctx is over
			}
		}
		if err := l.prepareWithin(ctx, g); err != nil {
			l.log.Warn("declaring again after reconnect failed", "err", err)
		}
		l.set(g, nil, false)
		err := g.serve(ctx, func(b amqp.Blocking) { l.setBlocked(g, b) })
		l.set(nil, err, false)
		if ctx.Err() != nil {
			return
		}
		l.log.Warn("connection lost", "endpoint", g.endpoint.String(), "err", err)
		g = nil
	}
}

// prepareTimeout is how long declaring again may take. A node that is cut off from the others
// takes a declaration and does not answer; another one may.
const prepareTimeout = 10 * time.Second

// prepareWithin prepares g, or ends its socket if that takes too long, or if ctx ends.
func (l *link) prepareWithin(ctx context.Context, g *generation) error {
	ctx, cancel := context.WithTimeoutCause(ctx, prepareTimeout, fmt.Errorf("not done within %v", prepareTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { g.socket.fail(context.Cause(ctx)) }) // serve is not there yet
	defer stop()
	return l.prepare(g)
}

// reconnectPolicy is how long to wait between rounds of the endpoints. It never gives up;
// the caller's context does.
func reconnectPolicy() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMultiplier(1.7),
		backoff.WithRandomizationFactor(0.3),
		backoff.WithMaxInterval(5*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
}

// connect tries all endpoints, round after round, until one answers or ctx ends.
func (l *link) connect(ctx context.Context, number uint64) (*generation, error) {
	wait := reconnectPolicy()
	for {
		g, err := l.tryAll(ctx, number)
		if err == nil {
			return g, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		delay := wait.NextBackOff()
		l.mu.Lock()
		l.status.Err = err
		l.mu.Unlock()
		l.log.Warn("no connection", "err", err, "delay", delay)
		if !sleep(ctx, delay) {
			return nil, ctx.Err()
		}
	}
}

// tryAll tries each endpoint once. The error joins one [*DialError] an endpoint.
func (l *link) tryAll(ctx context.Context, number uint64) (*generation, error) {
	var errs []error
	for _, i := range l.order() {
		e := l.endpoints[i]
		conn, s, err := e.open(ctx, l.cfg, l.role)
		if err == nil {
			l.mu.Lock()
			l.at = i
			l.mu.Unlock()
			l.log.Info("connected", "endpoint", e.String(), "version", conn.Properties["version"])
			return newGeneration(number, e, conn, s), nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// order is that in which to try the endpoints: any, so that many clients of a cluster spread
// over its nodes, but that of the other link first, because a node knows at once what was
// declared there and others learn of it later. The one whose connection has just ended comes
// last: its node may take connections and be cut off from the others, or swallow what it is
// sent.
func (l *link) order() []int {
	order := rand.Perm(len(l.endpoints))
	if i := l.beside.where(); i >= 0 {
		order = slices.Insert(without(order, i), 0, i)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at >= 0 {
		order = append(without(order, l.at), l.at)
	}
	return order
}

func without(order []int, i int) []int {
	return slices.DeleteFunc(order, func(j int) bool { return j == i })
}

// where is the endpoint that l is connected to, or -1.
func (l *link) where() int {
	if l == nil {
		return -1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil {
		return -1
	}
	return l.at
}

// wait returns the current generation, as soon as there is one.
func (l *link) wait(ctx context.Context) (*generation, error) {
	for {
		l.mu.Lock()
		g, changed, closed, last := l.current, l.changed, l.closed, l.status.Err
		l.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		if g != nil {
			return g, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if last != nil {
				return nil, fmt.Errorf("%w: %w (last error: %v)", ErrNotConnected, context.Cause(ctx), last)
			}
			return nil, fmt.Errorf("%w: %w", ErrNotConnected, context.Cause(ctx))
		}
	}
}

func (l *link) set(g *generation, err error, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current, l.closed = g, closed
	close(l.changed)
	l.changed = make(chan struct{})
	s := LinkStatus{State: Connecting, Since: time.Now(), Generation: l.status.Generation, Err: err}
	switch {
	case closed:
		s.State = Closed
	case g != nil:
		s.State, s.Generation = Connected, g.number
		s.Endpoint, s.Version = g.endpoint.String(), g.version()
	}
	l.status = s
}

func (l *link) setBlocked(g *generation, b amqp.Blocking) {
	if b.Active {
		l.log.Warn("blocked by the server", "reason", b.Reason)
	} else {
		l.log.Info("unblocked by the server")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == g {
		l.status.Blocked = ""
		if b.Active {
			l.status.Blocked = b.Reason
		}
	}
}

// sleep waits for d, or returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
