package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/errandq/errand/bench/chaos/book"
)

// A report is what is told at the end, in the form that Markdown reads.
type report struct {
	title  string
	sum    book.Summary
	trends []trend
	errs   []error
}

// report adds up. The error says in a line what is wrong.
func (h *harness) report() (*report, error) {
	r := &report{
		title:  fmt.Sprintf("%s; seed %d, %v of faults, %d jobs a second", h.cluster.how(), h.seed, h.lasts, h.rate),
		sum:    h.book.Sum(),
		trends: h.soak.trends(),
		errs:   h.failures(),
	}
	wrong := r.sum.Reasons()
	for _, t := range r.trends {
		if t.grows() {
			wrong = append(wrong, t.name+" grows")
		}
	}
	err := errors.Join(r.errs...)
	if len(wrong) > 0 {
		err = errors.Join(err, fmt.Errorf("wrong: %s", strings.Join(wrong, ", ")))
	}
	return r, err
}

// String is the whole report.
func (r *report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.title)
	r.jobs(&b)
	r.calls(&b)
	r.faults(&b)
	if len(r.trends) > 0 {
		table(&b, "held", "second quarter", "last quarter")
		for _, t := range r.trends {
			row(&b, t.name, t.early, t.late)
		}
	}
	for _, l := range []struct {
		name  string
		texts []string
	}{
		{"lost", r.sum.LostIDs}, {"worked although refused", r.sum.RefusedIDs},
		{"never worked again after", r.sum.Stuck}, {"errors", r.sum.Errors},
	} {
		list(&b, l.name, l.texts)
	}
	for _, err := range r.errs {
		fmt.Fprintln(&b, err)
	}
	return b.String()
}

func (r *report) jobs(b *strings.Builder) {
	s := r.sum
	table(b, "jobs", "number")
	row(b, "enqueued", s.Enqueued)
	row(b, "worked", s.Worked)
	row(b, "dead-lettered, as expected", s.Dead)
	row(b, "dead-lettered by crashes", s.Crashed)
	row(b, "**lost**", s.Lost)
	row(b, "worked or dead-lettered again", s.Duplicates)
	row(b, "**Enqueue returned long after its deadline**", s.Overdue)
	row(b, "Enqueue failed or was killed", s.Failed)
	row(b, "… and worked all the same", s.FailedWorked)
	row(b, "… though surely refused", s.RefusedWorked)
	row(b, "started before their time", s.Early)
	row(b, "in the queue that is deleted", s.Risked)
	row(b, "… and worked", s.RiskedWorked)
	row(b, "longest time without progress", seconds(s.Gap))
}

func (r *report) calls(b *strings.Builder) {
	c := r.sum.Calls
	table(b, "calls", "number")
	row(b, "made", c.Made)
	row(b, "answered", c.Right)
	row(b, "failed", c.Failed)
	for _, text := range slices.Sorted(maps.Keys(c.Failures)) {
		row(b, "… "+text, c.Failures[text])
	}
	row(b, "died with their callers", c.Died)
	row(b, "**wrong answer**", c.Wrong)
	row(b, "**hung**", c.Hung)
	row(b, "**run twice against the word**", c.Twice)
}

func (r *report) faults(b *strings.Builder) {
	table(b, "works again after", "alone: times", "median", "slowest", "mixed: times", "median", "slowest")
	for _, f := range r.sum.Recoveries {
		cells := []any{f.Fault}
		for _, t := range []book.Times{f.Alone, f.Mixed} {
			cells = append(cells, t.N, seconds(t.Median), seconds(t.Slowest))
		}
		row(b, cells...)
	}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// table begins a table, the first column of which is wide.
func table(b *strings.Builder, columns ...string) {
	b.WriteString("\n")
	cells := make([]any, len(columns))
	for i, c := range columns {
		cells[i] = c
	}
	row(b, cells...)
	fmt.Fprintf(b, "|%s|%s\n", strings.Repeat("-", 56), strings.Repeat("---------------:|", len(columns)-1))
}

func row(b *strings.Builder, cells ...any) {
	fmt.Fprintf(b, "| %-54v |", cells[0])
	for _, c := range cells[1:] {
		fmt.Fprintf(b, " %14v |", c)
	}
	b.WriteString("\n")
}

// list writes the first of many texts.
func list(b *strings.Builder, name string, texts []string) {
	const most = 20
	for i, text := range texts {
		if i == most {
			fmt.Fprintf(b, "%s: … and %d more\n", name, len(texts)-most)
			return
		}
		fmt.Fprintf(b, "%s: %s\n", name, text)
	}
}
