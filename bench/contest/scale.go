package contest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Scale measures the curves that the options ask for. After an error it returns what was
// measured before, or nil.
func (c Contest) Scale(ctx context.Context, o Options) (_ *Results, err error) {
	contenders := o.among(c.Contenders)
	running, contenders, err := c.start(ctx, contenders)
	defer func() { err = errors.Join(err, running.stop()) }()
	if err != nil {
		return nil, err
	}
	results := newResults(o, contenders, running)
	fmt.Fprint(c.Log, results.preamble())
	for _, curve := range Curves() {
		if !strings.Contains(curve.Name, o.Rows) {
			continue
		}
		for i, row := range curve.Rows {
			w := row.Work
			if o.Short {
				w = w.short()
			}
			if curve.Rows[i], err = c.measure(ctx, o, w, contenders, running); err != nil {
				return results, err
			}
		}
		results.Curves = append(results.Curves, curve)
		fmt.Fprint(c.Log, curve.table())
	}
	results.Ended = time.Now()
	return results, nil
}

// table is the curve in the form that Markdown reads.
func (c Curve) table() string {
	var text strings.Builder
	last := c.Rows[len(c.Rows)-1].Work
	fmt.Fprintf(&text, "\n## %s\n\nAt its end: %s\n\n", c.Name, last.text())
	all := c.columns()
	fmt.Fprintf(&text, "| %s | contender |", c.X)
	for _, column := range all {
		text.WriteString(" " + column.head + " |")
	}
	text.WriteString("\n|---:|---|" + strings.Repeat("---:|", len(all)) + "\n")
	for i, row := range c.Rows {
		for _, e := range row.Entries {
			fmt.Fprintf(&text, "| %d | %s |", c.At[i], e.Contender)
			for _, column := range all {
				text.WriteString(" " + cell(column.form, column.of(e, row.Entry(Base))) + " |")
			}
			text.WriteByte('\n')
		}
	}
	return text.String()
}

// columns are those of the work, and what only curves show.
func (c Curve) columns() []column {
	w := c.Rows[0].Work
	all := columns(w)
	switch w.Kind {
	case Hold:
		all = append(all, plain("MiB for 1,000 jobs", "%.2f", func(s Sample) float64 { return s.Held }))
	case Hops, Ladder:
		all = append(all, plain("hops", "%.1f", func(s Sample) float64 { return s.Hops }))
	}
	return all
}
