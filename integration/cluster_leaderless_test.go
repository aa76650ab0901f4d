package integration_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/devserver"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A queue whose only member is on a node that is down has no leader. It may hold up the other
// queues of its publisher once, until its confirm is late.
//
// Not parallel: it takes a node away.
func TestQueueWithoutLeaderHoldsUpOthersOnce(t *testing.T) {
	const late = 20 * time.Second // broker's confirmPatience
	nodes := members(t)
	everywhere := rabbit.everywhere(rabbit.URL(t))
	of := func(m *devserver.Member) string {
		t.Helper()
		url, err := m.Of(everywhere)
		if err != nil {
			t.Fatal(err)
		}
		return url
	}
	victim, others := nodes[2], []string{of(nodes[0]), of(nodes[1])}
	declareQuorum(t, of(victim), "sick", 1)
	declareQuorum(t, others[0], "healthy", 3)
	awaitRegistered(t)
	conn := dialWith(t, strings.Join(others, ","), broker.Config{})
	publish := func(ctx context.Context, queue, id string) (time.Duration, error) {
		began := time.Now()
		err := conn.Publish(ctx, broker.Message{Key: queue, ID: id})
		return time.Since(began), err
	}
	first := conn.Status().Publish.Generation

	sick := make(chan error, 1)
	takeAway(t, victim, (*devserver.Member).Kill, (*devserver.Member).Start, func() {
		go func() {
			_, err := publish(t.Context(), "sick", "patient")
			sick <- err
		}()
		var slow []string
		for i := 0; i < 30 || conn.Status().Publish.Generation == first && i < 60; i++ {
			took, err := publish(t.Context(), "healthy", fmt.Sprint(i))
			if err != nil {
				t.Fatalf("healthy: %v", err)
			}
			if took > 3*time.Second {
				slow = append(slow, took.Round(time.Millisecond).String())
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err := publish(ctx, "sick", fmt.Sprint("sick ", i)); err == nil {
				t.Error("the queue that has no leader has confirmed")
			}
			cancel()
		}
		t.Logf("publishes to the healthy queue that took long: %s", slow)
		if len(slow) > 1 {
			t.Errorf("%d publishes to the healthy queue took long, want the one at the most that waited for the late confirm", len(slow))
		}
		if n := conn.Status().Publish.Generation - first; n > 1 {
			t.Errorf("%d connections were given up, want 1 at the most", n)
		}
	})
	select {
	case err := <-sick:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2*late + patience):
		t.Error("the queue has its leader again, and its message is not confirmed")
	}
}

// declareQuorum declares a quorum queue with so many members, one of which is the node of url.
func declareQuorum(t *testing.T, url, queue string, members int) {
	t.Helper()
	dialRaw(t, url).must(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum", "x-quorum-initial-group-size": members})
		return err
	})
}
