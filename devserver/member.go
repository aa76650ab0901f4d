package devserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/client"
	tcexec "github.com/testcontainers/testcontainers-go/exec"
)

// A Member is one node of a server that has several. Its methods do to it what operators,
// crashes and networks do; each returns when that is done. Whoever takes a member away gives
// it back: management calls, those of NewVhost too, go to the first one.
type Member struct {
	cluster *cluster
	node    *containerNode
}

// Members returns the nodes of a server that has several, and nil for any other.
func (s *Server) Members() []*Member {
	c, ok := s.backend.(*cluster)
	if !ok {
		return nil
	}
	members := make([]*Member, len(c.nodes))
	for i, n := range c.nodes {
		members[i] = &Member{c, n}
	}
	return members
}

// Name returns the node's name, as rabbitmqctl takes it.
func (m *Member) Name() string { return m.node.nodename() }

// Of returns the one URL of this member among those of the server, or of a vhost of it.
func (m *Member) Of(urls string) (string, error) {
	list, err := parseURLs(urls)
	if err != nil {
		return "", fmt.Errorf("devserver: %w", err)
	}
	for _, u := range list {
		if u.Host == m.node.endpoint.url.Host {
			return u.String(), nil
		}
	}
	return "", fmt.Errorf("devserver: no URL is of %s", m.Name())
}

// Kill ends the node without warning.
func (m *Member) Kill(ctx context.Context) error { return m.did("kill", m.node.kill(ctx)) }

// Shutdown ends the node in order, as an operator does.
func (m *Member) Shutdown(ctx context.Context) error {
	return m.did("shutdown", m.node.shutdown(ctx))
}

// Start starts the node after Kill or Shutdown, with the data that it had.
func (m *Member) Start(ctx context.Context) error { return m.did("start", m.node.start(ctx)) }

// Isolate cuts the node from the other members. Clients still reach it.
func (m *Member) Isolate(ctx context.Context) error {
	_, err := m.node.engine.NetworkDisconnect(ctx, m.node.network, client.NetworkDisconnectOptions{
		Container: m.node.container.GetContainerID(), Force: true,
	})
	return m.did("isolate", err)
}

// Rejoin ends Isolate, and returns when all members see each other again.
func (m *Member) Rejoin(ctx context.Context) error {
	err := m.node.join(ctx, m.node.container.GetContainerID())
	if err == nil {
		err = m.cluster.waitJoined(ctx)
	}
	return m.did("rejoin", err)
}

// Run runs a command beside the node, such as "rabbitmqctl", "cluster_status", and returns
// what it printed.
func (m *Member) Run(ctx context.Context, command ...string) (string, error) {
	out, err := m.node.exec(ctx, command...)
	return out, m.did(strings.Join(command, " "), err)
}

func (m *Member) did(what string, err error) error {
	if err != nil {
		return fmt.Errorf("devserver: %s: %s: %w", m.Name(), what, err)
	}
	return nil
}

// shutdown returns when the node has ended by itself. Its container stays.
func (c *containerNode) shutdown(ctx context.Context) error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	_, err := c.exec(ctx, "/bin/sh", "-c", `cd "$0" && touch killed && pid=$(cat broker.pid) && kill -TERM "$pid" || exit 1
		while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done`, containerDir)
	return err
}

func (c *containerNode) exec(ctx context.Context, command ...string) (string, error) {
	// The system's wrappers of RabbitMQ's commands work for its own user only.
	path := []string{"PATH=/usr/lib/rabbitmq/bin:/opt/rabbitmq/sbin:/opt/erlang/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	code, output, err := c.container.Exec(ctx, command, tcexec.Multiplexed(), tcexec.WithEnv(path))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(output)
	if err == nil && code != 0 {
		err = fmt.Errorf("exit code %d: %s", code, text)
	}
	if ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx))
	}
	return string(text), err
}

// closeManagement drops the idle connections of an endpoint that was found.
func (e endpoint) closeManagement() {
	if e.manage != nil {
		e.manage.close()
	}
}
