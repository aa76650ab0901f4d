package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Declare implements [Declarer]. What was declared is declared again on every new
// connection, in case the server has lost it meanwhile. With Config.NoDeclare it does
// nothing.
func (c *Conn) Declare(ctx context.Context, t topology.Topology) error {
	if c.cfg.NoDeclare || t.IsZero() {
		return nil
	}
	if err := checkArgs(t); err != nil {
		return err
	}
	wait, casualties := reconnectPolicy(), 0
	for {
		link := c.declareLink()
		g, err := link.wait(ctx)
		if err != nil {
			return err
		}
		if err := g.whenFree(ctx); err != nil {
			return err
		}
		done := make(chan error, 1)
		c.background(func() { done <- g.declare(ctx, t) })
		select {
		case err = <-done:
		case <-ctx.Done(): // the calls that wait for the server take no context
			return fmt.Errorf("broker: declare: no answer: %w", context.Cause(ctx))
		}
		if err == nil {
			c.mu.Lock()
			c.declared = topology.Join(c.declared, t)
			c.mu.Unlock()
			return nil
		}
		if ctx.Err() != nil || channelOnly(err) && !c.mayPass(err, t) {
			return err
		}
		if channelOnly(err) {
			// If it does not pass, it will be so again.
			if casualties++; casualties == maxCasualties {
				return err
			}
		}
		if protocolError(err) && code(err) != amqp.InternalError {
			// Each time that took the connection away from everybody: an exchange of a kind that
			// needs a plugin, say.
			if casualties++; casualties == maxCasualties {
				return err
			}
		}
		// The connection died meanwhile, or the server could not decide in time. Declaring
		// again is harmless.
		if !sleep(ctx, wait.NextBackOff()) {
			return err
		}
	}
}

// mayPass reports whether err may mean that one of t's queues, which was just declared, was
// deleted before it could be bound or consumed, or that another client is declaring it at this
// moment: RabbitMQ says then that the queue is there, and its node is not.
func (c *Conn) mayPass(err error, t topology.Topology) bool {
	if code(err) != amqp.NotFound || len(t.Queues) == 0 || c.cfg.NoDeclare {
		return false
	}
	d, ok := errors.AsType[*DeclareError](err)
	return !ok || strings.HasPrefix(d.Object, "queue ") ||
		strings.HasPrefix(d.Object, "bind ") && strings.Contains(d.Object, " -> queue ")
}

// checkArgs finds arguments that the library would not write, before anything is made.
func checkArgs(t topology.Topology) error {
	for _, x := range t.Exchanges {
		if err := checkTable(x.String(), x.Args); err != nil {
			return err
		}
	}
	for _, q := range t.Queues {
		if err := checkTable(q.String(), q.Args); err != nil {
			return err
		}
	}
	for _, b := range append(t.Bindings[:len(t.Bindings):len(t.Bindings)], t.Unbind...) {
		if err := checkTable(b.String(), b.Args); err != nil {
			return err
		}
	}
	return nil
}

func checkTable(object string, args map[string]any) error {
	if _, err := sizeOf(args, 0); err != nil {
		return &DeclareError{Object: object, Err: err}
	}
	return nil
}

// declareLink prefers the publishing connection: its node has to know what was declared when
// something is published there, and in a cluster the others learn of it a moment later. Under a
// memory alarm the server leaves it without answers, but not the consuming one.
func (c *Conn) declareLink() *link {
	if p := c.publish.snapshot(); p.State == Connected && p.Blocked == "" {
		return c.publish
	}
	if s := c.consume.snapshot().State; s == Connecting || s == Connected {
		return c.consume
	}
	return c.publish
}

// declareAgain makes everything once more on a new connection. What somebody else has made
// with other properties meanwhile does not keep the rest from being made.
func (c *Conn) declareAgain(g *generation) error {
	c.mu.Lock()
	t := c.declared
	c.mu.Unlock()
	if t.IsZero() {
		return nil
	}
	err := g.declare(c.ctx, t)
	if !channelOnly(err) {
		return err
	}
	var errs []error
	for _, one := range singly(t) {
		errs = append(errs, g.declare(c.ctx, one))
	}
	return errors.Join(errs...)
}

// singly is t as topologies of one object each, in the same order.
func singly(t topology.Topology) (ones []topology.Topology) {
	for i := range t.Exchanges {
		ones = append(ones, topology.Topology{Exchanges: t.Exchanges[i : i+1]})
	}
	for i := range t.Queues {
		ones = append(ones, topology.Topology{Queues: t.Queues[i : i+1]})
	}
	for i := range t.Bindings {
		ones = append(ones, topology.Topology{Bindings: t.Bindings[i : i+1]})
	}
	for i := range t.Unbind {
		ones = append(ones, topology.Topology{Unbind: t.Unbind[i : i+1]})
	}
	return ones
}

// declare makes t on a channel of its own, because an error closes the channel.
func (g *generation) declare(ctx context.Context, t topology.Topology) error {
	ch, err := g.channel(nil)
	if err != nil {
		return err
	}
	defer g.closeChannel(ch)
	for _, x := range t.Exchanges {
		if err := g.step(ctx, x.String(), func() error {
			return ch.ExchangeDeclare(x.Name, x.Kind, true, false, false, false, table(x.Args))
		}); err != nil {
			return err
		}
	}
	for _, q := range t.Queues {
		if err := g.step(ctx, q.String(), func() error {
			_, err := ch.QueueDeclare(q.Name, true, false, false, false, table(q.Args))
			return err
		}); err != nil {
			return err
		}
	}
	for _, b := range t.Bindings {
		if err := g.step(ctx, b.String(), func() error { return bind(ch, b) }); err != nil {
			return err
		}
	}
	for _, b := range t.Unbind {
		if err := g.step(ctx, "un"+b.String(), func() error { return unbind(ch, b) }); err != nil {
			return err
		}
	}
	return nil
}

func bind(ch *rawChannel, b topology.Binding) error {
	if b.ToExchange {
		return ch.ExchangeBind(b.Destination, b.Key, b.Source, false, table(b.Args))
	}
	return ch.QueueBind(b.Destination, b.Key, b.Source, false, table(b.Args))
}

func unbind(ch *rawChannel, b topology.Binding) error {
	if b.ToExchange {
		return ch.ExchangeUnbind(b.Destination, b.Key, b.Source, false, table(b.Args))
	}
	return ch.QueueUnbind(b.Destination, b.Key, b.Source, table(b.Args))
}

func (g *generation) step(ctx context.Context, object string, f func() error) error {
	if ctx.Err() != nil {
		return &DeclareError{Object: object, Err: context.Cause(ctx)}
	}
	if err := g.call("declare "+object, f); err != nil {
		return &DeclareError{Object: object, Err: err}
	}
	return nil
}
