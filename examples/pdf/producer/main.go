// Command producer places orders: sample ones (-n), or those that it receives by HTTP (-http).
//
// It waits for RabbitMQ's confirmation, so an order that it reports as placed is on RabbitMQ's disk. It needs no worker to be running.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/pdf/summary"
	"github.com/errandq/errand/producer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a second signal ends the process at once
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	amqp      string
	n         int
	unfixable int
	http      string
	summary   string
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("producer", flag.ContinueOnError)
	// The environment is not shown as a default here, because it may hold passwords.
	flags.StringVar(&c.amqp, "amqp", "", "URL of RabbitMQ (default $AMQP_URL, or amqp://localhost)")
	flags.IntVar(&c.n, "n", 0, "number of sample orders to place")
	flags.IntVar(&c.unfixable, "unfixable", 0, "how many of the sample orders cannot be made into an invoice")
	flags.StringVar(&c.http, "http", "", "address to serve POST /orders on until SIGTERM, such as localhost:8080")
	flags.StringVar(&c.summary, "summary", "", "file for a line of JSON at the end: the orders placed")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	switch {
	case flags.NArg() > 0:
		return c, fmt.Errorf("unexpected argument %q; flags only", flags.Arg(0))
	case c.n <= 0 && c.http == "":
		return c, errors.New("nothing to do: -n says how many sample orders to place, -http where to serve")
	case c.unfixable < 0 || c.unfixable > max(c.n, 0):
		return c, fmt.Errorf("-unfixable %d: want 0 to -n, %d", c.unfixable, max(c.n, 0))
	}
	if c.amqp == "" {
		c.amqp = os.Getenv("AMQP_URL")
	}
	if c.amqp == "" {
		c.amqp = "amqp://localhost"
	}
	return c, nil
}

// run places the sample orders, then serves until ctx ends if it is to serve.
func run(ctx context.Context, args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	conn, err := broker.Dial(ctx, c.amqp, broker.Config{Logger: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	shop := &shop{enqueuer: producer.New(conn, producer.Config{AppID: "pdf-producer"}), log: log, now: time.Now}

	err = shop.placeAll(ctx, sampleOrders(c.n, c.unfixable, time.Now()))
	if err == nil && c.http != "" {
		err = serve(ctx, c.http, shop)
	}
	placed := shop.summary()
	log.Info("producer done", "placed", placed.Placed)
	return errors.Join(err, summary.Write(c.summary, placed))
}
