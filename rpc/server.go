package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// Defaults of [ServerConfig].
const (
	DefaultConcurrency = 32
	DefaultGrace       = 30 * time.Second
)

// ServerConfig changes what a Server does. The zero value works.
type ServerConfig struct {
	// Concurrency is how many requests of each queue run at once. Zero means 32.
	Concurrency int
	// Prefetch is how many requests of each queue the server holds at once, running and
	// waiting. The others stay on the queue, for other servers or until they expire. Zero means
	// Concurrency, which less is raised to.
	Prefetch int
	// Grace is how long Run takes at most to return after its context has ended. Handlers that
	// still run shortly before its end have their context cancelled with [ErrShutdown]. Zero
	// means 30 seconds.
	Grace time.Duration
	// Middleware wraps every handler, the first one outermost.
	Middleware []Middleware
	// Logger gets a line for each request that fails for a reason its caller is not told. Nil
	// means slog.Default().
	Logger *slog.Logger
}

func (c ServerConfig) withDefaults() ServerConfig {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	c.Prefetch = max(c.Prefetch, c.Concurrency)
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// cutOff is how long before the end of Grace running handlers are cut off, so that their
// callers can still be told.
func (c ServerConfig) cutOff() time.Duration { return min(c.Grace/10, time.Second) }

// A Server answers calls. Make it with [NewServer], give it handlers with [Handle] and
// [HandleStream], and call [Server.Run] once. Servers of one method share its requests:
// start as many as the load needs.
type Server struct {
	broker  broker.Converser
	cfg     ServerConfig
	stats   serverCounters
	control atomic.Pointer[string] // the queue where callers tell of running calls

	mu      sync.Mutex
	begun   bool
	pools   map[string]*pool // by queue
	methods map[string]bool
	errs    []error             // of methods
	running map[string]*running // by correlation ID
}

// NewServer makes a Server. The broker is its owner's to close, after Run has returned. A nil
// broker panics.
func NewServer(b broker.Converser, cfg ServerConfig) *Server {
	if b == nil {
		panic("rpc: NewServer: nil broker")
	}
	return &Server{
		broker:  b,
		cfg:     cfg.withDefaults(),
		pools:   map[string]*pool{},
		methods: map[string]bool{},
		running: map[string]*running{},
	}
}

// handle registers h for a method.
func (s *Server) handle(d *definition, h Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		panic(fmt.Sprintf("rpc: Handle: method %q comes after Run", d.name))
	}
	if d.err != nil {
		s.errs = append(s.errs, d.err)
		return
	}
	if s.methods[d.name] {
		panic(fmt.Sprintf("rpc: Handle: two handlers for method %q", d.name))
	}
	s.methods[d.name] = true
	p := s.pools[d.queue]
	if p == nil {
		p = newPool(s, d.queue, d.queueOptions)
		s.pools[d.queue] = p
	} else if topology.IsExisting(p.options...) != topology.IsExisting(d.queueOptions...) {
		s.errs = append(s.errs, fmt.Errorf("%w: method %q: other methods define its queue %q with other options", ErrInvalid, d.name, d.queue))
		return
	}
	p.methods[d.name] = &method{d, chain(s.cfg.Middleware, h)}
}

// Run answers calls until ctx ends, and then shuts down: no new requests are taken, those
// that were are answered. It returns nil when that is done, at the latest after
// ServerConfig.Grace. Values of ctx reach the handlers; its end does not.
//
// Run returns an error if there is no handler or a method is invalid, if a queue can't be
// declared or consumed at the start, if the broker was closed, and if handlers were left
// running at the end because they ignore their contexts. Everything else that goes wrong
// with the broker later is waited out. Run must not be called twice.
func (s *Server) Run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	soft, stop := context.WithCancel(ctx)
	defer stop()
	hard, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)

	hangUp, err := s.listen(hard, soft)
	if err != nil {
		return err
	}
	defer hangUp()
	errs := make(chan error, len(s.pools))
	for _, p := range s.pools {
		// If one queue can't be served, the others shut down in order.
		go func() { errs <- p.run(hard, soft.Done(), stop) }()
	}
	all := make([]error, 0, len(s.pools))
	var grace <-chan time.Time
	done := soft.Done()
	for len(all) < len(s.pools) {
		select {
		case err := <-errs:
			all = append(all, err)
		case <-done:
			done = nil
			timer := time.NewTimer(s.cfg.Grace - s.cfg.cutOff())
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			cut(ErrShutdown)
		}
	}
	return errors.Join(all...)
}

// Queues are the queues that s has handlers for, sorted.
func (s *Server) Queues() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.pools))
}

func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return errors.New("rpc: Run was called twice")
	}
	if err := errors.Join(s.errs...); err != nil {
		return err
	}
	if len(s.pools) == 0 {
		return errors.New("rpc: no handler: call rpc.Handle before Run")
	}
	s.begun = true
	return nil
}

// ServerStats are counters of a Server, since it was made.
type ServerStats struct {
	Running     int    // requests that are being run now
	Answered    uint64 // requests whose handler returned no error
	Failed      uint64 // those with an error for their caller
	Panicked    uint64 // of those that failed
	Cancelled   uint64 // those whose caller gave up while they ran
	Expired     uint64 // those that came when their caller had given up, and were not run
	Interrupted uint64 // those not run, because another server may have run them before it died
	Refused     uint64 // those not run, because their reply_to is missing or no reply queue
	Lost        uint64 // those whose connection died while they ran
	Unroutable  uint64 // replies whose caller was gone
}

type serverCounters struct {
	running                                         atomic.Int64
	answered, failed, panicked, cancelled           atomic.Uint64
	expired, interrupted, refused, lost, unroutable atomic.Uint64
}

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	c := &s.stats
	return ServerStats{
		Running:     int(c.running.Load()),
		Answered:    c.answered.Load(),
		Failed:      c.failed.Load(),
		Panicked:    c.panicked.Load(),
		Cancelled:   c.cancelled.Load(),
		Expired:     c.expired.Load(),
		Interrupted: c.interrupted.Load(),
		Refused:     c.refused.Load(),
		Lost:        c.lost.Load(),
		Unroutable:  c.unroutable.Load(),
	}
}
