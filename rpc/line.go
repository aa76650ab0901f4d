package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/errandq/errand/broker"
)

// What a call on one line comes to when the line is at fault.
var (
	errAgain = errors.New("rpc: the request was not sent")                 // so it may be, on another line
	errLost  = errors.New("rpc: the line was lost, the call may have run") // at the server, or its reply
)

// A line is a channel of the client with the calls that wait for replies on it. Both end
// together, so a reply never meets a call of another line.
type line struct {
	client *Client
	ch     broker.Channel
	gone   <-chan struct{}

	mu    sync.Mutex
	calls map[string]*call
}

// A call waits for its replies.
type call struct {
	replies chan reply // has room for all that its server may send
	control string     // where to cancel it; known once the server has said so; guarded by line.mu
}

func newLine(c *Client, ch broker.Channel) *line {
	return &line{client: c, ch: ch, gone: ch.Context().Done(), calls: map[string]*call{}}
}

// interrupted is what a call comes to that may have been run when the line was lost.
func (l *line) interrupted() error {
	select {
	case <-l.client.closing:
		return ErrClosed
	default:
		return fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(l.ch.Context()))
	}
}

func (l *line) dead() bool { return l.ch.Context().Err() != nil }

func (l *line) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.calls)
}

// call sends r and waits for its result.
func (l *line) call(ctx context.Context, r *Request, deadline time.Time) (Response, error) {
	// Each sending has a correlation ID of its own, so that replies to an earlier one don't
	// answer it, nor a word about that one cancel it. It tells nothing of those of other calls:
	// a server that could guess them could answer or cancel those.
	id := rand.Text()
	m, err := r.message(id, l.ch.Queue(), deadline, time.Now())
	if err != nil {
		return Response{}, err
	}
	room := 1
	if r.items != nil {
		room = window + 1
	}
	c := &call{replies: make(chan reply, room)}
	l.mu.Lock()
	l.calls[id] = c
	l.mu.Unlock()
	if err := l.ch.Send(ctx, m); err != nil {
		l.forget(id)
		switch {
		case errors.Is(err, broker.ErrNotConnected):
			l.awaitEnd(ctx)
			return Response{}, errAgain
		case ctx.Err() != nil:
			return Response{}, fmt.Errorf("%w: %w", ended(ctx), err)
		case errors.Is(err, broker.ErrUnconfirmed):
			l.awaitEnd(ctx)
			return Response{}, errLost
		}
		return Response{}, err
	}
	if r.items != nil {
		return Response{}, l.takeItems(ctx, r, id, c)
	}
	rep, err := l.next(ctx, id, c)
	if err != nil {
		return Response{}, err
	}
	if rep.err == nil && rep.kind != "" {
		l.cancel(id) // it may go on
		return Response{}, &Error{Internal, "the server answers with a stream"}
	}
	return rep.response, rep.err
}

// awaitEnd waits until the line knows that it is dead.
func (l *line) awaitEnd(ctx context.Context) {
	select {
	case <-l.gone:
	case <-ctx.Done():
	}
}

// next returns the next reply to c. The last one has been forgotten by then.
func (l *line) next(ctx context.Context, id string, c *call) (reply, error) {
	select {
	case rep := <-c.replies:
		return rep, nil
	default:
	}
	select {
	case rep := <-c.replies:
		return rep, nil
	case <-ctx.Done():
		l.cancel(id)
		return reply{}, ended(ctx)
	case <-l.gone:
		l.forget(id)
		select {
		case rep := <-c.replies: // it came before the end
			return rep, nil
		default:
			return reply{}, errLost
		}
	}
}

// forget drops a call, and returns where its server can be told.
func (l *line) forget(id string) (control string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.calls[id]; c != nil {
		control = c.control
		delete(l.calls, id)
	}
	return control
}

// cancel gives up on a call. A server that is not known yet will say that it has started, and
// is told then.
func (l *line) cancel(id string) {
	if queue := l.forget(id); queue != "" {
		l.hangUp(queue, id)
	}
}

// hangUp tells a server that nobody waits for call id. It waits for nothing, not even for a
// server that is blocked: the call ends at its deadline as well.
func (l *line) hangUp(queue, id string) {
	ctx, cancel := context.WithCancel(l.ch.Context())
	cancel()
	l.tell(ctx, control(queue, typeCancel, id, nil))
}

// hangUpAll tells the servers of all calls.
func (l *line) hangUpAll() {
	l.mu.Lock()
	queues := make(map[string]string, len(l.calls))
	for id, c := range l.calls {
		if c.control != "" {
			queues[id] = c.control
		}
	}
	l.mu.Unlock()
	for id, queue := range queues {
		l.hangUp(queue, id)
	}
}

// tell sends a word to a server. If that fails the line is dead or the server blocked, and
// what the word was about ends by itself.
func (l *line) tell(ctx context.Context, m broker.Message) { _ = l.ch.Send(ctx, m) }

// deliver takes a reply. It never waits, because all calls share it.
func (l *line) deliver(d *broker.Delivery) {
	rep, id := readReply(&d.Message), d.CorrelationID
	l.mu.Lock()
	c := l.calls[id]
	if c == nil {
		l.mu.Unlock()
		l.stray(id, rep)
		return
	}
	if rep.control != "" {
		c.control = rep.control
	}
	if rep.kind == replyStarted {
		l.mu.Unlock()
		return
	}
	if rep.kind == replyItem && len(c.replies) >= window {
		rep = reply{err: &Error{Internal, "the server sends more items than the caller takes"}}
	}
	if rep.kind != replyItem {
		delete(l.calls, id)
	}
	select {
	case c.replies <- rep:
	default: // a second one where there is only one
	}
	l.mu.Unlock()
}

// stray is for a reply that nobody waits for.
func (l *line) stray(id string, rep reply) {
	if rep.kind == replyStarted || rep.kind == replyItem {
		if rep.control != "" {
			l.hangUp(rep.control, id)
		}
		if rep.kind == replyStarted {
			return // not a reply yet
		}
	}
	l.client.late.Add(1)
}

// returned is for a request that no queue has taken.
func (l *line) returned(m broker.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.calls[m.CorrelationID]
	if c == nil {
		return
	}
	delete(l.calls, m.CorrelationID)
	select {
	case c.replies <- reply{err: fmt.Errorf("%w: there is no queue %q", ErrNoServer, m.Key)}:
	default: // somebody has answered all the same
	}
}
