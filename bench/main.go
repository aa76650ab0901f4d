package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"

	"github.com/errandq/errand/bench/byhand"
	"github.com/errandq/errand/bench/contest"
	"github.com/errandq/errand/bench/ours"
	"github.com/errandq/errand/devserver"
)

func main() {
	if contest.Child(contenders()) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func contenders() []contest.Contender { return append(byhand.All(), ours.Contender()) }

func servers() map[string]contest.Starter {
	return map[string]contest.Starter{contest.RabbitMQ: contest.StartRabbit}
}

func run(ctx context.Context) error {
	var options contest.Options
	options.AddTo(flag.CommandLine)
	memory := flag.Bool("memory", false, "measure a worker's memory instead")
	event := flag.Bool("event", false, "measure events instead")
	fill := flag.Int("fill", 0, "only enqueue so many jobs at -amqp: what -memory starts as another process")
	amqp := flag.String("amqp", "", "the server for -fill")
	flag.Parse()
	switch {
	case *fill > 0:
		return fillOnly(ctx, *amqp, *fill)
	case *memory:
		return withServer(ctx, func(url string) error { return measureMemory(ctx, url) })
	case *event:
		return withServer(ctx, func(url string) error { return measureEvents(ctx, url, options.Rounds) })
	}
	return contest.Contest{
		Contenders: contenders(),
		Scaled:     []contest.Contender{byhand.Naive(), ours.Contender()},
		Servers:    servers(),
		Log:        os.Stdout,
	}.Measure(ctx, options)
}

// withServer calls f with a server's URL.
func withServer(ctx context.Context, f func(url string) error) (err error) {
	server, err := devserver.Start(ctx, devserver.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Printf("%s; %s, %d CPUs\n", server.How(), runtime.Version(), runtime.NumCPU())
	return f(server.URL())
}
