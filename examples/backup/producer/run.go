package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/backup/progress"
	"github.com/errandq/errand/examples/backup/tally"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/producer"
)

func run(ctx context.Context, args []string) (err error) {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	t := tally.New()
	var screen progress.Display = &progress.Lines{Out: os.Stderr, Snapshot: t.Snapshot}
	if opts.wait {
		screen = progress.New(os.Stderr, t.Snapshot)
	}
	log := slog.New(slog.NewTextHandler(screen, &slog.HandlerOptions{Level: slog.LevelWarn}))

	conn, err := broker.Dial(ctx, opts.amqp, broker.Config{Logger: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	to := producer.New(conn, producer.Config{})

	if !opts.wait {
		if err := send(ctx, to, t, opts.source, ""); err != nil {
			return err
		}
		return finish(os.Stderr, opts, t.Summary("", opts.source))
	}
	id := job.NewID()
	ears, err := listener(ctx, conn, id, t, log)
	if err != nil {
		return err
	}
	err = follow(ctx, screen, ears.Run, func(ctx context.Context) error {
		if err := send(ctx, to, t, opts.source, id); err != nil {
			return err
		}
		return await(ctx, t, opts.stall)
	})
	return errors.Join(err, finish(os.Stderr, opts, t.Summary(id, opts.source)))
}

// follow shows progress and listens while work runs, and returns the first error of them.
func follow(ctx context.Context, screen progress.Display, listen, work func(context.Context) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ctx, stop := context.WithCancel(ctx)
	group.Go(func() error {
		screen.Run(ctx)
		return nil
	})
	group.Go(func() error { return listen(ctx) })
	group.Go(func() error {
		defer stop() // nothing is left to show or to hear
		return work(ctx)
	})
	return group.Wait()
}

// finish writes the account of the run, and returns errUnwell if it is not a good one.
func finish(out io.Writer, opts options, s tally.Summary) error {
	if !opts.wait {
		fmt.Fprintf(out, "%d files sent off, %d could not be read\n", s.Files-s.Failed, s.Failed)
		if s.Failed > 0 {
			return errUnwell
		}
		return nil
	}
	fmt.Fprintf(out, "%d files, %d copied, %d unchanged, %d links, %d special, %d gone, %d failed, %d not heard of, %d retries\n",
		s.Files, s.Copied, s.Unchanged, s.Links, s.Special, s.Gone, s.Failed, s.Unreported, s.Retried)
	if opts.summary != "" {
		if err := s.Save(opts.summary); err != nil {
			return err
		}
	}
	if !s.OK() {
		return errUnwell
	}
	return nil
}
