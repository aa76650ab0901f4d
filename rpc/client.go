package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
)

// ClientConfig changes what a Client does. The zero value works.
type ClientConfig struct {
	// DirectReplyTo takes replies by RabbitMQ's direct reply-to instead of a queue of the
	// client's own. It spares the server making a queue, which counts for programs that make a
	// call or two and end; a lasting client gains nothing by it. A handler does not hear that
	// such a client has died, and runs on until the deadline.
	DirectReplyTo bool
	// Middleware wraps every call, the first one outermost.
	Middleware []Middleware
}

// A Client makes calls. It takes the replies of any number of concurrent callers on one
// queue, which it makes anew when the connection was lost. It is safe for concurrent use.
// Make it with [NewClient]; whoever made it closes it, before the broker.
type Client struct {
	broker  broker.Converser
	handler Handler
	prefix  string // of the IDs of its calls
	last    atomic.Uint64
	stop    context.CancelFunc
	closing <-chan struct{} // closed by Close
	done    chan struct{}   // closed when nothing is received any more
	late    atomic.Uint64
	line    atomic.Pointer[line] // may be dead; nil before the first

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when line or err changes
	err     error         // why there will be no other line
}

// NewClient makes a Client. A nil broker panics.
func NewClient(b broker.Converser, cfg ClientConfig) *Client {
	if b == nil {
		panic("rpc: NewClient: nil broker")
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		broker:  b,
		prefix:  rand.Text() + ".",
		stop:    stop,
		closing: ctx.Done(),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	c.handler = chain(cfg.Middleware, c.roundTrip)
	sub := broker.Subscription{NoAck: true}
	if cfg.DirectReplyTo {
		sub.Queue = directReplyTo
	}
	go c.receive(ctx, sub)
	return c
}

// receive keeps a line open until ctx ends.
func (c *Client) receive(ctx context.Context, sub broker.Subscription) {
	defer close(c.done)
	err := c.broker.Converse(ctx, sub, func(ch broker.Channel) broker.Receiver {
		l := newLine(c, ch)
		c.set(l, nil)
		return broker.Receiver{Deliver: l.deliver, Returned: l.returned}
	})
	if err == nil || errors.Is(err, broker.ErrClosed) {
		err = ErrClosed
	}
	c.set(nil, err)
}

func (c *Client) set(l *line, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l != nil {
		c.line.Store(l)
	}
	c.err = err
	close(c.changed)
	c.changed = make(chan struct{})
}

// live returns a line that can be used, as soon as there is one.
func (c *Client) live(ctx context.Context) (*line, error) {
	for {
		if l := c.line.Load(); l != nil && !l.dead() {
			return l, nil
		}
		c.mu.Lock()
		changed, err := c.changed, c.err
		l := c.line.Load()
		c.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case l != nil && !l.dead():
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (no connection, or one that is blocked)", ended(ctx))
		}
	}
}

// newID is the ID of a call.
func (c *Client) newID() string {
	id := make([]byte, 0, 48)
	id = append(id, c.prefix...)
	return string(strconv.AppendUint(id, c.last.Add(1), 36))
}

// Close ends the calls that are waiting, with [ErrClosed], and gives up the reply queue. It
// always returns nil, and may be called more than once.
func (c *Client) Close() error {
	if l := c.line.Load(); l != nil {
		l.hangUpAll()
	}
	c.stop()
	<-c.done
	return nil
}

// ClientStats are counters of a Client.
type ClientStats struct {
	Waiting int    // calls that wait for their reply now
	Late    uint64 // replies that no call was waiting for, late or foreign, and so were dropped
}

// Stats returns the counters.
func (c *Client) Stats() ClientStats {
	s := ClientStats{Late: c.late.Load()}
	if l := c.line.Load(); l != nil {
		s.Waiting = l.waiting()
	}
	return s
}

// maxRefused is how often a call may be on its way when the server closes the line over
// something that was sent on it, before it counts as the cause. Each time costs all the
// others their line.
const maxRefused = 3

// roundTrip is the innermost Handler: it sends the request and waits for what comes of it, on
// as many lines as that takes.
func (c *Client) roundTrip(ctx context.Context, r Request) (Response, error) {
	if r.def == nil {
		return Response{}, fmt.Errorf("%w: a middleware has made a Request of its own", ErrInvalid)
	}
	deadline, ok := ctx.Deadline()
	if !ok { // a middleware has taken it away
		deadline = time.Now().Add(r.def.timeout)
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	var last error // what ended the line before
	for refused := 0; ; {
		if ctx.Err() != nil {
			return Response{}, after(ended(ctx), last)
		}
		l, err := c.live(ctx)
		if err != nil {
			return Response{}, after(err, last)
		}
		resp, err := l.call(ctx, &r, deadline)
		if err == errAgain || err == errLost && r.def.idempotent {
			last = context.Cause(l.ch.Context())
			if err == errLost && errors.Is(last, broker.ErrRefused) {
				if refused++; refused == maxRefused {
					return Response{}, l.interrupted()
				}
			}
			continue
		}
		if err == errLost {
			err = l.interrupted()
		}
		return resp, err
	}
}

// after is err with what came before it, if anything did.
func after(err, last error) error {
	if last == nil {
		return err
	}
	return fmt.Errorf("%w (last error: %v)", err, last)
}
