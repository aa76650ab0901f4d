package broker

import (
	"bufio"
	"errors"
	"io"
)

var (
	errFrameEnd = errors.New("broker: the server sent a frame without its end")
	errBody     = errors.New("broker: the server sent a body longer than it said")
)

// ahead is how much memory a body is given before it has come.
const ahead = 128 << 10

// An inward puts together what comes in on one channel: a message is a method, a header, and
// a body in frames. A nil one expects nothing.
type inward struct {
	to   receiver // of what is under way; nil: nobody
	last names

	expects byte      // the kind of frame that comes next of a message; 0: none is under way
	d       *Delivery // what is under way; of a returned message only its Message counts
	back    bool      // it is returned
	code    uint16    // why
	text    string
	missing uint64 // bytes of its body
}

func (in *inward) expectsHeader() bool { return in != nil && in.expects == frameHeader }
func (in *inward) expectsBody() bool   { return in != nil && in.expects == frameBody }

// method takes in a method with those arguments.
func (in *inward) method(id uint32, arguments []byte) error {
	args := &input{left: arguments}
	switch id {
	case basicAck, basicNack:
		tag, flags := args.u64(), args.u8()
		if args.short {
			return errShort
		}
		if in.to != nil {
			in.to.confirmed(tag, flags&1 != 0, id == basicAck)
		}
		return nil
	case basicDeliver:
		args.text() // the consumer's tag: a channel has one consumer
		in.d, in.back = &Delivery{tag: args.u64(), Redelivered: args.u8()&1 != 0}, false
	case basicReturn:
		in.code, in.text = args.u16(), string(args.text())
		in.d, in.back = &Delivery{}, true
	}
	in.d.Exchange, in.d.Key = again(&in.last.exchange, args.text()), again(&in.last.key, args.text())
	in.expects = frameHeader
	if args.short {
		return errShort
	}
	return nil
}

func (in *inward) header(payload []byte) (err error) {
	in.missing, err = readHeader(payload, &in.d.Message, &in.last)
	if err != nil {
		return err
	}
	in.expects = frameBody
	if in.missing == 0 {
		in.complete()
		return nil
	}
	if in.to != nil {
		in.d.Body = make([]byte, 0, min(in.missing, ahead))
	}
	return nil
}

// readBody reads a body frame of that size.
func (in *inward) readBody(from *bufio.Reader, size int) error {
	n := size - frameOverhead
	if uint64(n) > in.missing {
		return errBody
	}
	if _, err := from.Discard(frameHeadSize); err != nil {
		return err
	}
	if err := in.fill(from, n); err != nil {
		return err
	}
	if end, err := from.ReadByte(); err != nil {
		return err
	} else if end != frameEnd {
		return errFrameEnd
	}
	if in.missing -= uint64(n); in.missing == 0 {
		in.complete()
	}
	return nil
}

// fill reads n bytes of the body.
func (in *inward) fill(from *bufio.Reader, n int) error {
	if in.to == nil {
		_, err := from.Discard(n)
		return err
	}
	body := in.d.Body
	at := len(body)
	if at+n > cap(body) {
		body = append(make([]byte, 0, min(2*uint64(at+n), uint64(at)+in.missing)), body...)
	}
	in.d.Body = body[:at+n]
	_, err := io.ReadFull(from, in.d.Body[at:])
	return err
}

// complete hands over what is there.
func (in *inward) complete() {
	d := in.d
	in.d, in.expects = nil, 0
	switch {
	case in.to == nil:
	case in.back:
		in.to.returned(d.Message, in.code, in.text)
	default:
		d.Deliveries = deliveries(d.Headers, d.Redelivered)
		in.to.delivered(d)
	}
}
