package devserver

import (
	"context"
	"net"
	"net/netip"
	"strconv"
)

// goDirect leaves the published ports for the container's own address, where that can be
// reached from here. On the engine's machine a process of the engine (docker-proxy) copies all
// that goes through a published port of the loopback interface: that takes CPU and time, which in
// a measurement would count as RabbitMQ's.
func (c *containerNode) goDirect(ctx context.Context, conf settings) error {
	own, err := c.address(ctx)
	if err != nil {
		return err
	}
	if direct, ok := reach(ctx, conf, own); ok {
		c.endpoint = direct
	}
	return nil
}

// address is the container's own, or invalid. That of a cluster's network does not count, because
// the node may be cut from it.
func (c *containerNode) address(ctx context.Context) (netip.Addr, error) {
	container, err := c.container.Inspect(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, n := range container.NetworkSettings.Networks {
		if n.NetworkID != c.network && n.IPAddress.IsValid() {
			return n.IPAddress, nil
		}
	}
	return netip.Addr{}, nil
}

// reach returns the endpoint at that address if our node, which is ready, answers there. Where
// the engine runs in a VM or on another machine nothing does, or a stranger, who does not know
// our password.
func reach(ctx context.Context, conf settings, own netip.Addr) (_ endpoint, ok bool) {
	if !own.IsValid() {
		return endpoint{}, false
	}
	at := func(port int) string { return net.JoinHostPort(own.String(), strconv.Itoa(port)) }
	e := newEndpoint(conf, at(conf.amqp), at(conf.manage))
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := e.probe(ctx); err != nil {
		e.manage.close()
		return endpoint{}, false
	}
	return e, true
}
