package broker

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A followed is a frame, and the channels that are open after it.
type followed struct {
	open   map[uint16]uint64
	serial uint64
	last   uint16
}

// randomFrame is one that a client may write. Those of messages begin like methods.
func randomFrame(random *rand.Rand) frame {
	methods := []string{"channel.open", "channel.open", "channel.close", "channel.close-ok", "basic.consume", "basic.ack", "channel.open-ok"}
	f := frame{methodFrame, uint16(random.IntN(4)) * 257, method(methods[random.IntN(len(methods))])}
	f.payload = append(f.payload, make([]byte, random.IntN(2)*random.IntN(40))...)
	switch random.IntN(6) {
	case 0:
		f.kind = headerFrame
	case 1:
		f.kind, f.payload = bodyFrame, f.payload[:random.IntN(len(f.payload)+1)]
	case 2:
		return frame{heartbeatFrame, 0, nil}
	case 3:
		f.kind, f.payload = bodyFrame, bytes.Repeat(f.payload, 100)
	}
	return f
}

// randomStream is what a client writes, from the protocol's header on.
func randomStream(random *rand.Rand, frames int) (stream []byte, after map[int]followed) {
	stream = []byte("AMQP\x00\x00\x09\x01")
	now := followed{open: map[uint16]uint64{}}
	after = map[int]followed{len(stream): now}
	for range frames {
		f := randomFrame(random)
		stream = f.appendTo(stream)
		now.open = maps.Clone(now.open)
		if f.kind == methodFrame {
			switch methodNames[binary.BigEndian.Uint32(f.payload)] {
			case "channel.open":
				now.serial++
				now.open[f.channel], now.last = now.serial, f.channel
			case "channel.close", "channel.close-ok":
				delete(now.open, f.channel)
			}
		}
		after[len(stream)] = now
	}
	return stream, after
}

// However the library's frames are cut, it is known where they end and which channels are open.
func TestOutgoingFollowsFrames(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		stream, after := randomStream(random, 60)
		for _, most := range []int{1, 12, 300, len(stream)} {
			o := outgoing{owed: protocolHeader}
			for at := 0; at < len(stream); {
				n := min(1+random.IntN(most), len(stream)-at)
				o.follow(slices.Clip(stream[at : at+n]))
				at += n
				want, ends := after[at]
				if o.whole() != ends {
					t.Fatalf("seed %d, pieces up to %d: at %d it is whole: %t, want %t", seed, most, at, o.whole(), ends)
				}
				if ends && (!maps.Equal(o.open, want.open) || o.serial != want.serial || o.last != want.last) {
					t.Fatalf("seed %d, pieces up to %d: at %d got %v, %d, %d, want %+v", seed, most, at, o.open, o.serial, o.last, want)
				}
			}
			if !o.whole() {
				t.Errorf("seed %d, pieces up to %d: the last frame does not end", seed, most)
			}
		}
	}
}

// What the library really writes is followed, too.
func TestOutgoingFollowsTheLibrary(t *testing.T) {
	t.Parallel()
	withLibrary(t, func(t *testing.T, l *library) {
		o := outgoing{}
		for _, m := range slices.Concat(named(), bodies(maxFrame)) {
			stream := l.publishes(t, m)
			for _, b := range stream {
				if o.follow([]byte{b}); o.whole() && b != frameEnd {
					t.Fatal("a frame ends with another byte")
				}
			}
			if !o.whole() || len(o.open) > 0 {
				t.Fatalf("after a message %d bytes are owed, and %v is open", o.owed, o.open)
			}
		}
	})
}
