package broker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// A Conn can be used without jobs: messages in, deliveries out.
func ExampleConn() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := broker.Dial(ctx, "amqp://rabbit-1,amqp://rabbit-2", broker.Config{Name: "audit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	top := topology.Topology{Queues: []topology.Queue{{Name: "audit", Args: map[string]any{"x-queue-type": "quorum"}}}}
	err = errors.Join(
		conn.Declare(ctx, top),
		conn.Publish(ctx, broker.Message{Key: "audit", ID: "1", Body: []byte("hello")}),
		conn.Consume(ctx, broker.Subscription{Queue: "audit", Topology: top, Prefetch: 10}, func(d *broker.Delivery) {
			fmt.Printf("%s\n", d.Body)
			if err := d.Ack(); err != nil {
				fmt.Println(err) // it comes again
			}
		}),
		conn.Close(),
	)
	if err != nil {
		fmt.Println(err)
	}
}

// Of many messages in one call some may fail; the others are enqueued.
func ExampleFailures() {
	err := errors.Join(
		&broker.PublishError{ID: "1", Exchange: "errand.jobs", Key: "pdf", Err: broker.ErrNacked},
		&broker.PublishError{ID: "7", Exchange: "errand.jobs", Key: "gone", Err: broker.ErrUnroutable},
	)
	for _, f := range broker.Failures(fmt.Errorf("enqueue: %w", err)) {
		fmt.Println(f.ID, errors.Is(f, broker.ErrUnroutable))
	}
	// Output:
	// 1 false
	// 7 true
}
