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
	"strings"

	"github.com/errandq/errand/devserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	rounds := flag.Int("rounds", 5, "how often each side does each row")
	only := flag.String("rows", "", "only rows whose name holds this")
	memory := flag.Bool("memory", false, "measure a worker's memory instead")
	rpc := flag.Bool("rpc", false, "measure calls instead")
	event := flag.Bool("event", false, "measure events instead")
	fill := flag.Int("fill", 0, "only enqueue so many jobs at -amqp: what -memory starts as another process")
	serve := flag.String("serve", "", "only answer calls at -amqp: what -rpc starts as another process")
	amqp := flag.String("amqp", "", "the server for -fill and -serve")
	flag.Parse()
	if *fill > 0 {
		return fillOnly(ctx, *amqp, *fill)
	}
	if *serve != "" {
		return serveCalls(ctx, *serve, *amqp)
	}

	server, err := devserver.Start(ctx, devserver.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	fmt.Printf("%s; %s, %d CPUs\n", server.How(), runtime.Version(), runtime.NumCPU())
	if *memory {
		return measureMemory(ctx, server.URL())
	}
	if *rpc {
		return measureCalls(ctx, server.URL(), *rounds)
	}
	if *event {
		return measureEvents(ctx, server.URL(), *rounds)
	}
	fmt.Println(head)
	for _, r := range rows {
		if !strings.Contains(r.name, *only) {
			continue
		}
		line, err := compare(ctx, server.URL(), r, *rounds)
		if err != nil {
			return err
		}
		fmt.Println(line)
	}
	return nil
}

// rows is what is measured.
var rows = []row{
	{"enqueue, one caller", 2000, handEnqueue(1, 1), ourEnqueue(1, 1)},
	{"enqueue, 10,000 in one call", 10000, handEnqueue(1, 1000), ourEnqueue(1, 10000)},
	{"enqueue, 64 callers", 20000, handEnqueue(64, 1), ourEnqueue(64, 1)},
	{"work off a queue, prefetch 100", 30000, handConsume(100), ourConsume(100)},
}
