package jobtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/topology"
)

// firstTime is a fault of each message's first try.
func firstTime(f jobtest.Fault) func(jobtest.Publishing) jobtest.Fault {
	return func(p jobtest.Publishing) jobtest.Fault {
		if p.Attempt == 1 {
			return f
		}
		return jobtest.Fault{}
	}
}

func TestFaultsOfPublishing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault jobtest.Fault
		takes time.Duration
		want  error
		holds int
	}{
		{"none", jobtest.Fault{}, 0, nil, 1},
		{"confirm lost", jobtest.LoseConfirm(), 20 * time.Second, nil, 2},
		{"message lost", jobtest.LoseMessage(), 20 * time.Second, nil, 1},
		{"confirm late", jobtest.DelayConfirm(5 * time.Second), 5 * time.Second, nil, 1},
		{"confirm too late", jobtest.DelayConfirm(time.Minute), 20 * time.Second, nil, 2},
		{"returned", jobtest.Return(), 0, broker.ErrUnroutable, 0},
		{"refused", jobtest.Refuse(), 100 * time.Millisecond, nil, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *jobtest.Broker) {
				newQueue(t, b, "q", nil)
				b.Inject(firstTime(test.fault))
				within(t, test.takes, func() {
					err := b.Publish(t.Context(), message("q", "a"))
					if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
						t.Errorf("Publish: got %v, want %v", err, test.want)
					}
				})
				b.Inject(nil)
				bodies, stop := consume(t, b, broker.Subscription{Queue: "q"})
				synctest.Wait()
				stop()
				if len(bodies) != test.holds {
					t.Errorf("the queue held %d messages, want %d", len(bodies), test.holds)
				}
			})
		})
	}
}

// The messages of one call don't wait for each other's faults.
func TestFaultHitsOneOfMany(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", nil)
		b.Inject(func(p jobtest.Publishing) jobtest.Fault {
			if p.Message.ID == "lost" {
				return jobtest.LoseConfirm()
			}
			return jobtest.DelayConfirm(time.Second)
		})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errBoom)
		defer cancel()
		within(t, 10*time.Second, func() {
			err := b.Publish(ctx, message("q", "a"), message("q", "lost"), message("q", "b"))
			failures := broker.Failures(err)
			if !errors.Is(err, broker.ErrUnconfirmed) || !errors.Is(err, errBoom) || len(failures) != 1 || failures[0].ID != "lost" {
				t.Errorf("Publish: got %v, want %v with the cause, of one message", err, broker.ErrUnconfirmed)
			}
		})
	})
}

var errBoom = errors.New("boom")

// patience with confirms doubles, as broker.Conn's does.
func TestConfirmsLostAgainAndAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", nil)
		attempts := 0
		b.Inject(func(p jobtest.Publishing) jobtest.Fault {
			if attempts = p.Attempt; attempts == 4 {
				return jobtest.Fault{}
			}
			return jobtest.LoseMessage()
		})
		within(t, (20+40+80)*time.Second, func() {
			if err := b.Publish(t.Context(), message("q", "a")); err != nil {
				t.Errorf("Publish: %v", err)
			}
		})
		if attempts != 4 {
			t.Errorf("%d attempts, want 4", attempts)
		}
	})
}

// What was on its way when the connection was cut is sent again at once.
func TestCutWhilePublishing(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", nil)
		b.Inject(firstTime(jobtest.LoseConfirm()))
		time.AfterFunc(3*time.Second, b.Cut)
		within(t, 3*time.Second, func() {
			if err := b.Publish(t.Context(), message("q", "a")); err != nil {
				t.Errorf("Publish: %v", err)
			}
		})
	})
}

// A message that is written when the connection breaks goes under with it, and is sent again.
func TestCutByAFault(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", nil)
		attempts := 0
		b.Inject(func(p jobtest.Publishing) jobtest.Fault {
			if attempts = p.Attempt; attempts == 1 {
				b.Cut()
			}
			return jobtest.Fault{}
		})
		if err := b.Publish(t.Context(), message("q", "a")); err != nil {
			t.Errorf("Publish: %v", err)
		}
		bodies, stop := consume(t, b, broker.Subscription{Queue: "q"})
		synctest.Wait()
		stop()
		if len(bodies) != 1 || attempts != 2 {
			t.Errorf("%d messages after %d attempts, want 1 after 2", len(bodies), attempts)
		}
	})
}

func TestCutWhileConsuming(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", map[string]any{"x-queue-type": "quorum"})
		other := b.Connect()
		if err := other.Publish(t.Context(), message("q", "a")); err != nil {
			t.Fatal(err)
		}
		got := make(chan *broker.Delivery, 10)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- b.Consume(ctx, broker.Subscription{Queue: "q"}, func(d *broker.Delivery) { got <- d })
		}()
		first := <-got
		other.Cut() // is none of its business
		synctest.Wait()
		if err := first.Context().Err(); err != nil {
			t.Errorf("another connection was cut, and the delivery's context ended: %v", err)
		}
		b.Cut()
		<-first.Context().Done()
		if cause := context.Cause(first.Context()); !errors.Is(cause, broker.ErrDeliveryLost) {
			t.Errorf("the delivery's context ended with %v, want %v", cause, broker.ErrDeliveryLost)
		}
		if err := first.Ack(); !errors.Is(err, broker.ErrDeliveryLost) {
			t.Errorf("Ack: got %v, want %v", err, broker.ErrDeliveryLost)
		}
		second := <-got
		if !second.Redelivered || second.Deliveries != 1 {
			t.Errorf("got redelivered %v, deliveries %d, want true, 1", second.Redelivered, second.Deliveries)
		}
		if err := second.Ack(); err != nil {
			t.Errorf("Ack: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Consume: got %v, want nil", err)
		}
	})
}

func TestCutTakesTemporaryQueues(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		own := topology.Topology{
			Exchanges: []topology.Exchange{{Name: "x", Kind: "fanout"}},
			Bindings:  []topology.Binding{{Source: "x"}},
		}
		bodies, _ := consume(t, b, broker.Subscription{Topology: own})
		synctest.Wait()
		m := message("", "before")
		m.Exchange = "x"
		if err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got := <-bodies; got != "before" {
			t.Errorf("got %q, want before", got)
		}
		b.Cut()
		if err := b.Publish(t.Context(), m); !errors.Is(err, broker.ErrUnroutable) {
			t.Errorf("Publish after the cut: got %v, want %v", err, broker.ErrUnroutable)
		}
		time.Sleep(time.Second) // it has come back
		if err := b.Publish(t.Context(), m); err != nil {
			t.Errorf("Publish to the new queue: %v", err)
		}
	})
}

func TestStopAndStart(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", nil)
		bodies, _ := consume(t, b, broker.Subscription{Queue: "q"})
		synctest.Wait()
		b.Stop()
		time.AfterFunc(time.Hour, b.Start)
		within(t, time.Hour, func() {
			if err := b.Publish(t.Context(), message("q", "a")); err != nil {
				t.Errorf("Publish: %v", err)
			}
		})
		if got := <-bodies; got != "a" {
			t.Errorf("got %q, want a", got)
		}
		b.Stop()
		defer b.Start()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBoom)
		defer cancel()
		err := b.Publish(ctx, message("q", "b"))
		if !errors.Is(err, broker.ErrNotConnected) || !errors.Is(err, errBoom) {
			t.Errorf("Publish: got %v, want %v with the cause", err, broker.ErrNotConnected)
		}
		err = b.Declare(ctx, topology.Work("", "q2"))
		if !errors.Is(err, broker.ErrNotConnected) || !errors.Is(err, errBoom) {
			t.Errorf("Declare: got %v, want %v with the cause", err, broker.ErrNotConnected)
		}
	})
}

func TestBlock(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", nil)
		if err := b.Publish(t.Context(), message("q", "before")); err != nil {
			t.Fatal(err)
		}
		b.Block("low on memory")
		bodies, _ := consume(t, b, broker.Subscription{Queue: "q"})
		if got := <-bodies; got != "before" {
			t.Errorf("while blocked: got %q, want before", got)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBoom)
		defer cancel()
		if err := b.Publish(ctx, message("q", "a")); !errors.Is(err, broker.ErrBlocked) || !errors.Is(err, errBoom) {
			t.Errorf("Publish: got %v, want %v with the cause", err, broker.ErrBlocked)
		}
		time.AfterFunc(time.Minute, b.Unblock)
		within(t, time.Minute, func() {
			if err := b.Publish(t.Context(), message("q", "b")); err != nil {
				t.Errorf("Publish: %v", err)
			}
		})
		if got := <-bodies; got != "b" {
			t.Errorf("after: got %q, want b", got)
		}
	})
}

func TestDeleteQueue(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		work := topology.Work("", "q")
		bodies, _ := consume(t, b, broker.Subscription{Queue: "q", Topology: work})
		synctest.Wait()
		b.DeleteQueue("q")
		if err := b.Publish(t.Context(), message("q", "a")); !errors.Is(err, broker.ErrUnroutable) {
			t.Errorf("Publish: got %v, want %v", err, broker.ErrUnroutable)
		}
		time.Sleep(time.Second) // its consumer has declared it again
		if err := b.Publish(t.Context(), message("q", "b")); err != nil {
			t.Fatal(err)
		}
		if got := <-bodies; got != "b" {
			t.Errorf("got %q, want b", got)
		}
	})
}

func TestDeleteExchange(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		enqueue(t, b, sendMail.New(mail{To: "a"}))
		b.DeleteExchange(topology.Namespace("").Jobs())
		enqueue(t, b, sendMail.New(mail{To: "b"})) // by an exchange that was declared again
		jobtest.WantEnqueued(t, b, sendMail, mail{To: "a"}, mail{To: "b"})
	})
}

func TestBrokerIsClosedAtTheEnd(t *testing.T) {
	t.Parallel()
	var b *jobtest.Broker
	ended := make(chan error, 1)
	t.Run("test", func(t *testing.T) {
		b = jobtest.NewBroker(t)
		newQueue(t, b, "q", nil)
		if err := b.Publish(t.Context(), message("q", "a")); err != nil {
			t.Fatal(err)
		}
		began := make(chan bool, 1)
		go func() {
			ended <- b.Consume(context.Background(), broker.Subscription{Queue: "q"}, func(*broker.Delivery) { began <- true })
		}()
		<-began
	})
	if err := <-ended; !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Consume: got %v, want %v", err, broker.ErrClosed)
	}
	if err := b.Publish(t.Context(), message("q", "a")); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Publish: got %v, want %v", err, broker.ErrClosed)
	}
	if err := b.Declare(t.Context(), topology.Work("", "q2")); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("Declare: got %v, want %v", err, broker.ErrClosed)
	}
}

// A dead letter of a queue that must not lose it waits until somebody takes it.
func TestDeadLetterWaitsForItsQueue(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		newQueue(t, b, "q", map[string]any{
			"x-queue-type": "quorum", "x-dead-letter-exchange": "dead", "x-message-ttl": 1000,
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		})
		if err := b.Publish(t.Context(), message("q", "a")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		bodies, _ := consume(t, b, broker.Subscription{Queue: "kept", Topology: topology.Topology{
			Exchanges: []topology.Exchange{{Name: "dead", Kind: "fanout"}},
			Queues:    []topology.Queue{{Name: "kept", Args: map[string]any{"x-max-length": 0, "x-overflow": "reject-publish"}}},
			Bindings:  []topology.Binding{{Source: "dead", Destination: "kept"}},
		}})
		synctest.Wait()
		if len(bodies) != 0 {
			t.Errorf("a queue without room took %d messages", len(bodies))
		}
		other, _ := consume(t, b, broker.Subscription{Queue: "room", Topology: topology.Topology{
			Queues:   []topology.Queue{{Name: "room"}},
			Bindings: []topology.Binding{{Source: "dead", Destination: "room"}},
		}})
		time.Sleep(10 * time.Minute)
		if got := len(other); got != 1 || <-other != "a" {
			t.Errorf("the queue with room took %d messages, want a, once", got)
		}
	})
}
