// Command demo shows the main jobs on real work: it starts a private RabbitMQ, for each of the
// examples pdf and backup two worker processes and a producer, and for rpc two servers and a
// caller. It kills one worker of each and one server in the middle, makes the mail server
// refuse for a while, and places one order that can't be fulfilled. At the end it counts what
// is on disk and what was answered. It fails if a number is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/errandq/errand/devserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// patience is how long the work may take, building included; something is wrong then.
const patience = 10 * time.Minute

func run(ctx context.Context) (err error) {
	orders := flag.Int("orders", 300, "orders to place")
	files := flag.Int("files", 400, "files to back up")
	calls := flag.Int("calls", 8000, "prices to ask for")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	dir, err := os.MkdirTemp("", "errand-demo-")
	if err != nil {
		return err
	}
	say("building the programs (the first time compiles the cloud storage drivers: minutes)")
	programs, err := build(ctx, filepath.Join(dir, "bin"))
	if err != nil {
		return err
	}
	server, err := devserver.Start(ctx, devserver.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	say("%s", server.How())
	url, err := server.NewVhost(ctx)
	if err != nil {
		return err
	}

	began := time.Now()
	pdf := &pdfDemo{programs: programs, amqp: url, dir: filepath.Join(dir, "pdf"), orders: *orders}
	backup := &backupDemo{programs: programs, amqp: url, dir: filepath.Join(dir, "backup"), files: *files}
	rpc := &rpcDemo{programs: programs, amqp: url, dir: filepath.Join(dir, "rpc"), calls: *calls}
	all, ctx2 := errgroup.WithContext(ctx)
	all.Go(func() error { return pdf.run(ctx2) })
	all.Go(func() error { return backup.run(ctx2) })
	all.Go(func() error { return rpc.run(ctx2) })
	if err := all.Wait(); err != nil {
		return fmt.Errorf("%w (the programs' output is in %s)", err, dir)
	}
	say("done in %.1f s", time.Since(began).Seconds())

	var r report
	pdf.report(&r)
	backup.report(&r)
	rpc.report(&r)
	fmt.Print("\n", r.String(), "\n")
	if r.wrong > 0 {
		return fmt.Errorf("%d numbers are wrong; the programs' output is in %s", r.wrong, dir)
	}
	fmt.Println("The PDFs lie in", pdf.pdfs())
	return nil
}

// say prints a line of the story.
func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
