package broker

import (
	"context"
	"fmt"
	"sync"

	"github.com/cenkalti/backoff/v4"
)

// apartWindow is how many messages the channel of one target may have in flight: so few that
// a server whose channel is stuck goes on reading from the connection. It stops when some 400
// messages wait for one channel.
const apartWindow = 64

// maxApart is how many targets may have channels of their own; RabbitMQ allows 2047 channels
// on a connection.
const maxApart = 256

// A lane is a channel that is made anew when it dies, and its window.
type lane struct {
	slots   chan struct{}     // a message in flight holds one
	opening chan struct{}     // whoever opens or closes a channel holds it
	overdue func(*pubChannel) // is called when a confirm does not come

	mu      sync.Mutex
	current *pubChannel // may be dead

	// Guarded by the publisher's mu, and of no meaning in the shared lane.
	users   int  // who have boarded, and not left
	cleared bool // its target is well: the last one who leaves closes the channel
}

func newLane(window int) *lane {
	return &lane{slots: make(chan struct{}, window), opening: make(chan struct{}, 1)}
}

// channel returns a live channel on a connection that takes messages.
func (l *lane) channel(ctx context.Context, c *Conn) (*pubChannel, error) {
	var wait *backoff.ExponentialBackOff // between tries to open one
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
		pc := l.open()
		if pc == nil {
			g, err := c.publish.wait(ctx)
			if err != nil {
				return nil, err
			}
			if err := g.whenFree(ctx); err != nil {
				return nil, err
			}
			if pc, err = l.reopen(ctx, c, g); err != nil {
				if wait == nil {
					wait = reconnectPolicy()
				}
				if !sleep(ctx, wait.NextBackOff()) {
					return nil, fmt.Errorf("%w: %w (last error: %v)", ErrNotConnected, context.Cause(ctx), err)
				}
				continue
			}
		}
		if err := pc.gen.whenFree(ctx); err != nil {
			return nil, err
		}
		if pc.alive() {
			return pc, nil
		}
	}
}

// open is the current channel, or nil if it is dead.
func (l *lane) open() *pubChannel {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.current == nil || !l.current.alive() {
		return nil
	}
	return l.current
}

// reopen makes a channel of g current, unless another caller has done it. The end of ctx
// ends the waiting for it, not the opening.
func (l *lane) reopen(ctx context.Context, c *Conn, g *generation) (*pubChannel, error) {
	select {
	case l.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return within(ctx, c, func() (*pubChannel, error) {
		defer func() { <-l.opening }()
		return l.reopenAlone(c, g)
	}, nil)
}

// reopenAlone is reopen for the holder of opening.
func (l *lane) reopenAlone(c *Conn, g *generation) (*pubChannel, error) {
	if pc := l.open(); pc != nil {
		return pc, nil
	}
	pc, err := openPub(c, g, l.overdue)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.current = pc
	l.mu.Unlock()
	return pc, nil
}

// retire closes pc, which does not confirm. That lasts for as long as the server's channel is
// stuck, and nobody opens another one meanwhile. What is in flight gets an answer before, or
// is completed by the close.
func (l *lane) retire(pc *pubChannel) {
	l.opening <- struct{}{}
	defer func() { <-l.opening }()
	pc.late.Store(true)
	_ = pc.ch.Close() // it may be closed already
}
