// Command server answers what the methods of package prices ask. Run as many as you like: they share the requests.
//
// SIGTERM or Ctrl-C lets it answer what it has taken. If it is killed, another one answers.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/rpc/prices"
	"github.com/errandq/errand/rpc"
)

func main() {
	amqp := flag.String("amqp", os.Getenv("AMQP_URL"), "URL of RabbitMQ")
	name := flag.String("name", fmt.Sprint("server-", os.Getpid()), "name that the quotes bear")
	concurrency := flag.Int("concurrency", rpc.DefaultConcurrency, "requests answered at once")
	pause := flag.Duration("pause", 0, "take so much longer for each price, to have time to watch")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *amqp, rpc.ServerConfig{Concurrency: *concurrency}, clerk{*name, *pause}); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, amqp string, cfg rpc.ServerConfig, c clerk) error {
	conn, err := broker.Dial(ctx, amqp, broker.Config{})
	if err != nil {
		return err
	}
	defer conn.Close()
	s := rpc.NewServer(conn, cfg)
	rpc.Handle(s, prices.Price, c.price)
	rpc.HandleStream(s, prices.History, c.history)
	err = s.Run(ctx)
	slog.Info("server stopped", "name", c.name, "stats", s.Stats())
	return err
}

// A clerk knows the prices.
type clerk struct {
	name  string
	pause time.Duration
}

// price runs prices.Price.
func (c clerk) price(ctx context.Context, b prices.Basket) (prices.Quote, error) {
	if err := c.think(ctx); err != nil {
		return prices.Quote{}, err
	}
	q, err := prices.Of(b)
	q.Server = c.name
	return q, err
}

// history runs prices.History.
func (c clerk) history(ctx context.Context, s prices.Span, send func(prices.Day) error) error {
	return prices.Each(s, func(d prices.Day) error {
		if err := c.think(ctx); err != nil {
			return err
		}
		return send(d)
	})
}

// think takes a while, unless the caller gives up.
func (c clerk) think(ctx context.Context) error {
	select {
	case <-time.After(c.pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
