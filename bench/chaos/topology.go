package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// longestDelay is what the ladder is declared for.
const longestDelay = 4 * time.Second

// registered is how long a node must live on after a quorum queue was declared. It writes the
// queue's name to disk half a second later, and one that is killed before that forgets what it
// has confirmed, and never finds a leader for the queue again (RabbitMQ issue 15725). There
// is nothing that a client can do about it.
const registered = 2 * time.Second

// wanted is all that the run's jobs and calls need.
func wanted() topology.Topology {
	all := []topology.Topology{topology.Ladder("", longestDelay)}
	for _, queue := range role.Queues {
		all = append(all, topology.Work("", queue))
	}
	for _, queue := range role.Methods() {
		all = append(all, topology.Requests(queue))
	}
	return topology.Join(all...)
}

// prepare declares all of it before the first fault.
func (h *harness) prepare(ctx context.Context) (err error) {
	conn, err := broker.Dial(ctx, h.queues.url, broker.Config{Name: "chaos", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.Declare(ctx, wanted()); err != nil {
		return err
	}
	h.deleted = time.Now()
	return nil
}

// awaitRegistered waits until the node may be killed. The server's lock must be held, so that
// nobody deletes a queue meanwhile: see fault.server.
func (h *harness) awaitRegistered(ctx context.Context) error {
	if time.Since(h.deleted) > time.Minute {
		return nil
	}
	err := until(ctx, recovery, "the deleted queue is there again", func() (bool, error) {
		return h.queues.exists(role.QueueSacrifice)
	})
	if err != nil {
		return err
	}
	h.deleted = time.Time{}
	return role.Sleep(ctx, registered)
}
