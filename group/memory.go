package group

import (
	"context"
	"sync"
	"time"
)

// remembered is how long a [Memory] knows a group after it was completed.
const remembered = 24 * time.Hour

// Memory is a [Store] for a worker that is one process, and for tests. It forgets everything
// when the process ends: groups that are incomplete then never become complete.
//
// A complete group takes one entry, which is dropped by the first call of Done a day later; a
// duplicate that comes after that begins the group anew. An incomplete one takes an entry a
// member, for as long as the process runs.
type Memory struct {
	mu     sync.Mutex
	groups map[string]*tally
	// complete are the groups that are, in the order in which they became so.
	complete []completion
}

var _ Store = (*Memory)(nil)

// A tally is what is known of one group.
type tally struct {
	size int
	done map[string]struct{} // nil once the group is complete
	last string
}

type completion struct {
	group string
	at    time.Time
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{groups: map[string]*tally{}} }

// Done implements [Store]. The context does not matter: nothing is waited for.
func (m *Memory) Done(_ context.Context, group string, size int, member string) (last bool, err error) {
	if err := check(group, size, member); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.forget(now.Add(-remembered))
	t := m.groups[group]
	if t == nil {
		t = &tally{done: map[string]struct{}{}}
		m.groups[group] = t
	}
	if t.done == nil {
		return member == t.last, nil
	}
	t.size = max(t.size, size)
	t.done[member] = struct{}{}
	if len(t.done) < t.size {
		return false, nil
	}
	t.done, t.last = nil, member
	m.complete = append(m.complete, completion{group, now})
	return true, nil
}

// forget drops the groups that were complete before t.
func (m *Memory) forget(t time.Time) {
	old := 0
	for old < len(m.complete) && m.complete[old].at.Before(t) {
		delete(m.groups, m.complete[old].group)
		old++
	}
	m.complete = m.complete[old:]
}
