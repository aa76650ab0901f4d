package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A Subscription says what to consume, and how.
type Subscription struct {
	// Queue is consumed from. It must exist, or be in Topology.
	Queue string
	// Prefetch is how many unanswered deliveries the server hands out at most. Zero means 1.
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
	// Settle is how long, after ctx has ended, Consume waits for the answers that are still
	// open. What is open then goes back to the queue. Zero means not at all.
	Settle time.Duration
}

// healthy is how long a session has to last before the next failure counts as a new one.
const healthy = 10 * time.Second

// Consume implements [Consumer].
func (c *Conn) Consume(ctx context.Context, s Subscription, deliver func(*Delivery)) error {
	if err := c.Declare(ctx, s.Topology); err != nil {
		return err
	}
	link := c.consumeLink()
	log := c.cfg.Logger.With("queue", s.Queue)
	wait := reconnectPolicy()
	for worked := false; ; {
		g, err := link.wait(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		began := time.Now()
		session, err := openSession(ctx, g, s)
		if err == nil {
			if advice := timeoutAdvice(g.version(), g.endpoint.uri.Vhost, s.Queue, s.MaxTime); advice != "" && !worked {
				log.Warn("jobs may run longer than RabbitMQ lets a delivery stay unanswered", "timeout", s.MaxTime, "remedy", advice)
			}
			worked = true
			if err = session.run(s, deliver); err == nil {
				return nil // ended on purpose
			}
			if time.Since(began) > healthy {
				wait.Reset()
			}
		} else if !worked && channelOnly(err) {
			return fmt.Errorf("broker: consume %q: %w", s.Queue, err)
		}
		if ended(ctx, s.Drain) {
			return nil
		}
		log.Warn("consuming interrupted", "err", err)
		if code(err) == amqp.NotFound || errors.Is(err, errCancelled) {
			if err := c.Declare(ctx, s.Topology); err != nil {
				log.Warn("declaring the queue again failed", "err", err)
			}
		}
		if !pause(ctx, s.Drain, wait) {
			return nil
		}
	}
}

func ended(ctx context.Context, drain <-chan struct{}) bool {
	select {
	case <-ctx.Done():
		return true
	case <-drain:
		return true
	default:
		return false
	}
}

// pause waits before the next try, or returns false if the consuming is to end.
func pause(ctx context.Context, drain <-chan struct{}, b *backoff.ExponentialBackOff) bool {
	t := time.NewTimer(b.NextBackOff())
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-drain:
	}
	return false
}
