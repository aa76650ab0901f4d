// Command sink is a mail server for trying the example: it keeps mails as files, delivers none, and refuses some on request.
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

	"github.com/errandq/errand/examples/pdf/smtpsink"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "sink:", err)
		os.Exit(1)
	}
}

// run keeps mails until ctx ends.
func run(ctx context.Context, args []string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config := smtpsink.Config{Logger: log}
	flags := flag.NewFlagSet("sink", flag.ContinueOnError)
	flags.StringVar(&config.Addr, "addr", "127.0.0.1:2525", "address to listen on")
	flags.StringVar(&config.Dir, "dir", "mailbox", "directory for the mails, one .eml file each")
	flags.IntVar(&config.Faults.First, "refuse-first", 0, "refuse this many mails for now, as a server in trouble does (451)")
	flags.DurationVar(&config.Faults.For, "refuse-for", 0, "refuse all mails for now during this time")
	flags.IntVar(&config.Faults.Code, "code", 451, "the code to refuse with, 400 to 499")
	if err := flags.Parse(args); err != nil {
		return err
	}
	sink, err := smtpsink.Start(config)
	if err != nil {
		return err
	}
	log.Info("mail sink started", "addr", sink.Addr(), "dir", config.Dir)
	<-ctx.Done()
	err = sink.Close()
	log.Info("mail sink stopped", "mails", len(sink.Mails()), "refused", sink.Refused())
	return err
}
