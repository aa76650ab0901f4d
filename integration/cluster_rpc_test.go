package integration_test

import (
	"context"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// A client calls as soon as its reply queue is declared. A server at another node may reply
// before its own node has heard of that queue.
func TestFirstCallOfAClientAtAnotherNode(t *testing.T) {
	const clients = 60
	nodes := members(t)
	everywhere := rabbit.everywhere(rabbit.URL(t))
	at := func(i int) *broker.Conn {
		t.Helper()
		url, err := nodes[i].Of(everywhere)
		if err != nil {
			t.Fatal(err)
		}
		return dialWith(t, url, broker.Config{})
	}
	server := newRPC(at(0), rpc.ServerConfig{})
	rpc.Handle(server, increment, func(_ context.Context, n numbered) (int, error) { return n.N + 1, nil })
	serve(t, server)
	url, err := nodes[0].Of(everywhere)
	if err != nil {
		t.Fatal(err)
	}
	dialRaw(t, url).awaitConsumer("increment")
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
