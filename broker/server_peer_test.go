package broker

import (
	"bufio"
	"io"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A peer is the scripted server's side of one connection.
type peer struct {
	server *server
	raw    net.Conn
	over   chan struct{} // closed by cut

	// publishing has what is read of a message, by channel. Only read uses it.
	publishing map[uint16]*request

	mu       sync.Mutex
	changed  sync.Cond // of those below
	pending  []byte    // to be written
	ending   bool      // when that is done
	mute     bool      // nothing is answered
	stalled  bool      // nor read
	isOver   bool
	channels map[uint16]*peerChannel
}

type peerChannel struct {
	published, delivered uint64
	closing              bool // what comes in is dropped until close-ok
}

func newPeer(s *server, raw net.Conn) *peer {
	p := &peer{server: s, raw: raw, over: make(chan struct{}), publishing: map[uint16]*request{}, channels: map[uint16]*peerChannel{}}
	p.changed.L = &p.mu
	return p
}

// read takes in what the client sends until it is cut off.
func (p *peer) read() {
	defer p.cut()
	r := bufio.NewReader(p.raw)
	if _, err := io.ReadFull(r, make([]byte, len("AMQP0091"))); err != nil {
		return
	}
	properties := amqp.Table{"version": p.server.version, "capabilities": capabilities}
	start := method("connection.start").u8(0).u8(9).table(properties).long("PLAIN EXTERNAL").long("en_US")
	p.send(frame{methodFrame, 0, start}.appendTo(nil))
	for {
		f, err := readFrame(r)
		if err != nil || !p.reads() {
			return
		}
		if request := p.assemble(f); request != nil {
			p.server.handle(request)
		}
	}
}

// reads reports whether what comes in is still taken, or waits while it is not.
func (p *peer) reads() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled && !p.isOver {
		p.changed.Wait()
	}
	return !p.isOver
}

// assemble returns the request that f completes, or nil.
func (p *peer) assemble(f frame) *request {
	switch f.kind {
	case methodFrame:
		r := decode(p, f.channel, f.payload)
		if p.drops(r) {
			return nil
		}
		if r.method == "basic.publish" {
			p.publishing[f.channel] = r
			return nil
		}
		return r
	case headerFrame:
		r := p.publishing[f.channel]
		if r == nil {
			return nil
		}
		d := decoder{f.payload}
		d.u32() // class and weight
		size := d.u64()
		r.content = content{d.left, make([]byte, 0, size)}
		return p.complete(r)
	case bodyFrame:
		r := p.publishing[f.channel]
		if r == nil {
			return nil
		}
		r.content.body = append(r.content.body, f.payload...)
		return p.complete(r)
	}
	return nil // a heartbeat
}

// complete returns r if its body is, and gives it its tag.
func (p *peer) complete(r *request) *request {
	if len(r.content.body) < cap(r.content.body) {
		return nil
	}
	delete(p.publishing, r.channel)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.channels[r.channel]
	if c == nil || c.closing {
		return nil
	}
	c.published++
	r.tag, r.id = c.published, r.content.id()
	return r
}

// drops keeps the list of channels, and reports whether r came too late for its own.
func (p *peer) drops(r *request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.channels[r.channel]
	switch {
	case r.method == "channel.open":
		p.channels[r.channel] = &peerChannel{}
	case r.method == "channel.close":
		delete(p.channels, r.channel)
	case r.method == "channel.close-ok":
		delete(p.channels, r.channel)
		return true
	case r.channel != 0:
		return c == nil || c.closing
	}
	return false
}

func (p *peer) deliveryTag(channel uint16) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.channels[channel]
	if c == nil {
		return 1 // nobody will hear of it
	}
	c.delivered++
	return c.delivered
}

// write sends what is pending, and heartbeats, until it is cut off.
func (p *peer) write() {
	defer p.cut()
	beat := time.NewTicker(4 * time.Second)
	defer beat.Stop()
	p.server.wg.Go(func() {
		for {
			select {
			case <-beat.C:
				p.send(frame{heartbeatFrame, 0, nil}.appendTo(nil))
			case <-p.over:
				return
			}
		}
	})
	for {
		p.mu.Lock()
		for len(p.pending) == 0 && !p.isOver && !p.ending {
			p.changed.Wait()
		}
		b := p.pending
		p.pending = nil
		p.mu.Unlock()
		if len(b) == 0 {
			return
		}
		if _, err := p.raw.Write(b); err != nil {
			return
		}
	}
}

func (p *peer) send(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.mute && !p.ending {
		p.pending = append(p.pending, b...)
	}
	p.changed.Broadcast()
}

// end cuts the connection when everything is written.
func (p *peer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ending = true
	p.changed.Broadcast()
}

// cut ends the connection without a word.
func (p *peer) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isOver {
		return
	}
	p.isOver = true
	close(p.over)
	p.changed.Broadcast()
	p.raw.Close() //nolint:errcheck // the other end may have done so
}

// silence makes the server say nothing any more, not even heartbeats, and read on.
func (p *peer) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = true
}

// stall makes the server stop reading as well.
func (p *peer) stall() {
	p.silence()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

// pause makes the server stop reading, as under an alarm, until resume.
func (p *peer) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

func (p *peer) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = false
	p.changed.Broadcast()
}

func (p *peer) closeChannel(channel, code uint16) {
	p.mu.Lock()
	if c := p.channels[channel]; c != nil {
		c.closing = true
	}
	p.mu.Unlock()
	p.send(frame{methodFrame, channel, method("channel.close").u16(code).short("scripted").u16(0).u16(0)}.appendTo(nil))
}

func (p *peer) close(code uint16) {
	p.send(frame{methodFrame, 0, method("connection.close").u16(code).short("scripted").u16(0).u16(0)}.appendTo(nil))
}

// block says that the server takes no messages, and unblock that it does again.
func (p *peer) block(reason string) {
	p.send(frame{methodFrame, 0, method("connection.blocked").short(reason)}.appendTo(nil))
}

func (p *peer) unblock() { p.send(frame{methodFrame, 0, method("connection.unblocked")}.appendTo(nil)) }
