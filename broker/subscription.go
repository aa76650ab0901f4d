package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A Subscription says what to consume, and how.
type Subscription struct {
	// Queue is consumed from. It must exist, or be in Topology. Empty means a temporary queue:
	// the server names it, it belongs to this connection and is deleted with it, and a new one
	// is made after each reconnect. What is in it then is lost. The bindings in Topology whose
	// Destination is empty are its own.
	Queue string
	// NoAck means that the server forgets a message when it has sent it: nothing is answered,
	// and Prefetch does not matter.
	NoAck bool
	// Prefetch is how many unanswered deliveries the server hands out at most. Zero means 1,
	// more than 65535 means 65535.
	Prefetch int
	// Topology is declared at the start, and again when the queue turns out to be gone.
	Topology topology.Topology
	// MaxTime is the longest that a delivery stays unanswered, as far as the consumer knows.
	// RabbitMQ takes a delivery back after its own limit, 30 minutes by default. From 4.3 on
	// Consume asks for a longer limit where MaxTime needs one; on older servers it logs a
	// warning that says how to lift it. Zero means that the default is long enough.
	MaxTime time.Duration
	// Drain, once closed, ends the consuming gracefully: no more is handed out, what was
	// received and not yet passed to deliver goes back to the queue, and Consume returns when
	// everything else is answered. Nil means that only ctx ends it.
	Drain <-chan struct{}
	// Finish means that after Drain what was received still goes to deliver, not back to the
	// queue.
	Finish bool
	// Settle is how long, after ctx has ended, Consume waits for the answers that are still
	// open. What is open then goes back to the queue. Zero means not at all.
	Settle time.Duration
}

// prefetch is what AMQP can say of Prefetch: it has 16 bits for it, and 0 means no limit.
func (s Subscription) prefetch() int { return min(max(s.Prefetch, 1), math.MaxUint16) }

// Declared is what of Topology a [Consumer] declares before it consumes: all of it, but for the
// bindings of a temporary queue, which is not there yet.
func (s Subscription) Declared() topology.Topology {
	if s.Queue != "" {
		return s.Topology
	}
	t := s.Topology
	t.Bindings = slices.DeleteFunc(slices.Clone(t.Bindings), func(b topology.Binding) bool { return b.Destination == "" })
	return t
}

// healthy is how long a session has to last before the next failure counts as a new one.
const healthy = 10 * time.Second

// Consume implements [Consumer].
func (c *Conn) Consume(ctx context.Context, s Subscription, deliver func(*Delivery)) error {
	return c.receive(ctx, c.consumeLink(), s, func(*session) Receiver { return Receiver{Deliver: deliver} })
}

// receive consumes on link until ctx or s.Drain ends it. begin is told of each channel.
func (c *Conn) receive(ctx context.Context, link *link, s Subscription, begin func(*session) Receiver) error {
	if err := checkArgs(s.Topology); err != nil {
		return err
	}
	soft, stop := context.WithCancel(ctx) // ends with ctx or s.Drain
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-s.Drain:
			stop()
		case <-soft.Done():
		}
	})
	defer wg.Wait()
	defer stop()

	err := c.Declare(soft, s.Declared())
	if err == nil {
		err = c.receiveOn(ctx, soft, link, s, begin)
	}
	if soft.Err() != nil && !errors.Is(err, ErrClosed) {
		return nil // ended on purpose, whatever it was in the middle of
	}
	return err
}

// receiveOn runs one session after the other until soft ends.
func (c *Conn) receiveOn(ctx, soft context.Context, link *link, s Subscription, begin func(*session) Receiver) error {
	log := c.cfg.Logger.With("queue", s.Queue)
	wait := reconnectPolicy()
	for worked := false; ; {
		g, err := link.wait(soft)
		if err != nil {
			return err
		}
		if err := g.whenFree(soft); err != nil {
			return err
		}
		began := time.Now()
		session, err := c.openSession(ctx, g, s)
		switch {
		case err == nil:
			if !worked {
				c.advise(g, s, log)
			}
			worked = true
			if err = session.run(ctx, s, begin(session)); err == nil {
				return nil
			}
			if time.Since(began) > healthy {
				wait.Reset()
			}
		case !worked && channelOnly(err) && !c.mayPass(err, s.Declared()):
			return fmt.Errorf("broker: consume %q: %w", s.Queue, err)
		}
		if soft.Err() != nil {
			return nil
		}
		if g.amqp.IsClosed() && !protocolError(err) {
			wait.Reset() // the link has its own patience with lost connections
		}
		log.Warn("consuming interrupted", "err", err)
		if errors.Is(err, errStarved) {
			c.starved.Add(1)
		}
		if code(err) == amqp.NotFound || errors.Is(err, errCancelled) {
			if err := c.Declare(soft, s.Declared()); err != nil {
				log.Warn("declaring the queue again failed", "err", err)
			}
		}
		sleep(soft, wait.NextBackOff())
	}
}

// advise warns of deliveries that may take longer than the server lets them.
func (c *Conn) advise(g *generation, s Subscription, log *slog.Logger) {
	if advice := timeoutAdvice(g.version(), g.endpoint.uri.Vhost, s.Queue, s.MaxTime); advice != "" {
		log.Warn("jobs may run longer than RabbitMQ lets a delivery stay unanswered", "timeout", s.MaxTime, "remedy", advice)
	}
}
