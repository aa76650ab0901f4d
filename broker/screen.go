package broker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// maxScreened is how large a method or a header may be: the server's own frames are smaller,
// but it adds to the headers of a message what does not fit into one.
const maxScreened = 4 << 20

// A screen reads what comes from the server and divides it: deliveries, returned messages and
// confirms go to the receivers of their channels, and the rest to the library. It takes out
// what comes on a channel which the server has closed, because the library would end the whole
// connection over that.
type screen struct {
	from *bufio.Reader

	// Only Read uses these.
	left   int       // bytes of the frame that is passed on as it is
	ready  string    // a heartbeat that is passed on
	frame  []byte    // room for one
	kept   int       // frames that the library does not see, and KiB of them, since beat
	beat   time.Time // when it has last seen one
	closed map[uint16]bool
	inward map[uint16]*inward

	mu        sync.Mutex
	receivers map[uint16]receiver
}

func newScreen(from *bufio.Reader) *screen {
	return &screen{from: from, closed: map[uint16]bool{}, inward: map[uint16]*inward{}, receivers: map[uint16]receiver{}}
}

// attach has what comes in on a channel, which was just opened, given to r.
func (s *screen) attach(channel uint16, r receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receivers[channel] = r
}

func (s *screen) receiver(channel uint16) receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.receivers[channel]
}

// Read implements io.Reader, for the library.
func (s *screen) Read(p []byte) (n int, err error) {
	for {
		switch {
		case len(s.ready) > 0:
			n = copy(p, s.ready)
			s.ready = s.ready[n:]
			return n, nil
		case s.left > 0:
			n, err = s.from.Read(p[:min(len(p), s.left)])
			s.left -= n
			return n, err
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
}

// heartbeat is a frame that says nothing: kind, channel, size, end.
const heartbeat = "\x08\x00\x00\x00\x00\x00\x00\xce"

// The library counts a connection as dead on which it sees nothing for three heartbeats. So it
// sees one now and then when there is nothing else for it.
const (
	beatEvery = time.Second
	lookEvery = 64 // frames, and KiB
)

// next looks at a frame, and passes it on or takes it in.
func (s *screen) next() error {
	if s.kept > 0 && (s.kept >= lookEvery || s.from.Buffered() < frameHeadSize) {
		s.kept = 0
		if now := time.Now(); now.Sub(s.beat) >= beatEvery {
			s.beat, s.ready = now, heartbeat
			return nil
		}
	}
	head, err := s.from.Peek(frameHeadSize)
	if err != nil {
		return err
	}
	kind, channel := head[0], binary.BigEndian.Uint16(head[1:])
	if kind < 1 || kind > 8 {
		s.left = math.MaxInt // not AMQP: the library knows what to say
		return nil
	}
	size := int(binary.BigEndian.Uint32(head[3:])) + frameOverhead
	method := uint32(0)
	if kind == frameMethod && size >= frameOverhead+4 {
		if head, err = s.from.Peek(frameHeadSize + 4); err != nil {
			return err
		}
		method = binary.BigEndian.Uint32(head[frameHeadSize:])
	}
	s.note(channel, method)
	if s.closed[channel] && method != channelClose {
		_, err := s.from.Discard(size)
		return err
	}
	taken, err := s.take(kind, channel, method, size)
	if err != nil {
		return err
	}
	if taken {
		s.kept += 1 + size>>10
		return nil
	}
	s.left = size
	return nil
}

// note keeps the list of closed channels.
func (s *screen) note(channel uint16, method uint32) {
	switch method {
	case channelClose, channelCloseOk:
		if method == channelClose {
			s.closed[channel] = true
		}
		delete(s.inward, channel)
		s.attach(channel, nil)
	case channelOpenOk:
		delete(s.closed, channel)
	}
}

// take takes a frame in if it belongs to a message or a confirm.
func (s *screen) take(kind byte, channel uint16, method uint32, size int) (taken bool, err error) {
	in := s.inward[channel]
	switch {
	case kind == frameBody && in.expectsBody():
		return true, in.readBody(s.from, size)
	case kind == frameHeader && in.expectsHeader():
	case method == basicDeliver || method == basicReturn || method == basicAck || method == basicNack:
	default:
		return false, nil
	}
	payload, err := s.whole(size)
	if err != nil {
		return true, err
	}
	if in == nil {
		in = &inward{}
		s.inward[channel] = in
	}
	if kind == frameHeader {
		return true, in.header(payload)
	}
	// Looked up for each message, because somebody else may be attached since the last.
	in.to = s.receiver(channel)
	return true, in.method(method, payload[4:])
}

// whole reads a frame, and returns its payload, which lasts until the next one is read.
func (s *screen) whole(size int) ([]byte, error) {
	if size > maxScreened {
		return nil, fmt.Errorf("broker: the server sent a frame of %d bytes", size)
	}
	if cap(s.frame) < size {
		s.frame = make([]byte, size)
	}
	frame := s.frame[:size]
	if _, err := io.ReadFull(s.from, frame); err != nil {
		return nil, err
	}
	if frame[size-1] != frameEnd {
		return nil, errFrameEnd
	}
	return frame[frameHeadSize : size-1], nil
}
