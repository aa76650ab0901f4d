package contest

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Base is the contender that all others are compared with.
const Base = "hand"

// A column is a number of each contender.
type column struct {
	head string
	form string // of fmt
	of   func(e, base Entry) float64
}

func plain(head, form string, of func(Sample) float64) column {
	return column{head, form, func(e, _ Entry) float64 { return median(e.Samples, of) }}
}

func compared(head string, of func(Sample) float64) column {
	return column{head, "%.2f", func(e, base Entry) float64 { return ratio(e.Samples, base.Samples, of) }}
}

// columns are those that say something of a work.
func columns(w Work) []column {
	all := []column{plain("jobs", "%.0f", jobsOf)}
	if w.Rate == 0 && w.Kind != Ladder {
		all = append(all, plain("jobs/s", "%.0f", rateOf), compared("rate ×", rateOf))
	}
	all = append(all,
		plain("client CPU µs/job", "%.1f", cpuOf), compared("CPU ×", cpuOf),
		plain("server CPU µs/job", "%.1f", serverCPUOf))
	if isCall(w.Kind) {
		all = append(all, plain("callee CPU µs/job", "%.1f", peerCPUOf))
	}
	all = append(all,
		plain("B/job", "%.0f", bytesOf), plain("allocs/job", "%.1f", allocsOf), plain("peak RSS MiB", "%.1f", peakOf))
	if timed(w) {
		p50 := timesOf(func(t Times) float64 { return t.P50 })
		all = append(all,
			plain("p50 ms", "%.2f", p50), compared("p50 ×", p50),
			plain("p99 ms", "%.2f", timesOf(func(t Times) float64 { return t.P99 })),
			plain("p99.9 ms", "%.2f", timesOf(func(t Times) float64 { return t.P999 })))
	}
	if w.isDelayed() {
		all = append(all, column{"earliest ms", "%.2f", func(e, _ Entry) float64 { return earliest(e.Samples) }})
	}
	return all
}

// timed reports whether samples of a work have times.
func timed(w Work) bool { return w.Rate > 0 || w.Kind == Ladder || isCall(w.Kind) }

func (w Work) isDelayed() bool { return w.Kind == Delayed || w.Kind == Hops || w.Kind == Ladder }

func isCall(k Kind) bool { return k == Calls || k == Direct }

// earliest is the smallest lateness of all.
func earliest(samples []Sample) float64 {
	least := math.NaN()
	for _, s := range samples {
		if s.Times != nil && !(s.Times.Min > least) {
			least = s.Times.Min
		}
	}
	return least
}

// Entry returns what a contender did, with no samples if it did nothing.
func (r Row) Entry(contender string) Entry {
	i := slices.IndexFunc(r.Entries, func(e Entry) bool { return e.Contender == contender })
	if i < 0 {
		return Entry{Contender: contender}
	}
	return r.Entries[i]
}

// table is the row in the form that Markdown reads.
func (r Row) table() string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n## %s\n\n%s\n\n", r.Work.Name, r.Work.text())
	all := columns(r.Work)
	text.WriteString("| contender |")
	for _, c := range all {
		text.WriteString(" " + c.head + " |")
	}
	text.WriteString("\n|---|" + strings.Repeat("---:|", len(all)) + "\n")
	for _, e := range r.Entries {
		fmt.Fprintf(&text, "| %s |", e.Contender)
		for _, c := range all {
			text.WriteString(" " + cell(c.form, c.of(e, r.Entry(Base))) + " |")
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// cell shows what could not be measured as a dash.
func cell(form string, value float64) string {
	if math.IsNaN(value) || math.IsInf(value, 0) || value == 0 {
		return "-"
	}
	return fmt.Sprintf(form, value)
}

// text says in one line what the work is.
func (w Work) text() string {
	var parts []string
	say := func(form string, value any, zero bool) {
		if !zero {
			parts = append(parts, fmt.Sprintf(form, value))
		}
	}
	say("%d jobs a round", w.Jobs, w.Jobs == 0)
	say("%v a round", w.Span, w.Span == 0)
	say("%d samples a round", w.Often, w.Often < 2)
	say("%d callers", w.Callers, w.Callers < 2)
	say("%d a second", w.Rate, w.Rate == 0)
	say("due after %v", w.Delay, w.Delay == 0)
	say("%v later at most", w.Spread, w.Spread == 0)
	say("%d workers", w.Workers, w.Workers < 2)
	say("%d queues", w.Queues, w.Queues < 2)
	say("%d kinds", w.Kinds, w.Kinds < 2)
	say("prefetch %d", w.Prefetch, w.Kind == Enqueue || w.Kind == Batch)
	say("%d handlers", w.Handlers, w.Handlers == 0)
	say("%d bytes of JSON", w.Size, w.Size == 0)
	return strings.Join(parts, ", ") + "."
}

// Markdown is the whole page.
func (r *Results) Markdown() string {
	text := r.preamble()
	for _, row := range r.Rows {
		text += row.table()
	}
	for _, curve := range r.Curves {
		text += curve.table()
	}
	return text
}

// preamble says what was measured where, and what the numbers are good for.
func (r *Results) preamble() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Measured on %s\n\n", r.Began.UTC().Format("2006-01-02 15:04 UTC"))
	text.WriteString("Absolute numbers don't carry over to another machine; the ratios of one run roughly do.\n" +
		"All ran on one machine, servers included, in turns. Numbers are medians of the rounds;\n" +
		"× is the median of the rounds' ratios to " + Base + ".\n")
	if r.Short {
		text.WriteString("**This was a run with few jobs, to see whether it works: the numbers mean nothing.**\n")
	}
	fmt.Fprintf(&text, "\n* Machine: %d × %s, %s, %s, %s\n", r.Machine.CPUs, r.Machine.CPU, r.Machine.Memory, r.Machine.OS, r.Machine.Go)
	fmt.Fprintf(&text, "* Rounds: %d\n", r.Rounds)
	for _, name := range slices.Sorted(maps.Keys(r.Servers)) {
		fmt.Fprintf(&text, "* %s: %s\n", name, r.Servers[name])
	}
	for _, path := range slices.Sorted(maps.Keys(r.Modules)) {
		fmt.Fprintf(&text, "* %s %s\n", path, r.Modules[path])
	}
	text.WriteString("\n| contender | server | settings |\n|---|---|---|\n")
	for _, a := range r.About {
		fmt.Fprintf(&text, "| %s | %s | %s |\n", a.Name, a.Server, a.Settings)
	}
	return text.String()
}
