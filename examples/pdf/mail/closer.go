package mail

import (
	"net"
	"sync"
)

// closer closes connections at once when told to, those that are added later included. The zero value is ready.
type closer struct {
	mu     sync.Mutex
	closed bool
	conns  []net.Conn
}

func (c *closer) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	if c.closed {
		conn.Close()
	}
}

// close may be called again, and while another goroutine uses the connections: that is its purpose.
func (c *closer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conn := range c.conns {
		conn.Close()
	}
}
