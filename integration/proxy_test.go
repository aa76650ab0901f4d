package integration_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// A proxy stands between clients and the server, and fails as networks do.
type proxy struct {
	listener net.Listener
	target   string
	url      string // the server's, through the proxy
	wg       sync.WaitGroup

	mu     sync.Mutex
	pairs  map[*pair]struct{}
	budget func() int64
	down   bool
}

// A pair is a client's connection and its continuation to the server.
type pair struct {
	client, server net.Conn
	hole           atomic.Bool // what comes is swallowed
}

func (p *pair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// newProxy listens until the test ends, and passes on to the server of serverURL.
func newProxy(t *testing.T, serverURL string) *proxy {
	t.Helper()
	return newTLSProxy(t, serverURL, nil)
}

// newTLSProxy is a proxy that clients speak TLS with, if secure is not nil.
func newTLSProxy(t *testing.T, serverURL string, secure *tls.Config) *proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{target: u.Host, pairs: map[*pair]struct{}{}}
	if p.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	u.Host = p.listener.Addr().String()
	if secure != nil {
		p.listener = tls.NewListener(p.listener, secure)
		u.Scheme = "amqps"
	}
	p.url = u.String()
	p.wg.Go(func() { p.accept(t) })
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) accept(t *testing.T) {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			p.cut() // what slipped in meanwhile
			return
		}
		if err != nil {
			t.Errorf("proxy: %v", err)
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil { // it is down, as some tests want it
			_ = client.Close()
			continue
		}
		c := &pair{client: client, server: server}
		p.mu.Lock()
		if p.down {
			c.close()
			p.mu.Unlock()
			continue
		}
		p.pairs[c] = struct{}{}
		budgets := [2]int64{-1, -1}
		if p.budget != nil {
			budgets = [2]int64{p.budget(), p.budget()}
		}
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(c, c.client, c.server, budgets[0]) })
		p.wg.Go(func() { p.pass(c, c.server, c.client, budgets[1]) })
	}
}

// pass copies until one side ends or budget bytes, if not negative, are through.
func (p *proxy) pass(c *pair, from, to net.Conn, budget int64) {
	defer func() {
		c.close()
		p.mu.Lock()
		delete(p.pairs, c)
		p.mu.Unlock()
	}()
	buf := make([]byte, 32<<10)
	for budget != 0 {
		n, err := from.Read(buf)
		if budget > 0 {
			n = int(min(int64(n), budget)) // in the midst of a frame, as likely as not
			budget -= int64(n)
		}
		var out io.Writer = to
		if c.hole.Load() {
			out = io.Discard
		}
		if _, e := out.Write(buf[:n]); e != nil || err != nil {
			return
		}
	}
}

// cut closes all connections now.
func (p *proxy) cut() {
	p.each((*pair).close)
}

// swallow leaves all connections open and lets nothing through any more. New ones work.
func (p *proxy) swallow() {
	p.each(func(c *pair) { c.hole.Store(true) })
}

func (p *proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		f(c)
	}
}

// cutAfter cuts each new connection after as many bytes in one direction as budget says.
// Nil lets them live.
func (p *proxy) cutAfter(budget func() int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.budget = budget
}

// setDown cuts all connections and closes new ones at once, or ends that.
func (p *proxy) setDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.cut()
	}
}
