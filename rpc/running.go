package rpc

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/errandq/errand/broker"
)

// startedAfter is how long a call runs before its caller is told where it can be cancelled.
// Most are over by then, and need no word.
const startedAfter = 50 * time.Millisecond

// askEvery is how often the caller of a stream is looked for while it takes nothing.
const askEvery = time.Second

// longestRun is how long a handler runs at most whose caller would wait longer, unless its
// method's Timeout allows it: RabbitMQ takes a delivery back after 30 minutes by default,
// and before 4.3 all others of the channel with it.
const longestRun = 25 * time.Minute

// A running is a request on its way through a handler.
type running struct {
	pool     *pool
	ch       broker.Channel
	delivery *broker.Delivery
	incoming
	method *method
	unsent bool // the server is blocked, and has not got the reply

	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	granted int64         // how many items the caller takes
	more    chan struct{} // gets a value when granted rises
	sent    int64         // items
}

// serve runs the request, replies and answers the delivery.
func (p *pool) serve(ch broker.Channel, d *broker.Delivery) {
	r := &running{pool: p, ch: ch, delivery: d, incoming: readRequest(&d.Message, time.Now())}
	if !r.accept() {
		return
	}
	p.server.stats.running.Add(1)
	defer p.server.stats.running.Add(-1)
	ctx, cancel := context.WithCancelCause(d.Context())
	defer cancel(nil)
	r.cancel = cancel
	ctx, stop := context.WithDeadline(ctx, r.until(time.Now()))
	defer stop()
	r.ctx = context.WithValue(ctx, requestKey{}, &r.Request)
	if r.method.stream {
		r.granted, r.more = r.credit, make(chan struct{}, 1)
		r.items = r.sendItem
	}
	if r.known {
		p.server.register(r)
		defer p.server.unregister(r)
		timer := time.AfterFunc(startedAfter, r.started)
		defer timer.Stop()
	}
	// Deferred, because a handler may end the goroutine.
	resp, err := Response{}, errExited
	defer func() { r.settle(resp, err) }()
	resp, err = r.call()
}

var errExited = errors.New("rpc: the handler ended its goroutine")

// accept returns false if the request is not to be run, and has answered it then.
func (r *running) accept() bool {
	p := r.pool
	r.Queue, r.Redelivered = p.queue, r.delivery.Redelivered
	if r.delivery.Context().Err() != nil {
		r.lost()
		return false
	}
	if !isReplyQueue(r.replyTo) {
		p.server.stats.refused.Add(1)
		p.log.Warn("request refused: its reply_to is missing or names no reply queue", "method", r.Method, "reply_to", fmt.Sprintf("%.255q", r.replyTo))
		r.reject()
		return false
	}
	if r.Method == "" && len(p.methods) == 1 {
		for name := range p.methods {
			r.Method = name // there is no doubt which is meant
		}
	}
	if !r.deadline.IsZero() && !time.Now().Before(r.deadline) {
		p.server.stats.expired.Add(1)
		p.log.Info("request expired before it was run", "method", r.Method, "request", r.ID, "late", time.Since(r.deadline))
		r.ack()
		return false
	}
	if r.method = p.methods[r.Method]; r.method == nil {
		r.fail(Errorf(Unimplemented, "no method %.100q on queue %q", r.Method, p.queue))
		return false
	}
	if r.Redelivered && (!r.method.idempotent || r.deadline.IsZero()) {
		// Whoever had it may have run it. Without a deadline it could go round for ever, if it
		// kills its servers.
		p.server.stats.interrupted.Add(1)
		r.send(r.failure(Errorf(Interrupted, "its server died, or lost its connection")))
		r.ack()
		return false
	}
	if r.method.stream && (r.credit <= 0 || !r.known) {
		r.fail(Errorf(InvalidRequest, "method %q replies with a stream, which needs the app_id %s, an expiration and the header %s", r.Method, appID, headerCredit))
		return false
	}
	return true
}

// until is how long the handler may run that starts at now.
func (r *running) until(now time.Time) time.Time {
	if r.deadline.IsZero() {
		return now.Add(r.method.timeout)
	}
	limit := now.Add(max(r.method.timeout, longestRun))
	if r.deadline.After(limit) {
		return limit
	}
	return r.deadline
}

// call runs the handler, and turns a panic into an error.
func (r *running) call() (resp Response, err error) {
	defer func() {
		// A nil value is no panic but runtime.Goexit, or nothing at all.
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return r.method.handler(r.ctx, r.Request)
}

// settle replies, and then answers the delivery: a server that dies in between leaves a
// second reply, never none.
func (r *running) settle(resp Response, err error) {
	p := r.pool
	r.complain(err)
	switch cause := context.Cause(r.ctx); {
	case err == nil:
		r.succeed(resp)
		return
	case errors.Is(cause, broker.ErrDeliveryLost):
		r.lost()
		return
	case errors.Is(cause, ErrShutdown) && !decided(err):
		r.cutOff()
		return
	case errors.Is(cause, ErrCallerGone):
		p.server.stats.cancelled.Add(1)
		r.ack()
		return
	case cause != nil && r.known && !time.Now().Before(r.deadline): // its caller has counted the time as well
		p.server.stats.failed.Add(1)
		r.ack()
		return
	}
	r.fail(r.explain(err))
}

// decided reports whether err is the handler's word for its caller, and not that it was cut
// off.
func decided(err error) (yes bool) {
	defer func() {
		if recover() != nil { // the methods of an error are the handler's code, too
			yes = false
		}
	}()
	e, ok := errors.AsType[*Error](err)
	return ok && e != nil && e.Code != Canceled && e.Code != DeadlineExceeded && e.Code != Interrupted
}

// explain is what the caller is told of err. What it is not told is logged.
func (r *running) explain(err error) (e *Error) {
	p := r.pool
	defer func() {
		// The methods of an error are the handler's code, too.
		if v := recover(); v != nil {
			p.server.stats.panicked.Add(1)
			p.log.Error("handler's error panicked", "method", r.Method, "request", r.ID, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			e = outward(errExited)
		}
	}()
	e = outward(err)
	_, panicked := err.(*PanicError) // call's own
	if e.Code == Internal && !panicked {
		p.log.Error("handler failed", "method", r.Method, "request", r.ID, "err", err)
	}
	return e
}

// complain logs what must not go unseen whatever the caller is told.
func (r *running) complain(err error) {
	panicked, ok := err.(*PanicError)
	if !ok {
		return
	}
	r.pool.server.stats.panicked.Add(1)
	r.pool.log.Error("handler panicked", "method", r.Method, "request", r.ID, "err", err, "stack", string(panicked.Stack))
}

func (r *running) succeed(resp Response) {
	var headers map[string]any
	if r.method.stream {
		headers = map[string]any{headerReply: replyEnd, headerSeq: r.sent}
	}
	if r.send(r.reply(resp, headers)) {
		r.pool.server.stats.answered.Add(1)
	}
	r.ack()
}

// fail tells the caller of e.
func (r *running) fail(e *Error) {
	r.pool.server.stats.failed.Add(1)
	r.send(r.failure(e))
	r.ack()
}

// cutOff is for a request that was running at the end of Grace.
func (r *running) cutOff() {
	if r.method.idempotent {
		_ = r.delivery.Requeue() // another server runs it; if that fails RabbitMQ has it back already
		return
	}
	r.pool.server.stats.interrupted.Add(1)
	r.send(r.failure(Errorf(Interrupted, "its server was shut down")))
	r.ack()
}

// send sends a reply, and returns false if that can't be done. The request's own context has
// often ended by then, so the reply waits for nothing but a blocked server.
func (r *running) send(m broker.Message) bool {
	ctx := r.ctx
	if ctx == nil {
		ctx = r.delivery.Context()
	}
	err := r.ch.Send(ctx, m)
	switch {
	case err == nil:
		return true
	case errors.Is(err, broker.ErrBlocked):
		r.unsent = true
	case errors.Is(err, broker.ErrTooLarge), errors.Is(err, broker.ErrInvalid):
		r.pool.server.stats.failed.Add(1)
		r.pool.log.Error("reply can't be sent", "method", r.Method, "request", r.ID, "err", err)
		e := Errorf(Internal, "the reply can't be sent; its server's log says why")
		_ = r.ch.Send(ctx, r.failure(e)) // nothing is left to be done about it
	}
	return false // the channel is dead, and with it the delivery, or the caller gone
}

func (r *running) ack() {
	if r.unsent {
		_ = r.delivery.Requeue() // if that fails RabbitMQ has it back already
		return
	}
	if r.delivery.Ack() != nil {
		r.pool.server.stats.lost.Add(1)
	}
}

// reject drops what is no request. If somebody has put the server on a queue of jobs, they
// go where that queue's dead letters do.
func (r *running) reject() {
	if r.delivery.DeadLetter() != nil {
		r.pool.server.stats.lost.Add(1)
	}
}

// lost is for a request whose channel has died: another server gets it.
func (r *running) lost() {
	r.pool.server.stats.lost.Add(1)
	_ = r.delivery.Requeue() // in case that it was only the end of ours
}

// started tells the caller where it can cancel the call, or give credit.
func (r *running) started() {
	queue := r.pool.server.control.Load()
	if queue == nil {
		return
	}
	r.send(r.reply(Response{}, map[string]any{headerReply: replyStarted, headerControl: *queue}))
}

// sendItem sends one item of a stream, when the caller has room for it.
func (r *running) sendItem(ctx context.Context, item Response) error {
	for r.sent >= r.allowed() {
		select {
		case <-r.more:
		case <-time.After(askEvery):
			r.started() // which comes back if the caller has died
		case <-ctx.Done(): // middleware may have made it shorter
			return ended(ctx)
		case <-r.ctx.Done():
			return ended(r.ctx)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ended(ctx)
	case r.ctx.Err() != nil:
		return ended(r.ctx)
	}
	headers := map[string]any{headerReply: replyItem, headerSeq: r.sent + 1}
	if queue := r.pool.server.control.Load(); queue != nil {
		headers[headerControl] = *queue
	}
	if err := r.ch.Send(r.ctx, r.reply(item, headers)); err != nil {
		return err
	}
	r.sent++
	return nil
}

func (r *running) allowed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.granted
}

// grant is called when the caller has taken seq items.
func (r *running) grant(seq int64) {
	r.mu.Lock()
	r.granted = max(r.granted, seq+r.credit)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// register makes r known by its correlation ID. If two calls have one, their caller speaks of
// the later.
func (s *Server) register(r *running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[r.correlation] = r
}

// find returns the call that runs under a correlation ID, or nil.
func (s *Server) find(correlation string) *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[correlation]
}

func (s *Server) unregister(r *running) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[r.correlation] == r {
		delete(s.running, r.correlation)
	}
}
