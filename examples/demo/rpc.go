package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"
)

// The load of the story.
const (
	historyDays = 1000
	refusedOf   = 50 // one of so many baskets has an article that nobody sells
)

// rpcDemo is the third part of the story: prices are asked for, and answered at once.
type rpcDemo struct {
	programs programs
	amqp     string
	dir      string
	calls    int

	before  rpcAccount // the kill
	account rpcAccount
}

// rpcAccount is what the caller tells.
type rpcAccount struct {
	Calls, OK, Refused, Wrong, Failed, Late int
	Servers                                 map[string]int
	P50, P99, Max                           time.Duration
	Days, Interrupted                       int
}

func (d *rpcDemo) run(ctx context.Context) error {
	first, err := d.server(ctx, "server-1")
	if err != nil {
		return err
	}
	second, err := d.server(ctx, "server-2")
	if err != nil {
		return err
	}
	summary := filepath.Join(d.dir, "caller.json")
	caller, err := d.programs.start(ctx, "rpc/caller", filepath.Join(d.dir, "caller.log"), "-amqp", d.amqp,
		"-servers", "2", "-calls", strconv.Itoa(d.calls), "-days", strconv.Itoa(historyDays), "-summary", summary)
	if err != nil {
		return err
	}
	say("rpc: %d prices to ask for, 64 at once, and a history of %d days", d.calls, historyDays)
	if err := until(ctx, "a third of the calls is answered", caller, func() (bool, error) {
		err := readJSON(summary, &d.before)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return d.before.Calls >= d.calls/3, err
	}); err != nil {
		return err
	}
	if err := first.kill(); err != nil {
		return err
	}
	say("rpc: killed server 1 with SIGKILL, after %d calls or a few more", d.before.Calls)
	if err := caller.wait(); err != nil {
		return err
	}
	if err := second.terminate(); err != nil {
		return err
	}
	return readJSON(summary, &d.account)
}

func (d *rpcDemo) server(ctx context.Context, name string) (*process, error) {
	return d.programs.start(ctx, "rpc/server", filepath.Join(d.dir, name+".log"), "-amqp", d.amqp, "-name", name, "-pause", "5ms")
}

func (d *rpcDemo) report(r *report) {
	a := d.account
	refused := d.calls / refusedOf
	last := d.calls - d.before.Calls
	r.title("rpc: prices are asked for")
	r.check("calls answered with the right price", a.OK, d.calls-refused)
	r.check("calls refused, for an article that is not there", a.Refused, refused)
	r.check("calls answered wrongly", a.Wrong, 0)
	r.check("calls lost", d.calls-a.OK-a.Refused-a.Wrong, 0)
	r.atLeast("prices from the server that was killed", a.Servers["server-1"], 1)
	r.atLeast("prices from the server that survived", a.Servers["server-2"], last/2)
	r.note("answers that came a second time, dropped", a.Late)
	r.note("ms that half of the calls took at most", int(a.P50.Milliseconds()))
	r.note("ms that 99 in 100 calls took at most", int(a.P99.Milliseconds()))
	r.note("ms that the slowest call took", int(a.Max.Milliseconds()))
	r.check("days of the history, each once and in order", a.Days, historyDays)
	r.note("times that the history was taken up again", a.Interrupted)
}
