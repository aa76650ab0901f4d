package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/internal/crew"
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
	slots   chan struct{} // a handler that runs holds one
	crew    *crew.Crew[work]
	idle    chan struct{} // gets a value when a slot is given back
	log     *slog.Logger

	returns   chan struct{}  // a reply that came back holds one until it is sent again
	resenders sync.WaitGroup // of those replies
}

func newPool(s *Server, queue string, options []topology.Option) *pool {
	p := &pool{
		server:  s,
		queue:   queue,
		options: options,
		methods: map[string]*method{},
		slots:   make(chan struct{}, s.cfg.Concurrency),
		idle:    make(chan struct{}, 1),
		log:     s.cfg.Logger.With("queue", queue),
		returns: make(chan struct{}, maxReturned),
	}
	p.crew = crew.New(p.runOne)
	return p
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
			Returned: func(m broker.Message) { p.returned(ch, m) },
		}
	})
	p.resenders.Wait() // the channel they wait for has ended
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
// meanwhile.
func (p *pool) deliver(ch broker.Channel, d *broker.Delivery) {
	select {
	case p.slots <- struct{}{}:
		p.crew.Add(work{ch, d})
	case <-d.Context().Done():
		_ = d.Requeue() // if that fails the server has it back already
	}
}

// runOne runs a request, whose handler may end the goroutine: t.FailNow in a test does.
func (p *pool) runOne(w work) {
	defer func() {
		<-p.slots
		select {
		case p.idle <- struct{}{}:
		default:
		}
	}()
	p.serve(w.ch, w.d)
}

// leave waits for handlers that still run, and returns how many it leaves behind. Their
// contexts have ended, because Converse has returned.
func (p *pool) leave(patience time.Duration) int {
	p.crew.End()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for len(p.slots) > 0 {
		select {
		case <-p.idle:
		case <-timer.C:
			return len(p.slots)
		}
	}
	p.crew.Wait() // none has anything to do
	return 0
}
