package byhand

import (
	"math/rand/v2"
	"sync"
	"testing"
)

// taken is a channel that notes what is acked.
type taken struct {
	mu   sync.Mutex
	upTo uint64
}

func (c *taken) Ack(tag uint64, multiple bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !multiple || tag <= c.upTo {
		panic("an ack that says nothing new")
	}
	c.upTo = tag
	return nil
}

func TestJoinedAcks(t *testing.T) {
	t.Parallel()
	const prefetch, rounds = 100, 50
	ch := &taken{}
	m := newMultiple(ch, prefetch)
	tag := uint64(0)
	for range rounds {
		tags := rand.Perm(prefetch)
		for i, at := range tags {
			if err := m.done(tag + uint64(at) + 1); err != nil {
				t.Fatal(err)
			}
			ch.mu.Lock()
			if ch.upTo > tag && !contains(tags[:i+1], int(ch.upTo-tag)) {
				t.Errorf("tag %d is acked, and one up to there is not finished", ch.upTo)
			}
			ch.mu.Unlock()
		}
		tag += prefetch
	}
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	if ch.upTo != tag {
		t.Errorf("acked up to %d, want %d", ch.upTo, tag)
	}
}

// contains reports whether tags has all of 0 to n-1.
func contains(tags []int, n int) bool {
	found := make([]bool, n)
	left := n
	for _, tag := range tags {
		if tag < n && !found[tag] {
			found[tag] = true
			left--
		}
	}
	return left == 0
}
