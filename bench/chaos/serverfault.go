package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/bench/chaos/role"
)

// tick is how often a server before RabbitMQ 4.3 looks for deliveries past their timeout.
const tick = time.Minute

// serverFaults are done by the server, or to it.
func serverFaults() []fault {
	return []fault{
		{name: "connections-closed", server: true, strike: connectionsClosed},
		{name: "channel-closed", strike: channelClosed},
		{name: "delivery-timeout", takes: tick, strike: deliveryTimedOut},
		{name: "queue-deleted", server: true, strike: queueDeleted},
		{name: "memory-alarm", server: true, takes: 5 * time.Second, strike: memoryAlarm},
		{name: "broker-killed", server: true, takes: 6 * time.Second, strike: brokerKilled},
	}
}

// connectionsClosed is an administrator who closes all connections.
func connectionsClosed(ctx context.Context, h *harness, _ *rand.Rand) (hit, error) {
	if err := h.cluster.closeConnections(ctx); err != nil {
		return hit{}, err
	}
	return now(h.children...), nil
}

// channelClosed has the server close a publishing channel over a message that is too large,
// while others are in flight on it.
func channelClosed(_ context.Context, h *harness, r *rand.Rand) (hit, error) {
	producers := h.of(role.Producer)
	c := producers[r.IntN(len(producers))]
	return now(c), c.tell(role.SendLarge)
}

// deliveryTimedOut has a job run for longer than the server waits for an answer. Before
// RabbitMQ 4.3 the channel is closed over it. It is over when a job that is sent after it
// is worked.
func deliveryTimedOut(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
	producers := h.of(role.Producer)
	c := producers[r.IntN(len(producers))]
	if err := c.tell(role.SendLong); err != nil {
		return hit{}, err
	}
	err := role.Sleep(ctx, tick+deliveryTimeout+5*time.Second)
	if err == nil {
		err = c.tell(role.SendQuick)
	}
	return hit{over: time.Now().Add(-time.Second), subjects: []book.Subject{book.OfKind(role.KindLong)}}, err
}

// startsUp is for how long no queue is deleted on a node that has just started. RabbitMQ 3.10.8
// begins to send on a queue's dead letters then, and where the queue is deleted at that moment
// the supervisor of all such senders ends with this one (rabbit_fifo_dlx_sup). From then on the
// queues of the whole node crash again and again, until it is started anew.
const startsUp = 10 * time.Second

// queueDeleted deletes a queue under its consumers, with all that is in it.
func queueDeleted(ctx context.Context, h *harness, _ *rand.Rand) (hit, error) {
	if err := role.Sleep(ctx, startsUp-time.Since(h.started)); err != nil {
		return hit{}, err
	}
	h.deleted = time.Now()
	if err := h.queues.delete(role.QueueSacrifice); err != nil {
		return hit{}, err
	}
	return hit{over: time.Now(), subjects: []book.Subject{book.OfKind(role.KindSacrifice)}}, nil
}

// memoryAlarm makes the server stop reading from everybody who publishes: the alarm of one node
// is that of all.
func memoryAlarm(ctx context.Context, h *harness, r *rand.Rand) (hit, error) {
	release, err := h.cluster.exhaust(ctx, r.IntN(h.cluster.size()))
	if err != nil {
		return hit{}, err
	}
	err = role.Sleep(ctx, between(r, 500*time.Millisecond, 4*time.Second))
	release()
	return now(h.children...), err
}

// brokerKilled kills all nodes there are at once, as a power failure does, and starts them again.
func brokerKilled(ctx context.Context, h *harness, _ *rand.Rand) (hit, error) {
	if err := h.awaitRegistered(ctx); err != nil {
		return hit{}, err
	}
	err := h.cluster.restart(ctx)
	h.started = time.Now()
	return now(h.children...), err
}
