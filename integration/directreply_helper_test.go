package integration_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const directReplyTo = "amq.rabbitmq.reply-to"

// awaitDirectReplies returns when the server delivers what is sent to an address of direct
// reply-to. RabbitMQ 4.0 drops that, and says nothing, in the first moments after its start.
func awaitDirectReplies(t testing.TB, url string) {
	t.Helper()
	began := time.Now()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing depends on it
	replies, address := directAddress(t, conn)
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	for tries := 1; ; tries++ {
		if err := ch.Publish("", address, false, false, amqp.Publishing{}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-replies:
			if tries > 1 {
				t.Logf("the server dropped direct replies for %v", time.Since(began))
			}
			return
		case <-time.After(100 * time.Millisecond):
			if time.Since(began) > patience {
				t.Fatalf("no direct reply has come for %v", patience)
			}
		}
	}
}

// directAddress returns the address of a consumer of direct replies, and what comes to it.
func directAddress(t testing.TB, conn *amqp.Connection) (<-chan amqp.Delivery, string) {
	t.Helper()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	replies, err := ch.Consume(directReplyTo, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ch.QueueDeclare("", false, true, true, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	requests, err := ch.Consume(q.Name, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.Publish("", q.Name, true, false, amqp.Publishing{ReplyTo: directReplyTo}); err != nil {
		t.Fatal(err)
	}
	return replies, receive(t, "the request", requests).ReplyTo
}
