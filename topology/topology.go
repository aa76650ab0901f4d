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

// Binding routes from Source to a queue, or to an exchange if ToExchange is set.
type Binding struct {
	Source      string
	Key         string
	Destination string
	ToExchange  bool
}

// Join returns all declarations of ts, each once, in the order of their first appearance.
func Join(ts ...Topology) Topology {
	var joined Topology
	seen := map[string]bool{}
	for _, t := range ts {
		for _, x := range t.Exchanges {
			if !seen[x.String()] {
				seen[x.String()] = true
				joined.Exchanges = append(joined.Exchanges, x)
			}
		}
		for _, q := range t.Queues {
			if !seen[q.String()] {
				seen[q.String()] = true
				joined.Queues = append(joined.Queues, q)
			}
		}
		for _, b := range t.Bindings {
			if !seen[b.String()] {
				seen[b.String()] = true
				joined.Bindings = append(joined.Bindings, b)
			}
		}
	}
	return joined
}

// IsZero reports whether t declares nothing.
func (t Topology) IsZero() bool {
	return len(t.Exchanges) == 0 && len(t.Queues) == 0 && len(t.Bindings) == 0
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
	return fmt.Sprintf("bind %s %q -> %s %s", b.Source, b.Key, to, b.Destination)
}

func argString(args map[string]any) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(args)) {
		fmt.Fprintf(&b, " %s=%v", k, args[k])
	}
	return b.String()
}
