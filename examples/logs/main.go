// Command logs tells of the lines of a log, to a program that keeps them on disk and to one
// that shows some of them: chosen by severity, by device, and by labels. The argument emit,
// keep or show runs one of the three; without, all run, until the last line has come.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/devserver"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "logs:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, screen io.Writer) (err error) {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	url := flags.String("amqp", os.Getenv("AMQP_URL"), "URL of RabbitMQ")
	name := flags.String("file", "errand.log", "where the lines are kept")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.Arg(0) == "" && *url == "" {
		server, err := devserver.Start(ctx, devserver.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
		*url = server.URL()
	}
	conn, err := broker.Dial(ctx, *url, broker.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	file, err := os.OpenFile(*name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	p := producer.New(conn, producer.Config{})
	w := worker.New(conn, worker.Config{Concurrency: 1}) // lines stay in order
	switch role := flags.Arg(0); role {
	case "emit":
		return emit(ctx, p)
	case "keep":
		keep(w, file, func() {})
	case "show":
		show(w, screen, func() {})
	case "":
		return all(ctx, p, w, file, screen)
	default:
		return fmt.Errorf("there is no %q, but emit, keep and show", role)
	}
	return w.Run(ctx)
}

// all emits, keeps and shows until the last line has come to each of the four subscriptions.
func all(ctx context.Context, p *producer.Producer, w *worker.Worker, file, screen io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(ctx) // not what emits: its last confirms may still be on their way
	defer stop()
	var ended atomic.Int32
	last := func() {
		if ended.Add(1) == 4 {
			stop()
		}
	}
	keep(w, file, last)
	show(w, screen, last)
	group.Go(func() error { return w.Run(working) })
	group.Go(func() error {
		if err := awaitListeners(ctx, p); err != nil {
			return err
		}
		return emit(ctx, p)
	})
	return group.Wait()
}
