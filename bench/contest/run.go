package contest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A Starter starts a server. It returns ErrMissing, wrapped, where the server is not
// installed.
type Starter func(context.Context) (Server, error)

// A Contest is contenders, and what they use.
type Contest struct {
	Contenders []Contender
	Scaled     []Contender        // whose curves Scale draws
	Servers    map[string]Starter // by the name that contenders give
	Log        io.Writer          // gets the tables as they come, and what is left out
}

// Measure does Run or Scale, as the options say, and writes what was measured, also before an
// error.
func (c Contest) Measure(ctx context.Context, o Options) error {
	measure := c.Run
	if o.Scale {
		c.Contenders = c.Scaled
		measure = c.Scale
	}
	results, err := measure(ctx, o)
	if results != nil && o.Out != "" {
		err = errors.Join(err, results.Write(o.Out))
	}
	return err
}

// Run measures all that the options ask for. After an error it returns what was measured
// before, or nil.
func (c Contest) Run(ctx context.Context, o Options) (_ *Results, err error) {
	contenders := o.among(c.Contenders)
	if len(contenders) == 0 {
		return nil, fmt.Errorf("no contender is named %q", o.Contenders)
	}
	works := o.works()
	if len(works) == 0 {
		return nil, fmt.Errorf("no work has %q in its name", o.Rows)
	}
	running, contenders, err := c.start(ctx, contenders)
	defer func() { err = errors.Join(err, running.stop()) }()
	if err != nil {
		return nil, err
	}
	results := newResults(o, contenders, running)
	fmt.Fprint(c.Log, results.preamble())
	for _, w := range works {
		row, err := c.measure(ctx, o, w, contenders, running)
		if err != nil {
			return results, err
		}
		if row.Entries == nil {
			continue // none of them does it
		}
		results.Rows = append(results.Rows, row)
		fmt.Fprint(c.Log, row.table())
	}
	results.Ended = time.Now()
	return results, nil
}

// servers are those that run, by name.
type servers map[string]Server

func (s servers) stop() error {
	var err error
	for _, server := range s {
		err = errors.Join(err, server.Stop())
	}
	return err
}

// start starts what contenders use, and returns those for which there is something.
func (c Contest) start(ctx context.Context, contenders []Contender) (servers, []Contender, error) {
	running := servers{}
	missing := map[string]bool{}
	for _, contender := range contenders {
		name := contender.Server
		if running[name] != nil || missing[name] {
			continue
		}
		server, err := c.Servers[name](ctx)
		if errors.Is(err, ErrMissing) {
			fmt.Fprintf(c.Log, "%s is left out: %v\n", name, err)
			missing[name] = true
			continue
		}
		if err != nil {
			return running, nil, fmt.Errorf("start %s: %w", name, err)
		}
		running[name] = server
	}
	contenders = slices.DeleteFunc(slices.Clone(contenders), func(c Contender) bool { return missing[c.Server] })
	return running, contenders, nil
}

// measure has the contenders do a work in turns. Each round begins with the next of them.
func (c Contest) measure(ctx context.Context, o Options, w Work, contenders []Contender, running servers) (Row, error) {
	contenders = slices.DeleteFunc(slices.Clone(contenders), func(c Contender) bool { return !c.does(w) })
	row := Row{Work: w}
	for _, contender := range contenders {
		row.Entries = append(row.Entries, Entry{Contender: contender.Name})
	}
	if len(contenders) == 0 {
		return row, nil
	}
	for round := range o.Rounds * w.Often {
		for turn := range contenders {
			i := (round + turn) % len(contenders)
			s, err := c.sample(ctx, contenders[i], w, running[contenders[i].Server], o)
			if err != nil {
				return row, fmt.Errorf("%s, %s: %w", w.Name, contenders[i].Name, err)
			}
			row.Entries[i].Samples = append(row.Entries[i].Samples, s)
		}
	}
	return row, nil
}

// sample makes one sample. A failure is told and tried again once: a run takes long, and its
// machine may have had a bad moment.
func (c Contest) sample(ctx context.Context, contender Contender, w Work, server Server, o Options) (Sample, error) {
	s, err := sampleOf(ctx, contender, w, server, o)
	if err == nil || ctx.Err() != nil || o.Short {
		return s, err
	}
	fmt.Fprintf(c.Log, "\n%s, %s failed and is tried again: %v\n", w.Name, contender.Name, err)
	return sampleOf(ctx, contender, w, server, o)
}
