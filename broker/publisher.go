package broker

import (
	"context"
	"fmt"
	"sync"

	"github.com/cenkalti/backoff/v4"
)

// A publisher holds the channel that everybody publishes on, and the window.
type publisher struct {
	conn  *Conn
	slots chan struct{} // a message in flight holds one

	opening chan struct{} // whoever opens a channel holds it

	mu      sync.Mutex
	current *pubChannel // may be dead
}

func (p *publisher) init(c *Conn) {
	p.conn = c
	p.slots = make(chan struct{}, window)
	p.opening = make(chan struct{}, 1)
}

// channel returns a live channel on a connection that takes messages.
func (p *publisher) channel(ctx context.Context) (*pubChannel, error) {
	var wait *backoff.ExponentialBackOff // between tries to open one
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotConnected, err)
		}
		p.mu.Lock()
		pc := p.current
		p.mu.Unlock()
		if pc == nil || !pc.alive() {
			g, err := p.conn.publish.wait(ctx)
			if err != nil {
				return nil, err
			}
			if err := g.whenFree(ctx); err != nil {
				return nil, err
			}
			if pc, err = p.open(ctx, g); err != nil {
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

// open makes the channel of g current, unless another caller has done it. The end of ctx
// ends the waiting for it, not the opening.
func (p *publisher) open(ctx context.Context, g *generation) (*pubChannel, error) {
	select {
	case p.opening <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return within(ctx, p.conn, func() (*pubChannel, error) {
		defer func() { <-p.opening }()
		return p.openCurrent(g)
	}, nil)
}

// openCurrent is open for the holder of opening.
func (p *publisher) openCurrent(g *generation) (*pubChannel, error) {
	p.mu.Lock()
	pc := p.current
	p.mu.Unlock()
	if pc != nil && pc.alive() {
		return pc, nil
	}
	pc, err := openPub(g, window)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.current = pc
	p.mu.Unlock()
	return pc, nil
}
