package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
	"github.com/errandq/errand/devserver"
)

// leader is the node that leads a quorum queue, or has the only copy of another one.
func (c *cluster) leader(ctx context.Context, queue string) (node int, err error) {
	var q struct{ Node string }
	if err := c.api.get(ctx, "/api/queues"+parsed(c.urls[0]).Path+"/"+queue, &q); err != nil {
		return 0, err
	}
	node = slices.IndexFunc(c.members, func(m *devserver.Member) bool { return m.Name() == q.Node })
	if node < 0 {
		return 0, fmt.Errorf("queue %s: its node %q is no member", queue, q.Node)
	}
	return node, nil
}

// needed are the roles that can't work without a node. The queues of calls have one copy each,
// and calls are to be made of any of them.
func (c *cluster) needed(ctx context.Context, node int) (roles []string, err error) {
	for _, queue := range role.Methods() {
		home, err := c.leader(ctx, queue)
		if err != nil {
			return nil, err
		}
		if home == node {
			return []string{role.Caller, role.Server}, nil
		}
	}
	return nil, nil
}

// moveLeaders makes a node the leader of all quorum queues of the run. RabbitMQ's commands only
// move leaders where they are spread unevenly, so it calls what they call.
func (c *cluster) moveLeaders(ctx context.Context, node int) error {
	const program = `[rabbit_quorum_queue:transfer_leadership(Q, '%s')
		|| Q <- rabbit_amqqueue:list(<<"%s">>), amqqueue:get_type(Q) =:= rabbit_quorum_queue].`
	_, err := c.members[node].Run(ctx, "rabbitmqctl", "eval",
		fmt.Sprintf(program, c.name(node), parsed(c.urls[0]).Path[1:]))
	return err
}

// relinked is how long nodes may take to talk to each other when nothing is between them any
// more: TCP waits as long again as it was cut off before it tries, and Erlang looks once a minute.
const relinked = 2 * time.Minute

// awaitLinked waits until a node talks to all others. That they see each other says little:
// they have not noticed yet that they were cut off, or not yet that they are not.
func (c *cluster) awaitLinked(ctx context.Context, node int) error {
	program := fmt.Sprintf("[erpc:call(N, erlang, node, [], 1000) || N <- nodes()], length(nodes()) =:= %d.", c.size()-1)
	return until(ctx, relinked, c.name(node)+" talks to the others", func() (bool, error) {
		out, err := c.members[node].Run(ctx, "rabbitmqctl", "eval", program)
		return err == nil && strings.Contains(out, "true"), err
	})
}
