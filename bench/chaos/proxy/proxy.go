package proxy

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// A Direction is the way that bytes take.
type Direction int

// The directions. They may be joined by |.
const (
	ToServer Direction = 1 << iota
	ToClient
	BothWays = ToServer | ToClient
)

// A Proxy passes connections on to one server. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string
	shape    atomic.Pointer[Shape]
	hidden   atomic.Bool
	wg       sync.WaitGroup

	mu     sync.Mutex
	pairs  map[*pair]struct{}
	closed bool
}

// Listen starts a proxy before target, which is a host and a port.
func Listen(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{listener: l, target: target, pairs: map[*pair]struct{}{}}
	p.shape.Store(&Shape{})
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is the host and port where clients connect.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends all connections and returns when nothing runs any more.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.wg.Wait()
	return err
}

// Cut closes all connections now.
func (p *Proxy) Cut() { p.each((*pair).close) }

// CutAfter closes each of the present connections when so many more bytes have passed in
// the given directions, in each of them.
func (p *Proxy) CutAfter(d Direction, bytes int64) {
	p.each(func(c *pair) {
		for _, s := range c.streams(d) {
			s.left.Store(bytes)
			s.limited.Store(true)
		}
	})
}

// Swallow lets nothing more through the present connections, and closes neither end of
// them. New ones work.
func (p *Proxy) Swallow(d Direction) {
	p.each(func(c *pair) { c.swallow(d) })
}

// Slow makes present and new connections as bad as s says. The zero Shape ends that.
func (p *Proxy) Slow(s Shape) { p.shape.Store(&s) }

// Hide swallows what is sent on the present connections, and on each new one too, until it is
// told to end that. New ones work then, and those of the time between never do.
func (p *Proxy) Hide(on bool) {
	p.hidden.Store(on)
	if on {
		p.Swallow(BothWays)
	}
}

func (p *Proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		f(c)
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // that one client has gone already
		}
		p.wg.Go(func() { p.connect(client) })
	}
}

func (p *Proxy) connect(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil { // it is down, as some want it
		_ = client.Close()
		return
	}
	c := newPair(client, server)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.close()
		return
	}
	p.pairs[c] = struct{}{}
	p.mu.Unlock()
	if p.hidden.Load() { // after it was entered, so that Hide misses none
		c.swallow(BothWays)
	}

	var both sync.WaitGroup
	both.Go(func() { c.up.pass(&p.shape) })
	both.Go(func() { c.down.pass(&p.shape) })
	both.Wait()
	c.close()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}
