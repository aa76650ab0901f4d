package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/errandq/errand/bench/chaos/role"
	"github.com/errandq/errand/devserver"
)

func main() {
	if raw := os.Getenv(role.Env); raw != "" {
		os.Exit(role.Main(raw))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options say what is to be run.
type options struct {
	lasts  time.Duration // of the faults; starting, recovering and draining come on top
	every  bool          // each fault happens once before lasts begins, however long that takes
	nodes  int           // of RabbitMQ; zero means what the environment says
	seed   uint64
	faults []fault
	rate   int // jobs a second of all producers, and half as many calls
	dir    string
	say    func(format string, args ...any)
}

func command(ctx context.Context) error {
	o := options{faults: allFaults(), say: say}
	flag.DurationVar(&o.lasts, "for", time.Minute, "how long faults happen")
	flag.BoolVar(&o.every, "every", false, "have each fault happen once before that, however long it takes")
	flag.IntVar(&o.nodes, "nodes", 0, "how many nodes RabbitMQ has; several need a Docker engine (default "+devserver.EnvNodes+", or 1)")
	flag.Uint64Var(&o.seed, "seed", rand.Uint64N(1_000_000), "decides the faults and their order")
	names := flag.String("faults", "", "only these, by name, separated by commas: "+strings.Join(faultNames(o.faults), ","))
	flag.IntVar(&o.rate, "rate", 200, "jobs a second; calls are half as many")
	flag.StringVar(&o.dir, "dir", "", "where the ledgers and the processes' output go, instead of a directory that is removed if all is well")
	flag.Parse()
	if *names != "" {
		var err error
		if o.faults, err = pick(o.faults, strings.Split(*names, ",")); err != nil {
			return err
		}
	}
	r, err := chaos(ctx, o)
	if r != nil {
		fmt.Print("\n", r.String())
	}
	return err
}

// chaos runs everything, and returns a report as soon as there was something to report.
func chaos(ctx context.Context, o options) (r *report, err error) {
	dir, temporary := o.dir, false
	if dir == "" {
		if dir, err = os.MkdirTemp("", "errand-chaos-"); err != nil {
			return nil, err
		}
		temporary = true
	} else if err = os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o.dir = dir
	r, err = runIn(ctx, o)
	switch {
	case err != nil:
		err = fmt.Errorf("%w (the ledgers and the processes' output are in %s)", err, dir)
	case temporary:
		err = os.RemoveAll(dir)
	}
	return r, err
}

func runIn(ctx context.Context, o options) (r *report, err error) {
	h, err := newHarness(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	if err := h.run(ctx); err != nil {
		return nil, err
	}
	return h.report()
}

// say prints a line of the story.
func say(format string, args ...any) {
	fmt.Printf("%s  %s\n", time.Now().Format("15:04:05.0"), fmt.Sprintf(format, args...))
}
