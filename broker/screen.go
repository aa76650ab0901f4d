package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Unreadable is the header that a message has in the place of all its others, if the AMQP
// library could not read them. Its value says why.
const Unreadable = "errand-unreadable"

// What amqp091-go reads at most. It ends the whole connection over a message with more, with
// all deliveries on it; the server hands out the same message again, and so on.
const (
	maxReadDepth    = 32   // tables and lists in each other
	maxReadElements = 8192 // of one table or list
	maxScreened     = 4 << 20
	// leastUnreadable is the size of the smallest frame that can be too much: lists in each
	// other, of five bytes each. Most are smaller, and cost nothing.
	leastUnreadable = 5 * maxReadDepth
)

const (
	frameHeadSize = 7 // type, channel and size
	frameMethod   = 1 // type of the frame with a method
	contentHeader = 2 // type of the frame with a message's properties
	flagHeaders   = 1 << 13

	channelOpenOk = 20<<16 | 11 // class and method
	channelClose  = 20<<16 | 40
)

// A screen reads what comes from the server, and takes out what the library would choke on:
// headers of messages, and what the server sends on a channel after it has closed it.
type screen struct {
	from   *bufio.Reader
	limit  int             // of a frame as negotiated; what the server adds to headers may exceed it
	left   int             // bytes of the frame that is passed on as it is
	ready  []byte          // of a frame that was looked at
	frame  []byte          // room for one
	closed map[uint16]bool // channels that the server has closed, and not opened again
}

// Read implements io.Reader.
func (s *screen) Read(p []byte) (n int, err error) {
	for {
		if len(s.ready) > 0 {
			k := copy(p[n:], s.ready)
			s.ready, n = s.ready[k:], n+k
		} else if s.left > 0 {
			k, err := s.from.Read(p[n : n+min(len(p)-n, s.left)])
			s.left, n = s.left-k, n+k
			if err != nil {
				return n, err
			}
		} else if err := s.next(); err != nil {
			return n, err
		}
		// What has come already goes out at once, as much as there is room for.
		if n == len(p) || n > 0 && len(s.ready) == 0 && s.from.Buffered() < frameHeadSize {
			return n, nil
		}
	}
}

// next looks at the beginning of a frame.
func (s *screen) next() error {
	head, err := s.from.Peek(frameHeadSize)
	if err != nil {
		return err
	}
	if head[0] < 1 || head[0] > 8 {
		s.left = math.MaxInt // not AMQP: the library knows what to say
		return nil
	}
	size := int(binary.BigEndian.Uint32(head[3:])) + frameHeadSize + 1
	if dropped, err := s.drop(head, size); dropped || err != nil {
		return err
	}
	if head[0] != contentHeader || size < leastUnreadable || size > maxScreened {
		s.left = size
		return nil
	}
	if cap(s.frame) < size {
		s.frame = make([]byte, size)
	}
	frame := s.frame[:size]
	for n := 0; n < size; {
		k, err := s.from.Read(frame[n:])
		if err != nil {
			return err
		}
		n += k
	}
	s.ready = s.readable(frame)
	return nil
}

// drop takes a frame out that comes on a channel which the server has closed. RabbitMQ closes
// a channel whose delivery was not answered in time while it still gives out others on it,
// and the library would end the whole connection over that.
func (s *screen) drop(head []byte, size int) (dropped bool, err error) {
	channel := binary.BigEndian.Uint16(head[1:])
	if head[0] == frameMethod && size > frameHeadSize+4 {
		if head, err = s.from.Peek(frameHeadSize + 4); err != nil {
			return false, err
		}
		switch binary.BigEndian.Uint32(head[frameHeadSize:]) {
		case channelClose:
			if s.closed == nil {
				s.closed = map[uint16]bool{}
			}
			s.closed[channel] = true
			return false, nil
		case channelOpenOk:
			delete(s.closed, channel)
		}
	}
	if !s.closed[channel] {
		return false, nil
	}
	_, err = s.from.Discard(size)
	return true, err
}

// readable is frame, or the same without the headers that are the reason why not.
func (s *screen) readable(frame []byte) []byte {
	const fixed = frameHeadSize + 14 // class, weight, body size, flags
	if len(frame) < fixed+1 {
		return frame
	}
	flags := binary.BigEndian.Uint16(frame[fixed-2:])
	if flags&flagHeaders == 0 {
		return frame
	}
	at := fixed
	for flag := uint16(1 << 15); flag > flagHeaders; flag >>= 1 { // content type and encoding
		if flags&flag != 0 {
			at += 1 + int(frame[min(at, len(frame)-1)])
		}
	}
	if at+4 > len(frame)-1 {
		return frame
	}
	end := at + 4 + int(binary.BigEndian.Uint32(frame[at:]))
	if end > len(frame)-1 {
		return frame
	}
	reason := ""
	if err := checkFields(frame[at+4:end], true, 0); err != nil {
		reason = err.Error()
	} else if s.limit > 0 && len(frame) > s.limit {
		reason = fmt.Sprintf("with them the message's properties have %d bytes, and a frame at most %d", len(frame), s.limit)
	}
	if reason == "" {
		return frame
	}
	table := append([]byte{byte(len(Unreadable))}, Unreadable...)
	table = append(binary.BigEndian.AppendUint32(append(table, 'S'), uint32(len(reason))), reason...)
	short := append(make([]byte, 0, 512), frame[:at]...)
	short = append(binary.BigEndian.AppendUint32(short, uint32(len(table))), table...)
	short = append(short, frame[end:]...)
	binary.BigEndian.PutUint32(short[3:], uint32(len(short)-frameHeadSize-1))
	return short
}

var errField = errors.New("a value in them is none of AMQP's")

// checkFields walks a table, whose values have names, or a list.
func checkFields(b []byte, named bool, depth int) error {
	if depth > maxReadDepth {
		return fmt.Errorf("nested deeper than %d levels", maxReadDepth)
	}
	for n := 0; len(b) > 0; n++ {
		if n == maxReadElements {
			return fmt.Errorf("a table or list in them has more than %d elements", maxReadElements)
		}
		if named {
			skip := 1 + int(b[0])
			if skip >= len(b) {
				return errField
			}
			b = b[skip:]
		}
		kind := b[0]
		b = b[1:]
		size := fieldSize(kind)
		if size < 0 { // it tells its size
			if len(b) < 4 {
				return errField
			}
			size = int(binary.BigEndian.Uint32(b))
			b = b[4:]
		}
		if size > len(b) {
			return errField
		}
		if kind == 'F' || kind == 'A' {
			if err := checkFields(b[:size], kind == 'F', depth+1); err != nil {
				return err
			}
		}
		b = b[size:]
	}
	return nil
}

// fieldSize is the size of a value of that type, or -1 if it is in front of the value.
func fieldSize(kind byte) int {
	switch kind {
	case 'V':
		return 0
	case 't', 'b', 'B':
		return 1
	case 's', 'u':
		return 2
	case 'I', 'i', 'f':
		return 4
	case 'D':
		return 5
	case 'l', 'd', 'T':
		return 8
	case 'S', 'x', 'F', 'A':
		return -1
	}
	return math.MaxInt
}
