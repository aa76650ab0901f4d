package jobtest

import (
	"fmt"
	"strings"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

func routeCases() []conformanceCase {
	return []conformanceCase{
		{"default exchange", defaultExchange},
		{"direct", routeDirect},
		{"fanout", routeFanout},
		{"topic", routeTopic},
		{"headers", routeHeaders},
		{"headers by type", routeHeadersByType},
		{"longest key", longestKey},
		{"by another exchange", byAnotherExchange},
		{"exchanges in a circle", exchangesInACircle},
		{"one copy a queue", oneCopyAQueue},
		{"alternate exchange", alternateExchange},
		{"alternate exchanges in a row", alternatesInARow},
		{"alternate exchange takes nothing", alternateTakesNothing},
	}
}

func defaultExchange(c *trial) {
	q := c.queue("classic")
	c.publish(c.message(q, "a"))
	c.refused(c.message(strings.ToUpper(q), "b"), broker.ErrUnroutable)
	c.holds(q, "a")
}

func routeDirect(c *trial) {
	x, a, b := c.exchange("direct", nil), c.queue("classic"), c.queue("classic")
	c.bind(
		topology.Binding{Source: x, Key: "a", Destination: a},
		topology.Binding{Source: x, Key: "both", Destination: a},
		topology.Binding{Source: x, Key: "both", Destination: b},
		topology.Binding{Source: x, Key: "", Destination: b},
	)
	for _, key := range []string{"a", "both", ""} {
		c.publish(c.to(x, key, "for "+key))
	}
	for _, key := range []string{"A", "b", "a.b", "*"} {
		c.refused(c.to(x, key, "lost"), broker.ErrUnroutable)
	}
	c.holds(a, "for a", "for both")
	c.holds(b, "for both", "for ")
}

func routeFanout(c *trial) {
	x, a, b := c.exchange("fanout", nil), c.queue("classic"), c.queue("quorum")
	c.refused(c.to(x, "k", "too early"), broker.ErrUnroutable)
	c.bind(
		topology.Binding{Source: x, Destination: a},
		topology.Binding{Source: x, Key: "does not matter", Destination: b},
	)
	c.publish(c.to(x, "k", "one"), c.to(x, "", "two"))
	c.holds(a, "one", "two")
	c.holds(b, "one", "two")
}

func routeTopic(c *trial) {
	for _, p := range []struct {
		pattern string
		yes, no []string
	}{
		{"a", []string{"a"}, []string{"", "A", "a.", "a.b", ".a"}},
		{"*", []string{"a", "*", "#"}, []string{"a.b", "a."}},
		{"#", []string{"", "a", "a.b", ".", "a..b", "#"}, nil},
		{"a.*", []string{"a.b", "a."}, []string{"a", "a.b.c", "b.a"}},
		{"*.b", []string{"a.b", ".b"}, []string{"b", "a.a.b"}},
		{"a.#", []string{"a", "a.b", "a.b.c", "a."}, []string{"b", "ab", ""}},
		{"#.z", []string{"z", "a.z", "a.b.z", "z.z"}, []string{"", "z.a"}},
		{"a.*.c", []string{"a.b.c", "a..c"}, []string{"a.c", "a.b.b.c"}},
		{"a.#.c", []string{"a.c", "a.b.c", "a.b.b.c", "a.c.c"}, []string{"a", "a.c.b", "c"}},
		{"#.b.#", []string{"b", "a.b", "b.c", "a.b.c", "b.b"}, []string{"", "a", "a.c"}},
		{"*.#", []string{"a", "a.b"}, nil},
		{"#.*.b", []string{"a.b", "a.a.b"}, []string{"b"}},
		{"#.#", []string{"", "a", "a.b"}, nil},
		{"a*", []string{"a*"}, []string{"ab", "a"}},
		{"ä.ö", []string{"ä.ö"}, []string{"ä.o"}},
	} {
		x, q := c.exchange("topic", nil), c.queue("classic")
		c.bind(topology.Binding{Source: x, Key: p.pattern, Destination: q})
		var taken []string
		for _, key := range append(append([]string{}, p.yes...), p.no...) {
			m := c.to(x, key, fmt.Sprintf("pattern %q, key %q", p.pattern, key))
			m.Optional = true // an error would not say of which pattern
			c.publish(m)
		}
		for _, key := range p.yes {
			taken = append(taken, fmt.Sprintf("pattern %q, key %q", p.pattern, key))
		}
		c.holds(q, taken...)
	}
}

func routeHeaders(c *trial) {
	type table = map[string]any
	for n, p := range []struct {
		args    table
		yes, no []table
	}{
		{
			table{"x-match": "all", "a": "1", "b": true},
			[]table{{"a": "1", "b": true}, {"a": "1", "b": true, "c": "more"}},
			[]table{nil, {"a": "1"}, {"a": "1", "b": false}, {"b": true}},
		},
		{
			table{"a": "1", "b": 2}, // all is the default
			[]table{{"a": "1", "b": 2}},
			[]table{{"a": "1"}, {"a": "1", "b": 3}},
		},
		{
			table{"x-match": "any", "a": "1", "b": 2},
			[]table{{"a": "1"}, {"b": 2}, {"a": "x", "b": 2}},
			[]table{nil, {"a": "2"}, {"c": "1"}},
		},
		{
			table{"x-match": "all", "a": nil}, // only has to be there
			[]table{{"a": "1"}, {"a": 7}},
			[]table{nil, {"b": "1"}},
		},
		{
			table{"x-match": "all", "x-a": "1"}, // names that begin with x- don't count
			[]table{nil, {"x-a": "2"}},
			nil,
		},
		{
			table{"x-match": "any", "x-a": "1"},
			nil,
			[]table{nil, {"x-a": "1"}},
		},
		{
			table{"x-match": "any-with-x", "x-a": "1"},
			[]table{{"x-a": "1"}},
			[]table{{"x-a": "2"}},
		},
		{
			table{"x-match": "all-with-x", "x-a": "1", "b": "2"},
			[]table{{"x-a": "1", "b": "2"}},
			[]table{{"b": "2"}},
		},
		{nil, []table{nil, {"a": "1"}}, nil},
	} {
		x, q := c.exchange("headers", nil), c.queue("classic")
		c.bind(topology.Binding{Source: x, Key: "does not matter", Args: p.args, Destination: q})
		var taken []string
		for i, headers := range append(append([]table{}, p.yes...), p.no...) {
			m := c.to(x, "k", fmt.Sprintf("binding %d %v: %v", n, p.args, headers))
			m.Headers, m.Optional = headers, true
			c.publish(m)
			if i < len(p.yes) {
				taken = append(taken, string(m.Body))
			}
		}
		c.holds(q, taken...)
	}
}

// A text is not the number that it reads as.
func routeHeadersByType(c *trial) {
	x, number, text := c.exchange("headers", nil), c.queue("classic"), c.queue("classic")
	c.bind(
		topology.Binding{Source: x, Args: map[string]any{"n": 1}, Destination: number},
		topology.Binding{Source: x, Args: map[string]any{"n": "1"}, Destination: text},
	)
	for _, v := range []any{1, "1", int64(1)} {
		m := c.to(x, "", fmt.Sprintf("%T", v))
		m.Headers = map[string]any{"n": v}
		c.publish(m)
	}
	c.holds(number, "int", "int64")
	c.holds(text, "string")
}

func longestKey(c *trial) {
	x, q := c.exchange("topic", nil), c.queue("classic")
	long := strings.Repeat("k", 253) + ".z"
	c.bind(
		topology.Binding{Source: x, Key: long, Destination: q},
		topology.Binding{Source: x, Key: "*.z", Destination: q},
	)
	c.publish(c.to(x, long, "255 bytes"))
	c.refused(c.to(x, "k"+long, "256 bytes"), broker.ErrInvalid)
	c.refused(c.to(strings.Repeat("x", 256), "k", "an exchange of 256 bytes"), broker.ErrInvalid)
	c.holds(q, "255 bytes")
}

func byAnotherExchange(c *trial) {
	first, second, q := c.exchange("topic", nil), c.exchange("direct", nil), c.queue("classic")
	c.bind(
		topology.Binding{Source: first, Key: "a.*", Destination: second, ToExchange: true},
		topology.Binding{Source: second, Key: "a.b", Destination: q},
	)
	c.publish(c.to(first, "a.b", "through both"))
	c.refused(c.to(first, "a.c", "through one"), broker.ErrUnroutable)
	c.holds(q, "through both")
}

func exchangesInACircle(c *trial) {
	a, b, q := c.exchange("fanout", nil), c.exchange("fanout", nil), c.queue("classic")
	c.bind(
		topology.Binding{Source: a, Destination: b, ToExchange: true},
		topology.Binding{Source: b, Destination: a, ToExchange: true},
		topology.Binding{Source: b, Destination: q},
	)
	c.publish(c.to(a, "k", "once"))
	c.holds(q, "once")
}

func oneCopyAQueue(c *trial) {
	a, b, q := c.exchange("fanout", nil), c.exchange("direct", nil), c.queue("quorum")
	c.bind(
		topology.Binding{Source: a, Destination: q},
		topology.Binding{Source: a, Key: "other", Destination: q},
		topology.Binding{Source: a, Destination: b, ToExchange: true},
		topology.Binding{Source: b, Key: "k", Destination: q},
	)
	c.publish(c.to(a, "k", "once"))
	c.holds(q, "once")
}

func alternateExchange(c *trial) {
	spare, rest, q := c.exchange("fanout", nil), c.queue("classic"), c.queue("classic")
	x := c.exchange("direct", map[string]any{"alternate-exchange": spare})
	c.bind(
		topology.Binding{Source: spare, Destination: rest},
		topology.Binding{Source: x, Key: "k", Destination: q},
	)
	c.publish(c.to(x, "k", "known"), c.to(x, "other", "unknown"))
	c.holds(q, "known")
	c.holds(rest, "unknown")
}

func alternatesInARow(c *trial) {
	last, q := c.exchange("fanout", nil), c.queue("classic")
	middle := c.exchange("direct", map[string]any{"alternate-exchange": last})
	first := c.exchange("topic", map[string]any{"alternate-exchange": middle})
	missing := c.exchange("direct", map[string]any{"alternate-exchange": c.name("missing")})
	c.bind(topology.Binding{Source: last, Destination: q})
	c.publish(c.to(first, "k", "through all"))
	c.refused(c.to(missing, "k", "nowhere"), broker.ErrUnroutable)
	c.holds(q, "through all")
}

// A binding that leads to an exchange from which nothing leads on counts as a way: the
// alternate exchange gets nothing.
func alternateTakesNothing(c *trial) {
	spare, rest := c.exchange("fanout", nil), c.queue("classic")
	x, deadEnd := c.exchange("fanout", map[string]any{"alternate-exchange": spare}), c.exchange("direct", nil)
	c.bind(
		topology.Binding{Source: spare, Destination: rest},
		topology.Binding{Source: x, Destination: deadEnd, ToExchange: true},
	)
	c.refused(c.to(x, "k", "into the dead end"), broker.ErrUnroutable)
	c.holds(rest)
}
