// Command shop takes orders, sample ones here, and tells of them. It knows nothing of who listens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/archive/orders"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	amqp := flag.String("amqp", "", "URL of RabbitMQ (default $AMQP_URL, or amqp://localhost)")
	n := flag.Int64("n", 50, "orders to place")
	flag.Parse()
	if *amqp == "" {
		*amqp = os.Getenv("AMQP_URL")
	}
	if *amqp == "" {
		*amqp = "amqp://localhost"
	}
	conn, err := broker.Dial(ctx, *amqp, broker.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := orders.Declare(ctx, conn); err != nil {
		return err
	}
	return place(ctx, producer.New(conn, producer.Config{AppID: "shop"}), *n)
}

// together is how many events wait for their confirmations at once.
const together = 500

// place tells of n orders. Each is on RabbitMQ's disk when it returns.
func place(ctx context.Context, p job.Enqueuer, n int64) error {
	var events []job.Job
	for number := range n {
		events = append(events, orders.Placed.New(orders.Sample(number+1, time.Now())))
		if len(events) < together && number+1 < n {
			continue
		}
		if err := p.Enqueue(ctx, events...); err != nil {
			return err
		}
		fmt.Printf("%d orders placed\n", number+1)
		events = events[:0]
	}
	return nil
}
