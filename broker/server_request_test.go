package broker

import (
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A request is a method that the scripted server was sent. Which fields mean something
// depends on the method.
type request struct {
	peer    *peer
	channel uint16
	method  string

	user, password, vhost string

	exchange string // of a binding, its source
	queue    string // of a binding, its destination, which may be an exchange
	key      string
	kind     string // of an exchange
	consumer string
	args     amqp.Table
	prefetch uint16
	flags    byte // as bits tells
	code     uint16
	text     string

	tag     uint64 // a publish's place among those of its channel, or that of the delivery that is answered
	id      string // of the message
	content content
}

// bits are the flags of a method that tests ask for.
var bits = map[string]byte{
	"passive": 1, "durable": 2, "exclusive": 4, "auto-delete": 8,
	"mandatory": 1, "no-ack": 2, "multiple": 1,
}

func (r *request) is(flag string) bool {
	bit, ok := bits[flag]
	if !ok {
		panic("no flag " + flag)
	}
	return r.flags&bit != 0
}

// String is the request in short, for comparing.
func (r *request) String() string {
	parts := []string{r.method}
	for _, s := range []string{r.exchange, r.kind, r.key, r.queue, r.id} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if r.tag != 0 && r.id == "" {
		parts = append(parts, fmt.Sprint(r.tag))
	}
	return strings.Join(parts, " ")
}

// decode reads the payload of a method frame.
func decode(p *peer, channel uint16, payload []byte) *request {
	d := &decoder{payload}
	id := d.u32()
	r := &request{peer: p, channel: channel, method: methodNames[id]}
	switch r.method {
	case "connection.start-ok":
		d.table()
		r.kind = d.short()
		if login := strings.Split(d.long(), "\x00"); len(login) == 3 {
			r.user, r.password = login[1], login[2]
		}
	case "connection.open":
		r.vhost = d.short()
	case "connection.close", "channel.close":
		r.code, r.text = d.u16(), d.short()
	case "exchange.declare":
		d.u16()
		r.exchange, r.kind, r.flags, r.args = d.short(), d.short(), d.u8(), d.table()
	case "exchange.bind", "exchange.unbind":
		d.u16()
		r.queue, r.exchange, r.key, r.flags, r.args = d.short(), d.short(), d.short(), d.u8(), d.table()
	case "queue.declare":
		d.u16()
		r.queue, r.flags, r.args = d.short(), d.u8(), d.table()
	case "queue.bind":
		d.u16()
		r.queue, r.exchange, r.key, r.flags, r.args = d.short(), d.short(), d.short(), d.u8(), d.table()
	case "queue.unbind":
		d.u16()
		r.queue, r.exchange, r.key, r.args = d.short(), d.short(), d.short(), d.table()
	case "basic.qos":
		d.u32()
		r.prefetch = d.u16()
	case "basic.consume":
		d.u16()
		r.queue, r.consumer, r.flags, r.args = d.short(), d.short(), d.u8(), d.table()
	case "basic.cancel":
		r.consumer = d.short()
	case "basic.publish":
		d.u16()
		r.exchange, r.key, r.flags = d.short(), d.short(), d.u8()
	case "basic.ack", "basic.nack", "basic.reject":
		r.tag, r.flags = d.u64(), d.u8()
	case "connection.tune-ok", "connection.close-ok", "channel.open", "channel.close-ok", "confirm.select":
	default:
		panic(fmt.Sprintf("the scripted server does not know method %d.%d %s", id>>16, id&0xffff, r.method))
	}
	return r
}

// answer does what a server does where nothing is wrong.
func (r *request) answer() {
	switch r.method {
	case "connection.start-ok":
		r.reply(method("connection.tune").u16(2047).u32(maxFrame).u16(60))
	case "connection.open":
		r.reply(method("connection.open-ok").short(""))
	case "connection.close":
		r.reply(method("connection.close-ok"))
		r.peer.end()
	case "connection.close-ok":
		r.peer.end()
	case "channel.open":
		r.reply(method("channel.open-ok").long(""))
	case "channel.close", "exchange.declare", "exchange.bind", "exchange.unbind", "queue.bind", "queue.unbind", "basic.qos", "confirm.select":
		r.reply(method(r.method + "-ok"))
	case "queue.declare":
		r.declared(0)
	case "basic.consume":
		r.peer.server.subscribe(r)
		r.reply(method("basic.consume-ok").short(r.consumer))
	case "basic.cancel":
		r.reply(method("basic.cancel-ok").short(r.consumer))
	case "basic.publish":
		r.ack()
	}
}

func (r *request) reply(m encoder) { r.peer.send(frame{methodFrame, r.channel, m}.appendTo(nil)) }

// declared answers queue.declare by how many messages are ready.
func (r *request) declared(messages uint32) {
	name := r.queue
	if name == "" {
		name = r.peer.server.generated()
	}
	r.reply(method("queue.declare-ok").short(name).u32(messages).u32(0))
}

// ack and nack confirm a publish.
func (r *request) ack()  { r.reply(method("basic.ack").u64(r.tag).flags(false)) }
func (r *request) nack() { r.reply(method("basic.nack").u64(r.tag).flags(false, false)) }

// bounce returns a publish that no queue takes.
func (r *request) bounce() {
	m := method("basic.return").u16(amqp.NoRoute).short("NO_ROUTE").short(r.exchange).short(r.key)
	r.peer.send(r.content.appendTo(nil, r.channel, m))
}

// refuse closes the channel.
func (r *request) refuse(code uint16) { r.peer.closeChannel(r.channel, code) }

// abort closes the connection.
func (r *request) abort(code uint16) { r.peer.close(code) }
