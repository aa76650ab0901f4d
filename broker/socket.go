package broker

import (
	"bufio"
	"errors"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Buffers of a socket. A full write buffer makes writers wait, so it bounds the memory.
const (
	readBuffer  = 64 << 10
	writeBuffer = 256 << 10
)

var errSocketClosed = errors.New("broker: socket closed")

// A socket joins small writes. What amqp091-go and a rawChannel write goes to a buffer, and one
// goroutine writes whatever has come together while the last write was on its way. Alone, a
// frame leaves at once; under load dozens share one system call. A nil error from Write never
// meant that the server has the bytes, so nothing is lost by it: confirms say that.
type socket struct {
	net.Conn // reads' deadlines and addresses
	reader   *screen
	timeout  time.Duration // for one write to a peer that doesn't read

	mu       sync.Mutex
	changed  sync.Cond // pending, out, err or closing changed
	pending  []byte
	out      outgoing // what the library has written
	err      error    // sticky: the first failure
	closing  bool
	paused   bool // the server has said that it stops reading: no write deadline
	finished chan struct{}
}

func newSocket(c net.Conn, timeout time.Duration) *socket {
	s := &socket{
		Conn:     c,
		reader:   newScreen(bufio.NewReaderSize(c, readBuffer)),
		out:      outgoing{owed: protocolHeader},
		timeout:  timeout,
		finished: make(chan struct{}),
	}
	s.changed.L = &s.mu
	go s.flush()
	return s
}

// Read implements net.Conn. Only one goroutine may read.
func (s *socket) Read(p []byte) (int, error) { return s.reader.Read(p) }

// Write implements net.Conn, for the library. It returns when p is in the buffer, which may be
// full before.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.awaitRoom(); err != nil {
		return 0, err
	}
	s.put(p)
	if s.out.follow(p); s.out.whole() {
		s.changed.Broadcast() // others may write
	}
	return len(p), nil
}

// publish is Write for a message on a channel: the frames before its body, and the body. It
// writes nothing, and returns errChannelOver, when the library has ended the channel: the
// server would end the connection over it, or take it for another channel's.
func (s *socket) publish(ch *rawChannel, frames, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.awaitRoom(); err != nil {
			return err
		}
		if s.out.whole() {
			break
		}
		s.changed.Wait() // the library is in the midst of a frame
	}
	if s.out.open[ch.id] != ch.serial {
		return errChannelOver
	}
	bodyFrames := 1 + len(body)/(ch.maxFrame-frameOverhead)
	s.pending = slices.Grow(s.pending, len(frames)+len(body)+frameOverhead*bodyFrames)
	s.put(frames)
	s.pending = appendBody(s.pending, ch.id, body, ch.maxFrame)
	return nil
}

// awaitRoom waits until something may be written. The caller holds mu.
func (s *socket) awaitRoom() error {
	// A server under an alarm stops reading in the midst of a message, for as long as the alarm
	// lasts. Nobody waits for that here, without a context: only the messages that were on
	// their way are taken in, because later ones wait until the server is free.
	for s.err == nil && !s.closing && !s.paused && len(s.pending) >= writeBuffer {
		s.changed.Wait()
	}
	if s.err != nil {
		return s.err
	}
	if s.closing {
		return errSocketClosed
	}
	return nil
}

// put appends to what is pending. The caller holds mu.
func (s *socket) put(p []byte) {
	if len(s.pending) == 0 {
		s.changed.Broadcast()
	}
	s.pending = append(s.pending, p...)
}

// lastOpened is the channel that the library has opened last, and its serial number.
func (s *socket) lastOpened() (channel uint16, serial uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.last, s.out.serial
}

// hasRoom reports whether something can be written without waiting for the peer.
func (s *socket) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused || len(s.pending) < writeBuffer
}

// flush writes pending until the socket fails or is closed. It owns the closing of the
// connection under it.
func (s *socket) flush() {
	defer close(s.finished)
	defer s.Conn.Close() //nolint:errcheck // nothing is left to be done about it
	var spare []byte
	for {
		s.mu.Lock()
		if len(s.pending) == 0 {
			s.awaitPending()
		}
		if s.err != nil || len(s.pending) == 0 {
			s.mu.Unlock()
			return
		}
		batch := s.pending
		s.pending = spare[:0]
		s.changed.Broadcast() // there is room again
		s.mu.Unlock()
		if err := s.writeAll(batch); err != nil {
			s.fail(err)
			return
		}
		if spare = batch; cap(spare) > 4*writeBuffer {
			spare = nil // an alarm has let it grow
		}
	}
}

// awaitPending waits until there is something to be written, or the end. The caller holds mu.
func (s *socket) awaitPending() {
	for s.err == nil && !s.closing && len(s.pending) == 0 {
		s.changed.Wait()
	}
	// Those who are about to write go first. Of 64 callers that were confirmed together most are:
	// a third less CPU a job, and nothing lost when there are none.
	s.mu.Unlock()
	runtime.Gosched()
	s.mu.Lock()
}

// writeAll writes b in pieces: the peer may take a while for all of it, but not after Close.
func (s *socket) writeAll(b []byte) error {
	for len(b) > 0 {
		s.mu.Lock()
		if !s.closing {
			s.setDeadline()
		}
		s.mu.Unlock()
		n := min(len(b), writeBuffer)
		if _, err := s.Conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
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
