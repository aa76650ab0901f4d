package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/errandq/errand/devserver"
)

// A cluster is the RabbitMQ that things are done to, of one node or of several. What asks its
// management API, that of the first node, must not run while a node is away: see fault.server.
type cluster struct {
	server    *devserver.Server
	members   []*devserver.Member // none of a single node
	urls      []string            // of the run's virtual host, one for each node
	elsewhere []string            // of what fills the memory, likewise
	api       *api
}

// Settings of the server, low enough to be run into. The alarm's memory is that of a server
// without much to do, twice.
const (
	deliveryTimeout = 4 * time.Second
	largestMessage  = 64 << 10
	alarmMemory     = 400 << 20
	// The server keeps what is in its write-ahead log in memory, too: half a gigabyte by
	// default, which would hide any trend.
	largestLog = 32 << 20
)

var serverConfig = fmt.Sprintf(`
consumer_timeout = %d
max_message_size = %d
vm_memory_high_watermark.absolute = %d
vm_memory_calculation_strategy = erlang
memory_monitor_interval = 500
collect_statistics_interval = 1000
raft.wal_max_size_bytes = %d
`, deliveryTimeout.Milliseconds(), largestMessage, alarmMemory, largestLog)

// startCluster starts a private server of so many nodes; of zero, as the environment says.
func startCluster(ctx context.Context, nodes int) (c *cluster, err error) {
	server, err := devserver.Start(ctx, devserver.Options{
		Private: true, Nodes: nodes, Config: serverConfig, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, server.Stop())
		}
	}()
	c = &cluster{server: server, members: server.Members()}
	if c.urls, err = newVhost(ctx, server); err != nil {
		return nil, err
	}
	if c.elsewhere, err = newVhost(ctx, server); err != nil {
		return nil, err
	}
	c.api, err = newAPI(server.ManagementURL(), c.urls[0])
	return c, err
}

// newVhost returns the URLs of a new virtual host, one for each node.
func newVhost(ctx context.Context, server *devserver.Server) ([]string, error) {
	urls, err := server.NewVhost(ctx)
	return strings.Split(urls, ","), err
}

// how says in a line what it is.
func (c *cluster) how() string { return c.server.How() }

// size is how many nodes there are.
func (c *cluster) size() int { return len(c.urls) }

// name is what a node is called.
func (c *cluster) name(node int) string {
	if c.members == nil {
		return "the only node"
	}
	return c.members[node].Name()
}

// addresses are those of the nodes, each host:port.
func (c *cluster) addresses() (all []string) {
	for _, u := range c.urls {
		all = append(all, parsed(u).Host)
	}
	return all
}

// through is the URL of the run's virtual host with the nodes' addresses replaced.
func (c *cluster) through(addresses []string) string {
	var all []string
	for i, raw := range c.urls {
		u := parsed(raw)
		u.Host = addresses[i]
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}

// parsed is a URL that devserver has made.
func parsed(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(fmt.Sprintf("chaos: the server's own URL does not parse: %v", err))
	}
	return u
}

// restart kills all nodes at once, and returns when they take connections again.
func (c *cluster) restart(ctx context.Context) error { return c.server.Restart(ctx) }

// closeConnections closes those of the run's user as an administrator does.
func (c *cluster) closeConnections(ctx context.Context) error {
	return c.server.CloseConnections(ctx, "chaos", c.urls[0])
}

// exhaust raises the memory alarm of a node until release.
func (c *cluster) exhaust(ctx context.Context, node int) (release func(), err error) {
	g, err := newHog(c.elsewhere[node], 2*alarmMemory)
	if err != nil {
		return nil, err
	}
	if err := c.api.awaitAlarm(ctx); err != nil {
		g.close()
		return nil, err
	}
	return g.close, nil
}

// observe is what the server holds.
func (c *cluster) observe(ctx context.Context) (holdings, error) { return c.api.observe(ctx) }

func (c *cluster) close() error {
	c.api.http.CloseIdleConnections()
	return c.server.Stop()
}
