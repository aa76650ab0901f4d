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
	unknown, slowest := 0, time.Duration(0)
	var wg sync.WaitGroup
	for i := range pairs {
		declarer, replier := dialRaw(t, urls[i%3]), newMandatory(t, urls[(i+1)%3])
		wg.Go(func() {
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
	t.Logf("%d of %d new queues were unknown at another node at first, for %v at most", unknown, pairs*queues, slowest.Round(time.Millisecond))
}

// A mandatory publishes one message after the other.
type mandatory struct {
	ch       *amqp.Channel
	closes   <-chan *amqp.Error
	returns  <-chan amqp.Return
	confirms <-chan amqp.Confirmation
}

func newMandatory(t *testing.T, url string) *mandatory {
	t.Helper()
	ch, err := dialRaw(t, url).conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	m := &mandatory{ch, ch.NotifyClose(make(chan *amqp.Error, 1)), ch.NotifyReturn(make(chan amqp.Return, 1)), ch.NotifyPublish(make(chan amqp.Confirmation, 1))}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return m
}

// takes publishes to a queue, and reports whether the message was not returned.
func (m *mandatory) takes(queue string) (bool, error) {
	if err := m.ch.Publish("", queue, true, false, amqp.Publishing{}); err != nil {
		return false, fmt.Errorf("%w, because of: %v", err, <-m.closes)
	}
	if _, open := <-m.confirms; !open { // of a message that is returned, it comes after that
		return false, fmt.Errorf("the channel was closed: %v", <-m.closes)
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
