package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/errandq/errand/examples/backup/source"
)

// options are what the command line says.
type options struct {
	source  string
	amqp    string
	wait    bool
	summary string
	stall   time.Duration
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("producer", flag.ExitOnError)
	f.StringVar(&o.source, "source", "", "`directory` to back up (required)")
	// The environment is not shown as a default here, because it may hold a password.
	f.StringVar(&o.amqp, "amqp", "", "`URL` of RabbitMQ (default $AMQP_URL, or amqp://localhost)")
	f.BoolVar(&o.wait, "wait", false, "wait until it is known what became of each file, and show progress")
	f.StringVar(&o.summary, "summary", "", "`file` to write an account of the run to, as JSON; implies -wait")
	f.DurationVar(&o.stall, "stall", 15*time.Minute, "stop waiting when no file was heard of for so long; 0 waits for ever")
	if err := f.Parse(args); err != nil {
		return o, fmt.Errorf("producer: %w", err)
	}
	o.wait = o.wait || o.summary != ""
	o.amqp = cmp.Or(o.amqp, os.Getenv("AMQP_URL"), "amqp://localhost")
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("producer: unknown argument %q: flags come first, as -name value", f.Arg(0))
	case o.source == "":
		return o, errors.New("producer: -source is missing: say which directory to back up")
	case o.stall < 0:
		return o, errors.New("producer: -stall is 0 or more")
	}
	var err error
	o.source, err = source.Root(o.source)
	return o, err
}
