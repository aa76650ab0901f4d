package integration_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
	amqp "github.com/rabbitmq/amqp091-go"
)

// The tests of this file hold the lines of docs/explanation/rabbitmq-versions.md that no
// other test does: what RabbitMQ does in its versions, and what errand makes of it in each.

// versionOf is that of the server of a connection.
func versionOf(conn *broker.Conn) string { return conn.Status().Publish.Version }

// A job's priority means nothing before 4.0; up to 4.2 there are two levels, of which the
// upper one gets two turns for each of the lower one; from 4.3 on there are 32 strict ones.
func TestPriorities(t *testing.T) {
	t.Parallel()
	conn := dial(t, rabbit.URL(t))
	kind := job.Define[numbered]("ranked", job.Queue("ranked"))
	// All are there before the worker is. What has none ranks as 4.
	enqueue(t, conn, kind.New(numbered{0}), kind.New(numbered{1}, job.Priority(1)), kind.New(numbered{6}, job.Priority(6)),
		kind.New(numbered{9}, job.Priority(9)), kind.New(numbered{2}))
	var got []int
	done := make(chan struct{})
	w := worker.New(conn, worker.Config{Concurrency: 1, Prefetch: 1, Logger: quiet})
	worker.Handle(w, kind, func(_ context.Context, n numbered) error {
		if got = append(got, n.N); len(got) == 5 {
			close(done)
		}
		return nil
	})
	start(t, w)
	receive(t, "all five", done)
	want := []int{0, 1, 6, 9, 2}
	switch v := versionOf(conn); {
	case atLeast(v, 4, 3):
		want = []int{9, 6, 0, 2, 1}
	case atLeast(v, 4, 0):
		want = []int{6, 9, 0, 1, 2}
	}
	if !slices.Equal(got, want) {
		t.Errorf("RabbitMQ %s: got the order %v, want %v", versionOf(conn), got, want)
	}
}

// What counts towards the delivery limit, and what Deliveries says: up to 4.2 whatever comes
// back, from 4.3 on Deliveries has all of it and the limit only what was rejected or lost. So
// errand gives back by nack.
func TestWhatComesBackIsCounted(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	if err := conn.Declare(t.Context(), topology.Work("", "counted")); err != nil {
		t.Fatal(err)
	}
	const returns = 2 * topology.CrashLimit
	r := dialRaw(t, url)
	r.publish("counted", broker.Message{ID: "1"})
	handed := make(chan int, returns+1)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- conn.Consume(ctx, broker.Subscription{Queue: "counted", Prefetch: 1}, func(d *broker.Delivery) {
			handed <- d.Deliveries
			answer := d.Requeue
			if d.Deliveries >= returns {
				answer = d.Ack
			}
			if err := answer(); err != nil {
				t.Errorf("delivery %d: %v", d.Deliveries, err)
			}
		})
	}()
	want := topology.CrashLimit + 1 // hand-outs
	dead := topology.DeadQueue("counted")
	if atLeast(versionOf(conn), 4, 3) {
		want, dead = returns+1, ""
	}
	for n := range want {
		if got := receive(t, "the message", handed); got != n {
			t.Errorf("RabbitMQ %s: hand-out %d: got Deliveries %d, want %d", versionOf(conn), n+1, got, n)
		}
	}
	if dead != "" {
		if m := r.await(dead); m.Headers["x-first-death-reason"] != "delivery_limit" {
			t.Errorf("got headers %v of the dead letter, want the reason delivery_limit", m.Headers)
		}
	}
	stop()
	if err := receive(t, "the end of Consume", ended); err != nil {
		t.Error(err)
	}
	r.empty("counted", topology.DeadQueue("counted"))
}

// The server of 3.10 says of each reply to amq.rabbitmq.reply-to that no queue took it, also
// of those that arrive; later ones say so of none. So errand sends them as optional.
func TestDirectRepliesAreReturned(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	version := versionOf(dial(t, url))
	r := dialRaw(t, url)
	replies, to := directAddress(t, r.conn)
	if !strings.HasPrefix(to, directReplyTo+".") {
		t.Fatalf("got reply-to %q", to)
	}
	r.must(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		returned := ch.NotifyReturn(make(chan amqp.Return, 1))
		confirm, err := ch.PublishWithDeferredConfirm("", to, true, false, amqp.Publishing{Body: []byte("reply")})
		if err != nil {
			return err
		}
		receive(t, "the reply", replies)
		confirm.Wait() // comes after the return, if there is one
		if got, want := len(returned) > 0, !atLeast(version, 4, 1); got != want {
			t.Errorf("RabbitMQ %s: got returned %v, want %v", version, got, want)
		}
		return nil
	})
}

// Looking at a dead letter counts as a hand-out, too, and on 4.0 and later it may come with
// those of its life. The limit of a dead-letter queue is none that one gets to by looking.
func TestDeadLetterSurvivesManyLooks(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	conn := dial(t, url)
	if err := conn.Declare(t.Context(), topology.Work("", "dying")); err != nil {
		t.Fatal(err)
	}
	r := dialRaw(t, url)
	r.publish("dying", broker.Message{ID: "1"})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- conn.Consume(ctx, broker.Subscription{Queue: "dying", Prefetch: 1}, func(d *broker.Delivery) {
			answer := d.Requeue
			if d.Deliveries > 0 {
				answer = d.DeadLetter
			}
			if err := answer(); err != nil {
				t.Error(err)
			}
		})
	}()
	dead := topology.DeadQueue("dying")
	eventually(t, "the dead letter", func() bool { return r.ready(dead) == 1 })
	stop()
	if err := receive(t, "the end of Consume", ended); err != nil {
		t.Error(err)
	}
	for range 2 * topology.CrashLimit {
		eye := dialRaw(t, url)
		eventually(t, "the dead letter once more", func() bool { return eye.hold(dead) })
		eye.close()
	}
	m := r.await(dead)
	carried := m.Headers["x-delivery-count"] != nil
	t.Logf("RabbitMQ %s: x-delivery-count %v, x-acquired-count %v", versionOf(conn), m.Headers["x-delivery-count"], m.Headers["x-acquired-count"])
	if m.ID != "1" || !carried {
		t.Errorf("got message %q with headers %v, want 1, counted", m.ID, m.Headers)
	}
}
