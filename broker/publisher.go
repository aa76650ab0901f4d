package broker

import (
	"context"
	"fmt"
	"sync"
)

// A publisher holds the channel that everybody publishes on, and the window.
type publisher struct {
	conn  *Conn
	slots chan struct{} // a message in flight holds one

	mu      sync.Mutex
	current *pubChannel // may be dead
	closed  bool
}

func (p *publisher) init(c *Conn) {
	p.conn = c
	p.slots = make(chan struct{}, window)
}

// channel returns a live channel on a connection that takes messages.
func (p *publisher) channel(ctx context.Context) (*pubChannel, error) {
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
			if pc, err = p.open(g); err != nil {
				if !sleep(ctx, reconnectPolicy().NextBackOff()) {
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

// open makes the channel of g current, unless another caller has done it.
func (p *publisher) open(g *generation) (*pubChannel, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && p.current.alive() {
		return p.current, nil
	}
	pc, err := openPub(g, window)
	if err != nil {
		return nil, err
	}
	p.current = pc
	return pc, nil
}

// background runs f on a goroutine that Close waits for. f must end when the connection does.
func (p *publisher) background(f func()) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.conn.wg.Go(f)
	}
	p.mu.Unlock()
	if closed {
		f() // the connection has ended or is about to
	}
}

// close lets no background goroutine start any more.
func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}
