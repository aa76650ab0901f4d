// Worker copies files to a store, as the backup example's producer asks for it.
//
//	worker -source DIR -store PLACE [-amqp URL] [-concurrency N] …
//
// Any number of workers may run side by side. It runs until SIGINT or SIGTERM, and then
// finishes what it has begun.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/errandq/errand/broker"
	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/copier"
	"github.com/errandq/errand/examples/backup/directory"
	"github.com/errandq/errand/examples/backup/drivers"
	"github.com/errandq/errand/examples/backup/store"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))

	if err := prepare(opts); err != nil {
		return err
	}
	bucket, err := drivers.Open(ctx, opts.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bucket.Close()) }()

	conn, err := broker.Dial(ctx, opts.amqp, broker.Config{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	policy := retry.Exponential{Initial: time.Second, Max: time.Minute, Attempts: opts.attempts}
	c := copier.New(copier.Config{
		Roots:   opts.roots,
		Store:   store.New(bucket),
		Reports: producer.New(conn, producer.Config{}),
		Retry:   policy,
		Logger:  log,
	})
	w := worker.New(conn, worker.Config{Concurrency: opts.concurrency, Grace: opts.grace, Logger: log})
	worker.Handle(w, backup.CopyFile, c.Copy, worker.Retry(policy), worker.Timeout(opts.timeout))
	log.Info("worker started", "sources", []string(opts.roots), "concurrency", opts.concurrency)
	err = w.Run(ctx)
	stats := w.Stats()
	log.Info("worker stopped", "done", stats.Done, "retried", stats.Retried, "dead", stats.Dead, "requeued", stats.Requeued)
	return err
}

// prepare readies a store that is a directory. A cloud's needs nothing.
func prepare(opts options) error {
	dir, ok, err := directory.Named(opts.store)
	if err != nil || !ok {
		return err
	}
	tmp, err := directory.Prepare(dir, opts.roots)
	if err != nil {
		return err
	}
	return os.Setenv("TMPDIR", tmp)
}
