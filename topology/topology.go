package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Topology is a set of declarations. The zero value declares nothing.
// Declaring one twice, or two that overlap, changes nothing the second time.
type Topology struct {
	Exchanges []Exchange
	Queues    []Queue
	Bindings  []Binding
	Unbind    []Binding // are removed if they are there, after the rest was made
}

// Exchange is a durable exchange.
type Exchange struct {
	Name string
	Kind string // direct, fanout, topic or headers
	Args map[string]any
}

// Queue is a durable queue. Its arguments are fixed for as long as the queue exists:
// RabbitMQ refuses to declare it with others.
type Queue struct {
	Name string
	Args map[string]any // strings, ints and bools
}

// Binding routes from Source to a queue, or to an exchange if ToExchange is set. An empty
// Destination stands for the queue that the binding is declared with.
type Binding struct {
	Source      string
	Key         string
	Args        map[string]any // what a headers exchange matches
	Destination string
	ToExchange  bool
}

// Join returns all declarations of ts, each once, in the order of their first appearance. A
// binding that one of them wants to have and another one to be removed stays.
func Join(ts ...Topology) Topology {
	var joined Topology
	seen := map[string]bool{}
	for _, t := range ts {
		joined.Exchanges = appendNew(joined.Exchanges, t.Exchanges, seen, "")
		joined.Queues = appendNew(joined.Queues, t.Queues, seen, "")
		joined.Bindings = appendNew(joined.Bindings, t.Bindings, seen, "")
		joined.Unbind = appendNew(joined.Unbind, t.Unbind, seen, "un")
	}
	joined.Unbind = slices.DeleteFunc(joined.Unbind, func(b Binding) bool { return seen[identity(b)] })
	return joined
}

// appendNew appends those of more that seen does not have.
func appendNew[D any](all, more []D, seen map[string]bool, prefix string) []D {
	for _, d := range more {
		if id := prefix + identity(d); !seen[id] {
			seen[id] = true
			all = append(all, d)
		}
	}
	return all
}

// identity tells declarations apart, by the types of their arguments too: a headers exchange
// finds the text "1" another value than the number.
func identity(declaration any) string { return fmt.Sprintf("%#v", declaration) }

// IsZero reports whether t declares nothing.
func (t Topology) IsZero() bool {
	return len(t.Exchanges) == 0 && len(t.Queues) == 0 && len(t.Bindings) == 0 && len(t.Unbind) == 0
}

// String is one declaration a line, in order of declaration, arguments sorted by name.
func (t Topology) String() string {
	var b strings.Builder
	for _, x := range t.Exchanges {
		fmt.Fprintln(&b, x)
	}
	for _, q := range t.Queues {
		fmt.Fprintln(&b, q)
	}
	for _, g := range t.Bindings {
		fmt.Fprintln(&b, g)
	}
	for _, g := range t.Unbind {
		fmt.Fprintln(&b, "un"+g.String())
	}
	return b.String()
}

// String is the declaration on one line.
func (x Exchange) String() string {
	return fmt.Sprintf("exchange %s %s%s", x.Name, x.Kind, argString(x.Args))
}

// String is the declaration on one line.
func (q Queue) String() string {
	return fmt.Sprintf("queue %s%s", q.Name, argString(q.Args))
}

// String is the declaration on one line.
func (b Binding) String() string {
	to := "queue"
	if b.ToExchange {
		to = "exchange"
	}
	return fmt.Sprintf("bind %s %q%s -> %s %s", b.Source, b.Key, argString(b.Args), to, b.Destination)
}

func argString(args map[string]any) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(args)) {
		fmt.Fprintf(&b, " %s=%v", k, args[k])
	}
	return b.String()
}
