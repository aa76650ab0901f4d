// Command caller asks the servers for many prices at once, and meanwhile for the history of an article. It checks every answer, and exits
// with 1 if one is wrong or missing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/pdf/summary"
	"github.com/errandq/errand/rpc"
)

func main() {
	c := caller{tally: newTally()}
	amqp := flag.String("amqp", os.Getenv("AMQP_URL"), "URL of RabbitMQ")
	flag.IntVar(&c.calls, "calls", 1000, "prices to ask for")
	flag.IntVar(&c.concurrency, "concurrency", 64, "calls at once")
	flag.IntVar(&c.days, "days", 365, "days of the history to ask for")
	flag.IntVar(&c.servers, "servers", 1, "wait until so many servers answer")
	flag.StringVar(&c.summary, "summary", "", "file for a line of JSON, after each tenth of the calls and at the end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx, *amqp); err != nil {
		log.Fatal(err)
	}
}

func (c *caller) run(ctx context.Context, amqp string) error {
	conn, err := broker.Dial(ctx, amqp, broker.Config{})
	if err != nil {
		return err
	}
	defer conn.Close()
	c.client = rpc.NewClient(conn, rpc.ClientConfig{})
	defer c.client.Close()

	if err := c.await(ctx); err != nil {
		return err
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return c.askAll(ctx) })
	both.Go(func() error { return c.follow(ctx, "teapot") })
	err = both.Wait()
	a := c.account()
	fmt.Print(a)
	if a.Wrong+a.Failed > 0 {
		err = errors.Join(err, errors.New("some calls have failed"))
	}
	return errors.Join(err, summary.Write(c.summary, a))
}
