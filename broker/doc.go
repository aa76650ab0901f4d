// Package broker talks to RabbitMQ, reliably.
//
// [Dial] returns a [Conn] that stays usable through every outage: it holds one TCP
// connection for publishing and one for consuming, makes new ones when they die, declares
// its topology again, sends again what was not confirmed and goes on consuming. Callers
// wait meanwhile, each until its own context ends; [Conn.Status] tells what is going on.
//
//   - [Conn.Publish] returns nil when RabbitMQ has confirmed every message: routed to a
//     queue and, on a quorum queue, on the disks of a majority.
//   - [Conn.Consume] hands out deliveries until its context ends. Each is answered once:
//     Ack, Requeue or DeadLetter. An answer that comes after its connection or channel has
//     died does nothing and returns [ErrDeliveryLost], because RabbitMQ has already given
//     the message to somebody else.
//   - [Conn.Declare] makes exchanges, queues and bindings.
//
// It is the only package of errand that knows amqp091-go, which does the handshake, channels,
// declarations and consumers. Messages, confirms and returns it writes and reads itself, on the
// library's connections (decision 23). Most programs use it through packages producer and worker.
package broker
