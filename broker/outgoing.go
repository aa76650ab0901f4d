package broker

import "encoding/binary"

// An outgoing follows the frames that the library writes, which may come in pieces: it knows
// where others may be put between them, and which channels they may still be on.
type outgoing struct {
	owed   int               // bytes of the frame under way, or of what precedes all frames
	head   []byte            // of a frame, as much as there is
	serial uint64            // of the last channel that was opened
	last   uint16            // that channel's number
	open   map[uint16]uint64 // serial numbers of the channels that are
}

// protocolHeader is what a client begins with: "AMQP" and a version.
const protocolHeader = 8

// whole reports whether no frame is under way.
func (o *outgoing) whole() bool { return o.owed == 0 && len(o.head) == 0 }

// follow takes note of what is written.
func (o *outgoing) follow(p []byte) {
	for len(p) > 0 {
		if o.owed > 0 {
			n := min(o.owed, len(p))
			o.owed, p = o.owed-n, p[n:]
			continue
		}
		n := min(o.headSize()-len(o.head), len(p))
		o.head, p = append(o.head, p[:n]...), p[n:]
		if len(o.head) == o.headSize() {
			o.begin()
		}
	}
}

// headSize is how much of a frame has to be looked at: of a method, which one it is.
func (o *outgoing) headSize() int {
	if len(o.head) >= frameHeadSize && o.head[0] == frameMethod {
		return frameHeadSize + 4
	}
	return frameHeadSize
}

func (o *outgoing) begin() {
	size := int(binary.BigEndian.Uint32(o.head[3:])) + frameOverhead
	if o.head[0] == frameMethod {
		channel := binary.BigEndian.Uint16(o.head[1:])
		switch binary.BigEndian.Uint32(o.head[frameHeadSize:]) {
		case channelOpen:
			if o.open == nil {
				o.open = map[uint16]uint64{}
			}
			o.serial++
			o.last, o.open[channel] = channel, o.serial
		case channelClose, channelCloseOk:
			delete(o.open, channel)
		}
	}
	o.owed = size - len(o.head)
	o.head = o.head[:0]
}
