package devserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// networkLabel marks the networks of clusters. A process that was killed leaves its own
// behind, empty, and the next cluster removes it when it is older than staleNetwork.
const (
	networkLabel = "com.github.errandq.errand.devserver"
	staleNetwork = "10m"
)

// cluster are nodes in containers that know each other over a network of their own. Clients
// reach them by other ways, so that a node can be cut from its like and not from them.
type cluster struct {
	engine  engine
	network string // its ID
	nodes   []*containerNode
}

func runCluster(ctx context.Context, e engine, image string, o Options, log *slog.Logger) (s *Server, err error) {
	began := time.Now()
	c := &cluster{engine: e}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cluster of image %s: %w", image, err), c.stop())
		}
	}()
	if err := c.createNetwork(ctx); err != nil {
		return nil, err
	}
	conf := containerSettings(o.Config)
	conf.extra += c.name(o.Nodes)
	version, err := c.run(ctx, image, conf, log)
	if err != nil {
		return nil, err
	}
	var urls, hosts []string
	for _, n := range c.nodes {
		urls = append(urls, n.endpoint.url.String())
		hosts = append(hosts, n.endpoint.url.Host)
	}
	how := fmt.Sprintf("RabbitMQ %s in %d containers of %s, at %s, ready in %.1f s",
		version, len(c.nodes), image, strings.Join(hosts, ", "), time.Since(began).Seconds())
	return newServer(strings.Join(urls, ","), how, c.nodes[0].endpoint.manage, c), nil
}

// createNetwork makes the network of the nodes. It leads nowhere else, so the engine never
// publishes ports by it.
func (c *cluster) createNetwork(ctx context.Context) error {
	stale := make(client.Filters).Add("label", networkLabel).Add("until", staleNetwork)
	if _, err := c.engine.NetworkPrune(ctx, client.NetworkPruneOptions{Filters: stale}); err != nil {
		return fmt.Errorf("remove the networks of processes that were killed: %w", err)
	}
	made, err := c.engine.NetworkCreate(ctx, "errand-"+random(6), client.NetworkCreateOptions{
		Internal: true, Labels: map[string]string{networkLabel: "cluster"},
	})
	c.network = made.ID
	return err
}

// name makes n nodes, and returns the settings by which they find each other.
func (c *cluster) name(n int) (conf string) {
	var text strings.Builder
	text.WriteString("\ncluster_formation.peer_discovery_backend = classic_config\n")
	prefix := random(3)
	for i := range n {
		node := &containerNode{engine: c.engine, host: fmt.Sprintf("rabbit%d-%s", i+1, prefix), network: c.network}
		c.nodes = append(c.nodes, node)
		fmt.Fprintf(&text, "cluster_formation.classic_config.nodes.%d = %s\n", i+1, node.nodename())
	}
	return text.String()
}

// run starts the nodes and returns their version when they have joined.
func (c *cluster) run(ctx context.Context, image string, conf settings, log *slog.Logger) (version string, err error) {
	group, groupCtx := errgroup.WithContext(ctx)
	for i, n := range c.nodes {
		group.Go(func() error {
			v, err := n.run(groupCtx, image, conf, log)
			if i == 0 {
				version = v
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	return version, c.waitJoined(ctx)
}

// waitJoined returns when each node sees all of them.
func (c *cluster) waitJoined(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return poll(ctx, 100*time.Millisecond, func() error {
		for _, n := range c.nodes {
			seen, err := n.endpoint.manage.nodes(ctx)
			if err != nil {
				return err
			}
			if seen != len(c.nodes) {
				return fmt.Errorf("%s sees %d of %d nodes", n.nodename(), seen, len(c.nodes))
			}
		}
		return nil
	})
}

// waitUser returns when each node knows a user's permissions in a vhost: it was one of them
// that was told.
func (c *cluster) waitUser(ctx context.Context, vhost, user string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return poll(ctx, 20*time.Millisecond, func() error {
		for _, n := range c.nodes {
			if err := n.endpoint.manage.permitted(ctx, vhost, user); err != nil {
				return err
			}
		}
		return nil
	})
}

// restart implements [backend]: all nodes die at once.
func (c *cluster) restart(ctx context.Context) error {
	for _, step := range []func(*containerNode, context.Context) error{(*containerNode).kill, (*containerNode).start} {
		group, groupCtx := errgroup.WithContext(ctx)
		for _, n := range c.nodes {
			group.Go(func() error { return step(n, groupCtx) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return c.waitJoined(ctx)
}

// stop implements [backend].
func (c *cluster) stop() error {
	errs := make([]error, len(c.nodes))
	var group errgroup.Group
	for i, n := range c.nodes {
		group.Go(func() error {
			n.endpoint.closeManagement()
			errs[i] = n.stop()
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	if c.network != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := c.engine.NetworkRemove(ctx, c.network, client.NetworkRemoveOptions{})
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.engine.Close())...)
}

// join connects a container to the network of its cluster, if it is of one.
func (c *containerNode) join(ctx context.Context, id string) error {
	if c.network == "" {
		return nil
	}
	_, err := c.engine.NetworkConnect(ctx, c.network, client.NetworkConnectOptions{
		Container: id, EndpointConfig: &network.EndpointSettings{Aliases: []string{c.host}},
	})
	if err != nil {
		return fmt.Errorf("join the cluster's network: %w", err)
	}
	return nil
}

// poll calls f until it returns nil, or ctx ends.
func poll(ctx context.Context, every time.Duration, f func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
