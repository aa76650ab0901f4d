package rpc

import (
	"context"
	"fmt"
	"log/slog"
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
	slots   chan struct{} // a running handler holds one, from its start to its very end
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

// deliver starts a request as soon as there is a slot. Nothing else is received meanwhile.
func (p *pool) deliver(ch broker.Channel, d *broker.Delivery) {
	select {
	case p.slots <- struct{}{}:
	case <-d.Context().Done():
		_ = d.Requeue() // if that fails the server has it back already
		return
	}
	p.active.Add(1)
	go func() {
		defer p.over() // also when a handler ends the goroutine: t.FailNow in a test does
		p.serve(ch, d)
	}()
}

func (p *pool) over() {
	<-p.slots
	p.active.Add(-1)
	select {
	case p.idle <- struct{}{}:
	default:
	}
}

// leave waits for handlers that still run, and returns how many it leaves behind. Their
// contexts have ended, because Converse has returned.
func (p *pool) leave(patience time.Duration) int64 {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for p.active.Load() > 0 {
		select {
		case <-p.idle:
		case <-timer.C:
			return p.active.Load()
		}
	}
	return 0
}
