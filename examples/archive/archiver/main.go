// Command archiver puts every order into a relational database.
//
// Run as many as you like, side by side: they share the subscription. SIGTERM or Ctrl-C lets what has begun be finished. Killed by
// SIGKILL, an archiver loses nothing: an event is acked when its row is on disk, and one that comes again finds its row there.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/examples/archive/ledger"
	"github.com/errandq/errand/examples/archive/orders"
	"github.com/errandq/errand/examples/pdf/summary"
	"github.com/errandq/errand/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a second signal ends the process at once
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "archiver:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	amqp, db, summary string
	batch             int
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("archiver", flag.ContinueOnError)
	// The environment is not shown as a default here, because it may hold passwords.
	flags.StringVar(&c.amqp, "amqp", "", "URL of RabbitMQ (default $AMQP_URL, or amqp://localhost)")
	flags.StringVar(&c.db, "db", "", "URL of the database, sqlite: postgres: or mysql: (default $DATABASE_URL, or sqlite:archive.db)")
	flags.IntVar(&c.batch, "batch", 200, "rows in a transaction at most")
	flags.StringVar(&c.summary, "summary", "", "file for a line of JSON at the end: what this archiver has done")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; flags only", flags.Arg(0))
	}
	if c.batch < 1 || c.batch > ledger.MaxRows {
		return c, fmt.Errorf("-batch %d: want 1 to %d", c.batch, ledger.MaxRows)
	}
	if c.amqp == "" {
		c.amqp = os.Getenv("AMQP_URL")
	}
	if c.amqp == "" {
		c.amqp = "amqp://localhost"
	}
	if c.db == "" {
		c.db = os.Getenv("DATABASE_URL")
	}
	if c.db == "" {
		c.db = "sqlite:archive.db"
	}
	return c, nil
}

// run archives until ctx ends.
func run(ctx context.Context, args []string) (err error) {
	c, err := parse(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	l, err := ledger.Open(ctx, c.db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	conn, err := broker.Dial(ctx, c.amqp, broker.Config{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	a := newArchive(l, c.batch)
	// The batcher outlives the handlers, which wait for it.
	ctx2, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { a.batches.Run(ctx2) })
	defer wg.Wait()
	defer stop()

	// While one batch is in the database the next one gathers in the handlers, and the one after that is on its way here.
	w := worker.New(conn, worker.Config{
		Concurrency: 2 * c.batch,
		Prefetch:    3 * c.batch,
		Timeout:     time.Minute,
		Retry:       patient{},
		Logger:      log,
	})
	event.Subscribe(w, orders.Placed, event.Durable(orders.Archive), a.store)
	log.Info("archiver started")
	err = w.Run(ctx)
	stop()
	wg.Wait()
	log.Info("archiver stopped", "rows", a.total.Rows, "known", a.total.Known, "transactions", a.total.Transactions)
	return errors.Join(err, summary.Write(c.summary, a.total))
}
