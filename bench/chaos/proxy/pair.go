package proxy

import (
	"net"
	"sync"
	"sync/atomic"
)

// A pair is a client's connection and its continuation to the server.
type pair struct {
	client, server net.Conn
	up, down       *stream
	gone           chan struct{} // closed by close
	once           sync.Once
}

func newPair(client, server net.Conn) *pair {
	c := &pair{client: client, server: server, gone: make(chan struct{})}
	c.up = &stream{pair: c, from: client, to: server}
	c.down = &stream{pair: c, from: server, to: client}
	return c
}

func (c *pair) close() {
	c.once.Do(func() { close(c.gone) })
	_ = c.client.Close() // what is closed twice is closed
	_ = c.server.Close()
}

func (c *pair) swallow(d Direction) {
	for _, s := range c.streams(d) {
		s.hole.Store(true)
	}
}

func (c *pair) streams(d Direction) []*stream {
	var some []*stream
	if d&ToServer != 0 {
		some = append(some, c.up)
	}
	if d&ToClient != 0 {
		some = append(some, c.down)
	}
	return some
}

// A stream is one direction of a pair.
type stream struct {
	pair     *pair
	from, to net.Conn
	hole     atomic.Bool  // what comes is swallowed
	limited  atomic.Bool  // left counts
	left     atomic.Int64 // bytes until it is cut
}

// pass copies until one end closes or the limit is reached.
func (s *stream) pass(shape *atomic.Pointer[Shape]) {
	defer s.end()
	buf := make([]byte, 32<<10)
	for {
		now := shape.Load()
		n, err := s.from.Read(buf[:now.piece(len(buf))])
		n, cut := s.take(n)
		if n > 0 && !now.delay(n, s.pair.gone) {
			return
		}
		if !s.hole.Load() {
			if _, e := s.to.Write(buf[:n]); e != nil {
				return
			}
		}
		if err != nil || cut {
			return
		}
	}
}

// take is how much of n bytes may pass, and whether that is all.
func (s *stream) take(n int) (int, bool) {
	if !s.limited.Load() {
		return n, false
	}
	left := s.left.Add(-int64(n))
	return n + int(min(left, 0)), left <= 0
}

// end closes both ends, but for a hole: there the other end must not hear of it.
func (s *stream) end() {
	if s.hole.Load() {
		_ = s.from.Close()
		return
	}
	s.pair.close()
}
