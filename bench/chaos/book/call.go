package book

import (
	"strings"

	"github.com/errandq/errand/bench/chaos/ledger"
)

// A call is what is known of one.
type call struct {
	made, over bool
	runs       int
	once       bool // it must not be run twice
}

// Once marks the kind of calls that must not be run twice.
const Once = "once"

func (b *Book) addCall(e ledger.Event) {
	c := b.calls[e.ID]
	if c == nil {
		c = &call{}
		b.calls[e.ID] = c
	}
	c.once = c.once || e.Kind == Once
	switch e.What {
	case ledger.Call:
		c.made = true
	case ledger.Answer:
		c.runs++
	default:
		c.over = true
		b.errors["call "+string(e.What)+": "+e.Note]++
	}
}

// Calls are the calls of a run.
type Calls struct {
	Made, Right, Failed uint64
	Wrong, Hung         uint64 // both have to be 0
	Died                uint64 // with their callers
	Twice               uint64 // run twice although they must not be; has to be 0
	Failures            map[string]uint64
}

// endedCalls counts by the errors' texts, which hold every end.
func (b *Book) countCalls() Calls {
	n := Calls{Failures: map[string]uint64{}}
	for _, c := range b.calls {
		if c.made {
			n.Made++
		}
		if c.made && !c.over {
			n.Died++
		}
		if c.once && c.runs > 1 {
			n.Twice++
		}
	}
	for text, times := range b.errors {
		end, note, _ := strings.Cut(strings.TrimPrefix(text, "call "), ": ")
		switch ledger.What(end) {
		case ledger.Right:
			n.Right += times
		case ledger.Wrong:
			n.Wrong += times
		case ledger.Hung:
			n.Hung += times
		case ledger.Error:
			n.Failed += times
			n.Failures[note] += times
		}
	}
	return n
}
