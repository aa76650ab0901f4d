package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/topology"
)

// A Conn is a lasting relation to a RabbitMQ server or cluster. It is safe for concurrent
// use. Whoever dialled it closes it.
type Conn struct {
	cfg     Config
	publish *link
	consume *link
	pubs    publisher

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup // links, and what runs in the background

	startConsume sync.Once
	starved      atomic.Uint64 // consumers that were replaced

	mu       sync.Mutex
	closing  bool              // nothing starts in the background any more
	declared topology.Topology // to be made again on each new connection
}

// Dial connects to the server that url names: amqp://user:password@host:port/vhost, or
// amqps for TLS. Several URLs, separated by commas, are the nodes of one cluster; they are
// tried in random order. Parts that are missing have the defaults guest, guest, localhost,
// 5672 (5671 for TLS) and /; an empty url means amqp://localhost, so that the URL may come
// straight from os.Getenv("AMQP_URL").
//
// A server that is not up yet is waited for, 15 seconds or until ctx ends. A virtual host
// that does not exist and a certificate that can't be verified are errors at once, a wrong
// password after two tries, about six seconds, because RabbitMQ answers it by silence.
// After Dial has returned the Conn looks after itself until Close; ctx no longer matters
// then. The errors are a [*DialError] for each endpoint, joined; none holds the password.
func Dial(ctx context.Context, url string, cfg Config) (*Conn, error) {
	cfg = cfg.withDefaults()
	endpoints, err := parseEndpoints(url, cfg.TLS)
	if err != nil {
		return nil, err
	}
	c := &Conn{cfg: cfg}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.publish = newLink("publish", cfg, endpoints, c.declareAgain)
	c.consume = newLink("consume", cfg, endpoints, func(*generation) error { return nil })
	c.publish.beside, c.consume.beside = c.consume, c.publish
	c.consume.status.State = Idle
	c.pubs.init(c)

	first, err := c.publish.dial(ctx)
	if err != nil {
		c.stop()
		return nil, err
	}
	c.publish.set(first, nil, false) // so that Status is right at once
	c.wg.Go(func() { c.publish.run(c.ctx, first) })
	return c, nil
}

// dial makes the first generation. Unlike connect it gives up.
func (l *link) dial(ctx context.Context) (*generation, error) {
	patience, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	wait := reconnectPolicy()
	var final, last error // the last errors that may be one, and that came before the time was up
	for seen := 0; ; {
		g, err := l.tryAll(patience, 1)
		if err == nil {
			return g, nil
		}
		if patience.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		believe := timesToBelieve(err)
		if believe > 0 {
			seen, final = seen+1, err
		}
		if believe > 0 && seen >= believe {
			return nil, err
		}
		if sleep(patience, wait.NextBackOff()) {
			continue
		}
		err = cmp.Or(final, last, err) // they say more than that the time was up
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		return nil, err
	}
}

// timesToBelieve is how often err has to be seen to count as final: as often as the most
// doubtful of its endpoints' errors. Zero means that one of them is worth another try for as
// long as it takes.
func timesToBelieve(err error) int {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return 0
	}
	most := 0
	for _, e := range joined.Unwrap() {
		d, ok := errors.AsType[*DialError](e)
		if !ok || d.believe == 0 {
			return 0
		}
		most = max(most, d.believe)
	}
	return most
}

// consumeLink starts the second connection when something is consumed for the first time.
func (c *Conn) consumeLink() *link {
	c.startConsume.Do(func() {
		c.consume.mu.Lock()
		c.consume.status = LinkStatus{State: Connecting, Since: time.Now()}
		c.consume.mu.Unlock()
		c.wg.Go(func() { c.consume.run(c.ctx, nil) })
	})
	return c.consume
}

// close ends a link that was never started.
func (l *link) close() { l.set(nil, nil, true) }

// Status tells what the connections are at.
func (c *Conn) Status() Status {
	return Status{Publish: c.publish.snapshot(), Consume: c.consume.snapshot(), Starved: c.starved.Load()}
}

func (l *link) snapshot() LinkStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

// Close ends both connections, within a few seconds. Publishes that wait return, Consume
// returns [ErrClosed], and RabbitMQ gives unanswered deliveries to other consumers: end the
// workers first. Close may be called more than once.
func (c *Conn) Close() error {
	c.startConsume.Do(c.consume.close) // not from now on
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.stop()
	c.wg.Wait()
	return nil
}
