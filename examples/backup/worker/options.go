package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/worker"
)

// options are what the command line says.
type options struct {
	roots       source.Roots
	store       string
	amqp        string
	concurrency int
	attempts    int
	timeout     time.Duration
	grace       time.Duration
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("worker", flag.ExitOnError)
	f.Func("source", "`directory` that this worker may read; jobs that name another fail for good. Repeat it for several (required)",
		func(dir string) error {
			root, err := source.Root(dir)
			o.roots = append(o.roots, root)
			return err
		})
	f.StringVar(&o.store, "store", "", "where copies go: a directory, or a `URL`: file:///dir, s3://bucket, gs://bucket, azblob://container, mem:// (required)")
	// The environment is not shown as a default here, because it may hold a password.
	f.StringVar(&o.amqp, "amqp", "", "`URL` of RabbitMQ (default $AMQP_URL, or amqp://localhost)")
	f.IntVar(&o.concurrency, "concurrency", 4, "how many files are copied at once")
	f.IntVar(&o.attempts, "attempts", 8, "how often a file is tried, the first time included")
	f.DurationVar(&o.timeout, "timeout", 25*time.Minute, "how long one attempt at a file may take; for more than that RabbitMQ needs a longer consumer_timeout")
	f.DurationVar(&o.grace, "grace", worker.DefaultGrace, "how long copies may go on after SIGTERM; the rest goes back to the queue")
	if err := f.Parse(args); err != nil {
		return o, fmt.Errorf("worker: %w", err)
	}
	o.amqp = cmp.Or(o.amqp, os.Getenv("AMQP_URL"), "amqp://localhost")
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("worker: unknown argument %q: flags come first, as -name value", f.Arg(0))
	case len(o.roots) == 0:
		return o, errors.New("worker: -source is missing: say which directory may be read")
	case o.store == "":
		return o, errors.New("worker: -store is missing: say where copies go")
	case o.concurrency < 1 || o.attempts < 1:
		return o, errors.New("worker: -concurrency and -attempts are 1 or more")
	}
	return o, nil
}
