package broker

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"
)

// Buffers of a socket. A full write buffer makes writers wait, so it bounds the memory.
const (
	readBuffer  = 64 << 10
	writeBuffer = 256 << 10
)

// defaultFrame is how large a frame is at most: what the library asks for and RabbitMQ allows
// by default.
const defaultFrame = 128 << 10

var errSocketClosed = errors.New("broker: socket closed")

// A socket joins small writes. amqp091-go writes once per publish and once per ack; here
// they go to a buffer, and one goroutine writes whatever has come together while the last
// write was on its way. Alone, a frame leaves at once; under load dozens share one system
// call. A nil error from Write never meant that the server has the bytes, so nothing is
// lost by it: confirms say that.
type socket struct {
	net.Conn // reads' deadlines and addresses
	reader   *screen
	timeout  time.Duration // for one write to a peer that doesn't read

	mu       sync.Mutex
	changed  sync.Cond // pending, err or closing changed
	pending  []byte
	err      error // sticky: the first failure
	closing  bool
	paused   bool // the server has said that it stops reading: no write deadline
	finished chan struct{}
}

func newSocket(c net.Conn, timeout time.Duration) *socket {
	s := &socket{
		Conn:     c,
		reader:   &screen{from: bufio.NewReaderSize(c, readBuffer), limit: defaultFrame},
		timeout:  timeout,
		finished: make(chan struct{}),
	}
	s.changed.L = &s.mu
	go s.flush()
	return s
}

// Read implements net.Conn. Only one goroutine may read.
func (s *socket) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Write implements net.Conn. It returns when p is in the buffer, which may be full before.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A server under an alarm stops reading in the midst of a message, for as long as the alarm
	// lasts. Nobody waits for that here, without a context: only the messages that were on
	// their way are taken in, because later ones wait until the server is free.
	for s.err == nil && !s.closing && !s.paused && len(s.pending) >= writeBuffer {
		s.changed.Wait()
	}
	if s.err != nil {
		return 0, s.err
	}
	if s.closing {
		return 0, errSocketClosed
	}
	if len(s.pending) == 0 {
		s.changed.Broadcast()
	}
	s.pending = append(s.pending, p...)
	return len(p), nil
}

// hasRoom reports whether n more bytes can be written without waiting for the peer.
func (s *socket) hasRoom(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused || len(s.pending)+n <= writeBuffer
}

// flush writes pending until the socket fails or is closed. It owns the closing of the
// connection under it.
func (s *socket) flush() {
	defer close(s.finished)
	defer s.Conn.Close() //nolint:errcheck // nothing is left to be done about it
	var spare []byte
	for {
		s.mu.Lock()
		for s.err == nil && !s.closing && len(s.pending) == 0 {
			s.changed.Wait()
		}
		if s.err != nil || len(s.pending) == 0 {
			s.mu.Unlock()
			return
		}
		batch := s.pending
		s.pending = spare[:0]
		s.setDeadline()
		s.changed.Broadcast() // there is room again
		s.mu.Unlock()

		if _, err := s.Conn.Write(batch); err != nil {
			s.fail(err)
			return
		}
		if spare = batch; cap(spare) > 4*writeBuffer {
			spare = nil // an alarm has let it grow
		}
	}
}

// setDeadline bounds the next write. The caller holds mu.
func (s *socket) setDeadline() {
	deadline := time.Time{}
	if !s.paused {
		deadline = time.Now().Add(s.timeout)
	}
	if err := s.SetWriteDeadline(deadline); err != nil && s.err == nil {
		s.err = err
	}
}

// pause says whether the server has stopped reading on purpose, under a memory or disk
// alarm: then a write may take as long as the alarm does.
func (s *socket) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
	s.setDeadline()
	s.changed.Broadcast()
}

// fail makes every later call return err, and closes at once.
func (s *socket) fail(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	s.Conn.Close() //nolint:errcheck // it unblocks a read and a write; its own error says nothing
}

// Close writes what is pending, for at most closeTimeout, and closes.
func (s *socket) Close() error {
	s.mu.Lock()
	if !s.closing {
		s.closing = true
		s.timeout = closeTimeout
		s.paused = false
		s.setDeadline()
	}
	s.changed.Broadcast()
	s.mu.Unlock()
	<-s.finished
	return nil
}
