// Command archive shows a shop whose every order is told to two subscribers: the archiver, another process, puts it into a database, and
// the mailer thanks the customer. It kills the archiver in the middle, starts another, and counts the rows at the end. It fails if one is
// lost or doubled.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/devserver"
	"github.com/errandq/errand/examples/archive/ledger"
	"github.com/errandq/errand/examples/archive/orders"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

// patience is how long all of it may take, building included; something is wrong then.
const patience = 10 * time.Minute

func run(ctx context.Context) (err error) {
	n := flag.Int("n", 20_000, "orders to place")
	db := flag.String("db", "", "URL of an empty database, sqlite: postgres: or mysql: (default a new SQLite file)")
	flag.Parse()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "errand-archive-")
	if err != nil {
		return err
	}
	if *db == "" {
		*db = "sqlite:" + filepath.Join(dir, "archive.db")
	}
	say("building the programs (the first time compiles SQLite: a minute)")
	build := exec.CommandContext(ctx, "go", "build", "-o", dir+string(filepath.Separator),
		"github.com/errandq/errand/examples/archive/shop", "github.com/errandq/errand/examples/archive/archiver")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
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
	defer func() { err = errors.Join(err, server.DeleteVhost(context.WithoutCancel(ctx), url)) }()

	s := &story{dir: dir, amqp: url, db: *db, n: *n}
	if err := s.tell(ctx); err != nil {
		return fmt.Errorf("%w (the programs and their output are in %s)", err, dir)
	}
	fmt.Println("The programs, their output and an SQLite database lie in", dir)
	return nil
}

// open opens what both halves of the story share.
func (s *story) open(ctx context.Context) (err error) {
	if s.ledger, err = ledger.Open(ctx, s.db); err != nil {
		return err
	}
	rows, _, err := s.ledger.Count(ctx)
	if err != nil {
		return err
	}
	if rows > 0 {
		return fmt.Errorf("the database has %d orders already: give an empty one, because they are counted", rows)
	}
	s.conn, err = broker.Dial(ctx, s.amqp, broker.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	return orders.Declare(ctx, s.conn)
}

func (s *story) close() (err error) {
	if s.ledger != nil {
		err = s.ledger.Close()
	}
	if s.conn != nil {
		err = errors.Join(err, s.conn.Close())
	}
	return err
}

// say prints a line of the story.
func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}
