package jobtest

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// An exchange routes to queues and to other exchanges.
type exchange struct {
	topology.Exchange
	bindings []topology.Binding
}

// matches returns the bindings that m follows.
func (x *exchange) matches(m *broker.Message) (found []topology.Binding) {
	for _, b := range x.bindings {
		if x.match(b, m) {
			found = append(found, b)
		}
	}
	return found
}

func (x *exchange) match(b topology.Binding, m *broker.Message) bool {
	switch x.Kind {
	case "fanout":
		return true
	case "direct":
		return b.Key == m.Key
	case "topic":
		return matchWords(words(b.Key), words(m.Key))
	case "headers":
		return matchHeaders(b.Args, m.Headers)
	}
	return false
}

// words splits a key as RabbitMQ does: an empty key has none.
func words(key string) []string {
	if key == "" {
		return nil
	}
	return strings.Split(key, ".")
}

// matchWords matches a topic pattern: * is one word, # any number of words.
func matchWords(pattern, key []string) bool {
	if len(pattern) == 0 {
		return len(key) == 0
	}
	switch head := pattern[0]; {
	case head == "#":
		for skip := range len(key) + 1 {
			if matchWords(pattern[1:], key[skip:]) {
				return true
			}
		}
		return false
	case len(key) == 0:
		return false
	case head == "*" || head == key[0]:
		return matchWords(pattern[1:], key[1:])
	}
	return false
}

// matchHeaders matches the arguments of a binding to a headers exchange. Names that begin
// with x- do not count, but for x-match all-with-x and any-with-x.
func matchHeaders(args, headers map[string]any) bool {
	how, _ := args["x-match"].(string)
	anyOf := strings.HasPrefix(how, "any")
	withX := strings.HasSuffix(how, "-with-x")
	for name, want := range args {
		if name == "x-match" || strings.HasPrefix(name, "x-") && !withX {
			continue
		}
		got, there := headers[name]
		same := there && (want == nil || equal(want, got))
		if same == anyOf {
			return anyOf
		}
	}
	return !anyOf
}

// equal compares header values as AMQP does, whose integers have many widths.
func equal(a, b any) bool {
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	if x.CanInt() && y.CanInt() {
		return x.Int() == y.Int()
	}
	return reflect.DeepEqual(a, b)
}

// route returns the queues that m goes to. ok is false if its exchange is not there. An
// exchange from which nothing leads on passes m to its alternate exchange.
func (s *server) route(m *broker.Message) (queues []*queue, ok bool) {
	if m.Exchange == "" {
		if q := s.queues[m.Key]; q != nil {
			return []*queue{q}, true
		}
		return nil, true
	}
	x := s.exchanges[m.Exchange]
	if x == nil {
		return nil, false
	}
	found := map[*queue]bool{}
	s.follow(x, m, found, map[*exchange]bool{})
	return slices.SortedFunc(maps.Keys(found), func(a, b *queue) int { return strings.Compare(a.name, b.name) }), true
}

func (s *server) follow(x *exchange, m *broker.Message, found map[*queue]bool, seen map[*exchange]bool) {
	if seen[x] {
		return
	}
	seen[x] = true
	bindings := x.matches(m)
	for _, b := range bindings {
		if b.ToExchange {
			if next := s.exchanges[b.Destination]; next != nil {
				s.follow(next, m, found, seen)
			}
		} else if q := s.queues[b.Destination]; q != nil {
			found[q] = true
		}
	}
	if alternate, _ := x.Args["alternate-exchange"].(string); len(bindings) == 0 && alternate != "" {
		if next := s.exchanges[alternate]; next != nil {
			s.follow(next, m, found, seen)
		}
	}
}
