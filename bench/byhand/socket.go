package byhand

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"
)

// Buffers of a joined socket.
const (
	readBuffer  = 64 << 10
	writeBuffer = 256 << 10
)

// A joined socket collects what is written while the last write is on its way, and writes it
// in one go.
type joined struct {
	net.Conn
	reader *bufio.Reader

	mu      sync.Mutex
	changed sync.Cond // pending, err or closed changed
	pending []byte
	err     error
	closed  bool
	ended   chan struct{}
}

func dialJoined(network, addr string) (net.Conn, error) {
	const timeout = 30 * time.Second
	conn, err := net.DialTimeout(network, addr, timeout)
	if err != nil {
		return nil, err
	}
	// The library resets it when the connection is open.
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	j := &joined{Conn: conn, reader: bufio.NewReaderSize(conn, readBuffer), ended: make(chan struct{})}
	j.changed.L = &j.mu
	go j.flush()
	return j, nil
}

// Read implements net.Conn.
func (j *joined) Read(p []byte) (int, error) { return j.reader.Read(p) }

// Write implements net.Conn. It returns when p is in the buffer.
func (j *joined) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.err == nil && !j.closed && len(j.pending) >= writeBuffer {
		j.changed.Wait()
	}
	if j.err != nil {
		return 0, j.err
	}
	if j.closed {
		return 0, net.ErrClosed
	}
	if len(j.pending) == 0 {
		j.changed.Broadcast()
	}
	j.pending = append(j.pending, p...)
	return len(p), nil
}

// flush writes until the socket is closed or fails.
func (j *joined) flush() {
	defer close(j.ended)
	var spare []byte
	for {
		j.mu.Lock()
		for !j.closed && len(j.pending) == 0 {
			j.changed.Wait()
		}
		if len(j.pending) == 0 {
			j.mu.Unlock()
			return
		}
		batch := j.pending
		j.pending = spare[:0]
		j.changed.Broadcast()
		j.mu.Unlock()
		if _, err := j.Conn.Write(batch); err != nil {
			j.fail(err)
			return
		}
		spare = batch
	}
}

func (j *joined) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = err
	j.changed.Broadcast()
}

// Close writes what is pending, for a second at most, and closes.
func (j *joined) Close() error {
	j.mu.Lock()
	j.closed = true
	j.changed.Broadcast()
	j.mu.Unlock()
	err := j.SetWriteDeadline(time.Now().Add(time.Second))
	<-j.ended
	return errors.Join(err, j.Conn.Close())
}
