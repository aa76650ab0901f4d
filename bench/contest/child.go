package contest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// childEnv holds an assignment as JSON. It makes a process a child.
const childEnv = "ERRAND_BENCH_SAMPLE"

// Child does what a parent has started this process for, and reports whether there was one.
// Commands and tests that call Run call it before anything else.
func Child(contenders []Contender) bool {
	text, ok := os.LookupEnv(childEnv)
	if !ok {
		return false
	}
	if err := carryOut([]byte(text), contenders); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func carryOut(text []byte, contenders []Contender) error {
	var a assignment
	if err := json.Unmarshal(text, &a); err != nil {
		return fmt.Errorf("%s: %w", childEnv, err)
	}
	i := slices.IndexFunc(contenders, func(c Contender) bool { return c.Name == a.Contender })
	if i < 0 {
		return fmt.Errorf("no contender %q", a.Contender)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stop, err := profile(a)
	if err != nil {
		return err
	}
	if a.Serve {
		return errors.Join(serve(ctx, contenders[i], a), stop())
	}
	sample, err := take(ctx, contenders[i], a)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(sample)
}

// take makes one sample.
func take(ctx context.Context, c Contender, a assignment) (_ Sample, err error) {
	drive := drivers[a.Work.Kind]
	if drive == nil {
		return Sample{}, fmt.Errorf("no work %q", a.Work.Kind)
	}
	client, err := c.Open(ctx, a.URL, a.Work)
	if err != nil {
		return Sample{}, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	r := newRound(client, a)
	if err := drive(ctx, r); err != nil {
		return Sample{}, err
	}
	r.meter.sample.Times = r.watch.times()
	return r.meter.sample, nil
}

// drivers do the kinds of work.
var drivers = map[Kind]func(context.Context, *round) error{
	Enqueue: enqueue,
	Batch:   batch,
	Consume: consume,
	Through: through,
	Waiting: waiting,
	Paced:   paced,
	Delayed: delayed,
	Mixed:   consume,
	Hops:    delayed,
	Ladder:  ladder,
	Hold:    hold,
	Calls:   calls,
	Direct:  calls,
}

// serve is the process that answers calls, until its standard input is closed. When it is
// ready, and then for each line that it reads, it writes the CPU time that it has used, in
// nanoseconds.
func serve(ctx context.Context, c Contender, a assignment) error {
	if c.Serve == nil {
		return fmt.Errorf("%s does not answer calls", c.Name)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tell := func() { fmt.Println(ownCPU().Nanoseconds()) }
	return c.Serve(ctx, a.URL, a.Work, func() {
		tell()
		go func() { // ends with the process at the latest
			defer stop()
			for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
				tell()
			}
		}()
	})
}

// sleep returns early, with the reason, when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
