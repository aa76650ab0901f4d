package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// A method is a definition with its handler.
type method struct {
	*definition
	handler Handler
}

// A pool serves one queue.
type pool struct {
	server  *Server
	queue   string
	options []topology.Option
	methods map[string]*method
	slots   chan struct{} // a goroutine for handlers holds one, as long as it lives
	work    chan work     // to those goroutines; has no room
	over    chan struct{} // closed when there is no more work
	workers sync.WaitGroup
	active  atomic.Int64  // handlers that run
	idle    chan struct{} // gets a value when active falls
	log     *slog.Logger
}

func newPool(s *Server, queue string, options []topology.Option) *pool {
	return &pool{
		server:  s,
		queue:   queue,
		options: options,
		methods: map[string]*method{},
		slots:   make(chan struct{}, s.cfg.Concurrency),
		work:    make(chan work),
		over:    make(chan struct{}),
		idle:    make(chan struct{}, 1),
		log:     s.cfg.Logger.With("queue", queue),
	}
}

// run serves the queue until drain is closed and every request is answered. ctx is what the
// handlers' contexts come from. If the queue can't be served, run calls fail.
func (p *pool) run(ctx context.Context, drain <-chan struct{}, fail func()) error {
	patience := p.server.cfg.cutOff() / 2
	err := p.server.broker.Converse(ctx, broker.Subscription{
		Queue:    p.queue,
		Prefetch: p.server.cfg.Prefetch,
		Topology: topology.Requests(p.queue, p.options...),
		MaxTime:  p.longest(),
		Drain:    drain,
		Finish:   true,
		Settle:   patience,
	}, func(ch broker.Channel) broker.Receiver {
		return broker.Receiver{
			Deliver:  func(d *broker.Delivery) { p.deliver(ch, d) },
			Returned: p.server.gone,
		}
	})
	if err != nil {
		fail()
		err = fmt.Errorf("rpc: %w", err)
	}
	if left := p.leave(patience); left > 0 && err == nil {
		err = fmt.Errorf("rpc: queue %q: %d handlers ignore that their context has ended, and were left running", p.queue, left)
	}
	return err
}

// longest is how long a request stays unanswered, by the timeouts of this program.
func (p *pool) longest() time.Duration {
	longest := time.Duration(0)
	for _, m := range p.methods {
		longest = max(longest, m.timeout)
	}
	return longest + p.server.cfg.Grace
}

// work is a request and the channel that it came on.
type work struct {
	ch broker.Channel
	d  *broker.Delivery
}

// deliver has a request run as soon as fewer than Concurrency do. Nothing else is received
// meanwhile. A goroutine that has run one before is taken if there is one, because its stack
// has grown to what a handler needs: growing a new one costs as much as decoding the request.
func (p *pool) deliver(ch broker.Channel, d *broker.Delivery) {
	w := work{ch, d}
	p.active.Add(1)
	select {
	case p.work <- w:
		return
	default:
	}
	select {
	case p.work <- w:
	case p.slots <- struct{}{}:
		p.workers.Go(func() { p.runAll(w) })
	case <-d.Context().Done():
		p.ended()
		_ = d.Requeue() // if that fails the server has it back already
	}
}

// runAll runs w, and what comes after it until the pool is over.
func (p *pool) runAll(w work) {
	defer func() { <-p.slots }() // also when a handler ends the goroutine: t.FailNow in a test does
	for {
		p.runOne(w)
		select {
		case w = <-p.work:
		case <-p.over:
			return
		}
	}
}

func (p *pool) runOne(w work) {
	defer p.ended()
	p.serve(w.ch, w.d)
}

func (p *pool) ended() {
	p.active.Add(-1)
	select {
	case p.idle <- struct{}{}:
	default:
	}
}

// leave waits for handlers that still run, and returns how many it leaves behind. Their
// contexts have ended, because Converse has returned.
func (p *pool) leave(patience time.Duration) int64 {
	close(p.over)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for p.active.Load() > 0 {
		select {
		case <-p.idle:
		case <-timer.C:
			return p.active.Load()
		}
	}
	p.workers.Wait() // none has anything to do
	return 0
}
