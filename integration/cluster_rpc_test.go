package integration_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
	amqp "github.com/rabbitmq/amqp091-go"
)

// nodeURLs are the URLs of a fresh vhost at each node of the cluster.
func nodeURLs(t *testing.T) (urls []string) {
	t.Helper()
	nodes := members(t)
	everywhere := rabbit.everywhere(rabbit.URL(t))
	for _, n := range nodes {
		url, err := n.Of(everywhere)
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, url)
	}
	return urls
}

// A queue is declared at one node, and another node does not know it yet: it returns what is
// published there. Each node learns of each queue soon, but how soon nothing promises: rpc
// sends such a reply again.
func TestNewQueueIsUnknownAtOtherNodes(t *testing.T) {
	const pairs, queues, patience = 6, 100, 10 * time.Second
	urls := nodeURLs(t)
	var mu sync.Mutex
	unknown, refused, slowest := 0, 0, time.Duration(0)
	var wg sync.WaitGroup
	for i := range pairs {
		declarer, replier := dialRaw(t, urls[i%3]), newMandatory(t, urls[(i+1)%3])
		wg.Go(func() {
			defer func() {
				mu.Lock()
				refused += replier.refused
				mu.Unlock()
			}()
			for range queues {
				q := ""
				if err := declarer.on(func(ch *amqp.Channel) error {
					declared, err := ch.QueueDeclare("", false, true, true, false, nil)
					q = declared.Name
					return err
				}); err != nil {
					t.Error(err)
					return
				}
				declared, tries := time.Now(), 1
				for ; ; tries++ {
					known, err := replier.takes(q)
					if err != nil {
						t.Error(err)
						return
					}
					if known {
						break
					}
					if time.Since(declared) > patience {
						t.Errorf("queue %q is unknown after %v", q, patience)
						return
					}
				}
				mu.Lock()
				if tries > 1 {
					unknown++
					slowest = max(slowest, time.Since(declared))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d of %d new queues were unknown at another node at first, for %v at most; for %d of the messages it closed the connection", unknown, pairs*queues, slowest.Round(time.Millisecond), refused)
}

// A mandatory publishes one message after the other.
type mandatory struct {
	t        *testing.T
	url      string
	ch       *amqp.Channel
	closes   <-chan *amqp.Error
	returns  <-chan amqp.Return
	confirms <-chan amqp.Confirmation
	refused  int // times that the server closed the connection instead of returning the message
}

func newMandatory(t *testing.T, url string) *mandatory {
	t.Helper()
	m := &mandatory{t: t, url: url}
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	return m
}

// open connects until the test ends.
func (m *mandatory) open() error {
	conn, err := amqp.Dial(m.url)
	if err != nil {
		return err
	}
	m.t.Cleanup(func() { _ = conn.Close() }) // the server may have done it
	if m.ch, err = conn.Channel(); err != nil {
		return err
	}
	m.closes = m.ch.NotifyClose(make(chan *amqp.Error, 1))
	m.returns = m.ch.NotifyReturn(make(chan amqp.Return, 1))
	m.confirms = m.ch.NotifyPublish(make(chan amqp.Confirmation, 1))
	return m.ch.Confirm(false)
}

// takes publishes to a queue, and reports whether it was there.
func (m *mandatory) takes(queue string) (bool, error) {
	if err := m.ch.Publish("", queue, true, false, amqp.Publishing{}); err != nil {
		return false, err
	}
	if _, open := <-m.confirms; !open { // of a message that is returned, it comes after that
		err := <-m.closes
		if err == nil || err.Code != amqp.ResourceError {
			return false, fmt.Errorf("the server has closed: %w", err)
		}
		m.refused++ // the node knows where to route it, and not yet the queue
		return false, m.open()
	}
	select {
	case <-m.returns:
		return false, nil
	default:
		return true, nil
	}
}

// A client calls as soon as its reply queue is declared. A server at another node may reply
// before its own node has heard of that queue.
func TestFirstCallOfAClientAtAnotherNode(t *testing.T) {
	const clients = 60
	urls := nodeURLs(t)
	at := func(i int) *broker.Conn {
		t.Helper()
		return dialNode(t, urls[i], broker.Config{})
	}
	server := newRPC(at(0), rpc.ServerConfig{})
	rpc.Handle(server, increment, func(_ context.Context, n numbered) (int, error) { return n.N + 1, nil })
	serve(t, server)
	dialRaw(t, urls[0]).awaitConsumer("increment")
	conns := []*broker.Conn{at(1), at(2)}
	slowest := time.Duration(0)
	for i := range clients {
		began := time.Now()
		c := rpc.NewClient(conns[i%2], rpc.ClientConfig{})
		if got, err := increment.Call(t.Context(), c, numbered{i}); err != nil || got != i+1 {
			t.Errorf("client %d: got %d, %v", i, got, err)
		}
		slowest = max(slowest, time.Since(began))
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("slowest %v, %+v", slowest.Round(time.Millisecond), server.Stats())
}
