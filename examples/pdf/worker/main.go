// Command worker makes the PDFs that the producer's orders ask for, and mails them to the customers.
//
// Run as many as you like, side by side: they share the work, and -dir if they mail. SIGTERM or Ctrl-C lets the jobs that are running
// finish; a second Ctrl-C does not wait. Killed by SIGKILL, a worker loses nothing: its jobs go to another one.
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
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/examples/pdf/invoice"
	"github.com/errandq/errand/examples/pdf/jobs"
	"github.com/errandq/errand/examples/pdf/mail"
	"github.com/errandq/errand/examples/pdf/summary"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a second signal ends the process at once
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	amqp        string
	dir         string
	smtp        string
	from        string
	seller      string
	concurrency int
	pause       time.Duration
	summary     string
	verbose     bool
}

func parse(args []string) (config, error) {
	var c config
	flags := flag.NewFlagSet("worker", flag.ContinueOnError)
	// The environment is not shown as a default here, because it may hold passwords.
	flags.StringVar(&c.amqp, "amqp", "", "URL of RabbitMQ (default $AMQP_URL, or amqp://localhost)")
	flags.StringVar(&c.dir, "dir", "invoices", "directory for the PDFs; workers that mail share it")
	flags.StringVar(&c.smtp, "smtp", "", "mail server, host:port or smtp://user:password@host:port (default $SMTP_URL; none: no mail is sent)")
	flags.StringVar(&c.from, "from", "shop@example.com", "mail address of the shop")
	flags.StringVar(&c.seller, "seller", "Teapots & Sons\n3 Harbour Lane\nBristol BS1 4RW\nUnited Kingdom", "name and address on the invoices")
	flags.IntVar(&c.concurrency, "concurrency", 4, "PDFs made at once, and mails sent at once")
	flags.DurationVar(&c.pause, "pause", 0, "wait this long before each PDF, to have time to watch")
	flags.StringVar(&c.summary, "summary", "", "file for a line of JSON at the end: what this worker has done")
	flags.BoolVar(&c.verbose, "v", false, "log every job")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; flags only", flags.Arg(0))
	}
	if c.concurrency < 1 {
		return c, fmt.Errorf("-concurrency %d: want 1 or more", c.concurrency)
	}
	if c.amqp == "" {
		c.amqp = os.Getenv("AMQP_URL")
	}
	if c.amqp == "" {
		c.amqp = "amqp://localhost"
	}
	if c.smtp == "" {
		c.smtp = os.Getenv("SMTP_URL")
	}
	return c, nil
}

// run works until ctx ends.
func run(ctx context.Context, args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	shop, err := open(c, log)
	if err != nil {
		return err
	}
	conn, err := broker.Dial(ctx, c.amqp, broker.Config{Logger: log})
	if err != nil {
		return err
	}
	defer conn.Close()
	shop.enqueuer = producer.New(conn, producer.Config{AppID: "pdf-worker"})

	// A mail server that asks to come back later usually means minutes; half a second is for the impatient reader of this example.
	policies := map[string]retry.Policy{
		jobs.Render.Name(): retry.Exponential{},
		jobs.Mail.Name():   retry.Exponential{Initial: 500 * time.Millisecond, Max: time.Minute, Attempts: 12},
	}
	tally := newTally(policies)
	w := worker.New(conn, worker.Config{
		Concurrency: c.concurrency,
		Timeout:     time.Minute,
		Middleware:  []worker.Middleware{tally.count},
		Logger:      log,
	})
	worker.Handle(w, jobs.Render, shop.render, worker.Retry(policies[jobs.Render.Name()]))
	if shop.sender != nil {
		worker.Handle(w, jobs.Mail, shop.mail, worker.Retry(policies[jobs.Mail.Name()]))
	}
	log.Info("worker started", "dir", c.dir, "concurrency", c.concurrency)
	err = w.Run(ctx)
	total := tally.summary(w.Stats())
	log.Info("worker stopped", "pdfs", total.PDFs, "mails", total.Mails, "retried", total.Retried, "dead", total.Dead)
	return errors.Join(err, summary.Write(c.summary, total))
}

// open returns the shop that the flags describe, still without a way to enqueue.
func open(c config, log *slog.Logger) (*shop, error) {
	renderer, err := invoice.NewRenderer(c.seller)
	if err != nil {
		return nil, err
	}
	store, err := invoice.OpenStore(c.dir)
	if err != nil {
		return nil, err
	}
	s := &shop{renderer: renderer, store: store, pause: c.pause, log: log}
	if c.smtp == "" {
		log.Info("mail is off: PDFs are stored and not sent; -smtp or SMTP_URL names a mail server")
		return s, nil
	}
	if s.sender, err = mail.NewSender(c.smtp, c.from); err != nil {
		return nil, err
	}
	if s.sent, err = openLedger(c.dir); err != nil {
		return nil, err
	}
	return s, nil
}
