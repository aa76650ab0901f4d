package jobtest

import (
	"slices"
)

func limitCases() []conformanceCase {
	return slices.Concat(
		onBoth("length", limitLength),
		onBoth("bytes", limitBytes),
		onBoth("unanswered does not count", unansweredDoesNotCount),
	)
}

// The oldest make room for the newest.
func limitLength(c *trial, queueType string) {
	q := c.queue(queueType, map[string]any{"x-max-length": 3})
	c.fill(q, "1", "2", "3", "4", "5")
	i := c.take(q, 3)
	i.want("3", "4", "5")
}

func limitBytes(c *trial, queueType string) {
	q := c.queue(queueType, map[string]any{"x-max-length-bytes": 1000})
	for _, n := range []byte("12345") {
		m := c.message(q, "")
		m.Body = make([]byte, 400)
		m.Body[0] = n
		c.publish(m)
	}
	i := c.take(q, 2)
	for _, want := range []byte("45") {
		if d := i.next(); d.Body[0] != want {
			c.Errorf("delivered: got %c, want %c", d.Body[0], want)
		}
	}
	i.stop()
}

func unansweredDoesNotCount(c *trial, queueType string) {
	q := c.queue(queueType, map[string]any{"x-max-length": 2})
	i := c.take(q, 2)
	c.fill(q, "1", "2")
	ds := i.want("1", "2")
	c.fill(q, "3", "4")
	c.ack(ds...)
	c.ack(i.want("3", "4")...)
}
