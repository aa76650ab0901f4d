package contest

import (
	"flag"
	"slices"
	"strings"
)

// Options say what Run does. The zero value is not useful: take DefaultOptions or flags.
type Options struct {
	Rounds     int
	Rows       string // only works whose name holds this
	Contenders string // only these, separated by commas; empty: all
	Short      bool   // few jobs, and look whether all arrive
	Scale      bool   // curves of how a contender scales, instead of works
	Out        string // directory for results, none if empty
	Profiles   string // directory for profiles, none if empty; they slow down what is measured, and take longer
}

// AddTo makes flags of the options.
func (o *Options) AddTo(flags *flag.FlagSet) {
	flags.IntVar(&o.Rounds, "rounds", 5, "how often each contender does each work")
	flags.StringVar(&o.Rows, "rows", "", "only works, or curves, whose name holds this")
	flags.StringVar(&o.Contenders, "contenders", "", "only these contenders, by name, separated by commas")
	flags.BoolVar(&o.Short, "short", false, "few jobs: shows that it works, not how fast")
	flags.BoolVar(&o.Scale, "scale", false, "measure how errand scales instead, beside the loop by hand")
	flags.StringVar(&o.Profiles, "profiles", "", "directory for profiles (CPU, allocations, blocking, locks) of each contender at each work, for go tool pprof; ten times the jobs are done for it, and slower")
	flags.StringVar(&o.Out, "out", "", "directory for the table and all samples, with the date in their names")
}

// works returns those that are asked for.
func (o Options) works() []Work {
	var works []Work
	for _, w := range Works() {
		if !strings.Contains(w.Name, o.Rows) {
			continue
		}
		switch {
		case o.Short:
			w = w.short()
		case o.Profiles != "":
			w = w.long()
		}
		works = append(works, w)
	}
	return works
}

// among returns the contenders that are asked for.
func (o Options) among(all []Contender) []Contender {
	if o.Contenders == "" {
		return all
	}
	names := strings.Split(o.Contenders, ",")
	return slices.DeleteFunc(slices.Clone(all), func(c Contender) bool {
		return !slices.Contains(names, c.Name)
	})
}
