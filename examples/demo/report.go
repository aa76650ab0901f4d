package main

import (
	"fmt"
	"strings"
)

// A report is the summary at the end: numbers, and whether they are right.
type report struct {
	b     strings.Builder
	wrong int
}

func (r *report) String() string { return r.b.String() }

func (r *report) title(text string) { fmt.Fprintf(&r.b, "%s\n", text) }

// check is a number that has to be exactly this.
func (r *report) check(what string, got, want int) {
	r.number(what, got, got == want, fmt.Sprintf("want %d", want))
}

// deadLetters is a number of jobs that were put aside, with their reasons.
func (r *report) deadLetters(what string, got []deadLetter, want int) {
	r.check(what, len(got), want)
	for _, l := range got {
		text := []rune(l.job.Failure.Error)
		if len(text) > 100 {
			text = append(text[:100], '…')
		}
		fmt.Fprintf(&r.b, "    in %s, %s: %s\n", l.queue, l.job.Failure.Reason, string(text))
	}
}

// atLeast is a number that has to be as high.
func (r *report) atLeast(what string, got, want int) {
	r.number(what, got, got >= want, fmt.Sprintf("want %d at least", want))
}

// note is a number that may be anything.
func (r *report) note(what string, got int) { fmt.Fprintf(&r.b, "  %-52s %6d\n", what, got) }

func (r *report) number(what string, got int, right bool, want string) {
	mark := "ok"
	if !right {
		mark = "WRONG: " + want
		r.wrong++
	}
	fmt.Fprintf(&r.b, "  %-52s %6d  %s\n", what, got, mark)
}
