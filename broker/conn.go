package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	wg   sync.WaitGroup // links, and what watches over abandoned publishes

	startConsume sync.Once

	mu       sync.Mutex
	declared topology.Topology // to be made again on each new connection
}

// Dial connects to the server that url names: amqp://user:password@host:port/vhost, or
// amqps for TLS. Several URLs, separated by commas, are the nodes of one cluster; they are
// tried in random order. Parts that are missing have the defaults guest, guest, localhost,
// 5672 (5671 for TLS) and /; an empty url means amqp://localhost, so that the URL may come
// straight from os.Getenv("AMQP_URL").
//
// A server that is not up yet is waited for, 15 seconds or until ctx ends. A wrong password,
// a virtual host that does not exist and a certificate that can't be verified are errors
// within a second, after three tries. After Dial has returned the Conn looks after itself
// until Close; ctx no longer matters then. The errors are a [*DialError] for each endpoint,
// joined; none holds the password.
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

// maxFinals is how often Dial believes an error that no retry should cure. RabbitMQ 4.3 was
// seen to refuse, once, a user on a vhost where it had been let in a second before.
const maxFinals = 3

// dial makes the first generation. Unlike connect it gives up.
func (l *link) dial(ctx context.Context) (*generation, error) {
	patience, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	wait := reconnectPolicy()
	for finals := 0; ; {
		g, err := l.tryAll(patience, 1)
		if err == nil {
			return g, nil
		}
		if permanent(err) {
			finals++
		}
		if finals == maxFinals || !sleep(patience, wait.NextBackOff()) {
			if ctx.Err() != nil {
				return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
			}
			return nil, err
		}
	}
}

// permanent reports whether no endpoint in err is worth another try.
func permanent(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, e := range joined.Unwrap() {
		if d, ok := errors.AsType[*DialError](e); !ok || !d.permanent {
			return false
		}
	}
	return true
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
	return Status{Publish: c.publish.snapshot(), Consume: c.consume.snapshot()}
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
	c.pubs.close()
	c.stop()
	c.wg.Wait()
	return nil
}
