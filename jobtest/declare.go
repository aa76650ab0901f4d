package jobtest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/errandq/errand/topology"
)

// declare makes what of t is not there. It returns the declaration that fails, and why.
func (s *server) declare(c *Conn, t topology.Topology) (object, trouble string) {
	for _, x := range t.Exchanges {
		if trouble := s.declareExchange(x); trouble != "" {
			return x.String(), trouble
		}
	}
	for _, q := range t.Queues {
		if trouble := s.declareQueue(c, q); trouble != "" {
			return q.String(), trouble
		}
	}
	for _, b := range t.Bindings {
		if !s.bindable(b) {
			return b.String(), "NOT_FOUND - no such exchange or queue"
		}
		s.bind(b)
	}
	for _, b := range t.Unbind {
		if x := s.exchanges[b.Source]; x != nil {
			x.bindings = slices.DeleteFunc(x.bindings, sameAs(b))
		}
	}
	for _, q := range s.queues {
		q.retryStuck()
	}
	return "", ""
}

func (s *server) declareExchange(x topology.Exchange) (trouble string) {
	old := s.exchanges[x.Name]
	switch {
	case old == nil && !slices.Contains([]string{"direct", "fanout", "topic", "headers"}, x.Kind):
		return "COMMAND_INVALID - unknown exchange type '" + x.Kind + "'"
	case old == nil:
		s.exchanges[x.Name] = &exchange{Exchange: x}
	case old.Kind != x.Kind || differs(old.Args, x.Args, "alternate-exchange") != "":
		return "PRECONDITION_FAILED - inequivalent, it is: " + old.String()
	}
	return ""
}

func (s *server) declareQueue(c *Conn, q topology.Queue) (trouble string) {
	old := s.queues[q.Name]
	if old == nil {
		if trouble = unknownArgs(q.Args); trouble == "" {
			s.newQueue(q.Name, q.Args, nil)
		}
		return trouble
	}
	if old.owner != nil && old.owner != c {
		return "RESOURCE_LOCKED - it belongs to another connection"
	}
	if arg := differs(old.args, q.Args, comparedArgs()...); arg != "" {
		return "PRECONDITION_FAILED - inequivalent arg '" + arg + "', it is: " + old.String()
	}
	if !old.quorum() {
		old.setUnused() // declaring again counts as using, of this type
	}
	return ""
}

// Arguments by the types of queue that know them.
func bothKnow() []string {
	return []string{
		"x-dead-letter-exchange", "x-dead-letter-routing-key", "x-expires", "x-max-length", "x-max-length-bytes", "x-message-ttl",
		"x-overflow", "x-queue-type", "x-single-active-consumer",
	}
}

func quorumKnows() []string  { return []string{"x-delivery-limit", "x-dead-letter-strategy"} }
func classicKnows() []string { return []string{"x-max-priority"} }

// comparedArgs are what RabbitMQ compares of a queue that is declared again.
func comparedArgs() []string { return slices.Concat(bothKnow(), quorumKnows(), classicKnows()) }

// unknownArgs is what RabbitMQ has against the arguments of a new queue: those that only
// another type knows.
func unknownArgs(args map[string]any) (trouble string) {
	kind, _ := args["x-queue-type"].(string)
	others := classicKnows()
	switch kind = cmp.Or(kind, "classic"); kind {
	case "quorum":
	case "classic":
		others = quorumKnows()
	default:
		return fmt.Sprintf("PRECONDITION_FAILED - package jobtest has no queues of type %q", kind)
	}
	for _, name := range others {
		if _, has := args[name]; has {
			return fmt.Sprintf("PRECONDITION_FAILED - invalid arg '%s' for a %s queue", name, kind)
		}
	}
	return ""
}

// differs returns the first of names that a and b say something else of.
func differs(a, b map[string]any, names ...string) string {
	for _, name := range names {
		x, inA := a[name]
		y, inB := b[name]
		if inA != inB || !equal(x, y) {
			return name
		}
	}
	return ""
}

func (s *server) bindable(b topology.Binding) bool {
	if s.exchanges[b.Source] == nil {
		return false
	}
	if b.ToExchange {
		return s.exchanges[b.Destination] != nil
	}
	return s.queues[b.Destination] != nil
}

func (s *server) bind(b topology.Binding) {
	x := s.exchanges[b.Source]
	if !slices.ContainsFunc(x.bindings, sameAs(b)) {
		x.bindings = append(x.bindings, b)
	}
}

// sameAs tells bindings by the types of their arguments, too.
func sameAs(b topology.Binding) func(topology.Binding) bool {
	text := fmt.Sprintf("%#v", b)
	return func(o topology.Binding) bool { return fmt.Sprintf("%#v", o) == text }
}
