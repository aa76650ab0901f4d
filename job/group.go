package job

import (
	"fmt"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// Headers of the members of a group.
const (
	headerGroup     = prefix + "group"      // the group's ID
	headerGroupSize = prefix + "group-size" // how many members it has
	headerGroupThen = prefix + "group-then" // the job that follows, as a table
)

// maxThen is how large the arguments of a group's last job may be: each member carries them in
// its headers, which have 64 KiB in all.
const maxThen = 32 << 10

// A Membership says that a job is one of a group.
type Membership struct {
	ID   string // of the group: that of Then
	Size int    // how many members it has
	Then Job    // to be enqueued when all are done
}

// Group makes a group of jobs: when all members are done, then is enqueued. The workers of
// all members' queues have to count, which package group does. Members keep the IDs that
// they have, by which they are counted, so that one that runs twice counts once. A member
// that is put aside keeps the group waiting until it is enqueued again and done.
//
// The group's ID is that of then. One that was used before, within the time that the store
// remembers, makes a group that never completes. A delay of then counts from when it was made.
//
// Mistakes are reported when the members are enqueued: that there are none, that two have one
// ID, that one may expire or is of another group, that then is an event or may expire, that its
// arguments are over 32 KiB.
func Group(then Job, members ...Job) []Job {
	err := then.cantFollow()
	if len(members) == 0 {
		if err == nil {
			err = fmt.Errorf("%w: kind %q: it follows a group without members", ErrInvalid, then.Kind)
		}
		return []Job{{Kind: then.Kind, ID: then.ID, err: err}}
	}
	group := &Membership{ID: then.ID, Size: len(members), Then: then}
	grouped, seen := make([]Job, len(members)), map[string]bool{}
	for i, m := range members {
		if m.err == nil {
			m.err = err
		}
		if rule := m.unfit(seen); rule != "" && m.err == nil {
			m.err = fmt.Errorf("%w: kind %q: %s", ErrInvalid, m.Kind, rule)
		}
		seen[m.ID] = true
		m.Group = group
		grouped[i] = m
	}
	return grouped
}

// cantFollow returns the rule by which j can't be what follows a group.
func (j Job) cantFollow() error {
	switch {
	case j.err != nil:
		return j.err
	case j.Published():
		return fmt.Errorf("%w: kind %q: an event can't follow a group", ErrInvalid, j.Kind)
	case j.Kind == "" || j.ID == "" || j.Queue == "":
		return fmt.Errorf("%w: what follows a group has no kind, queue or ID: make jobs with Kind.New", ErrInvalid)
	case !j.NotBefore.IsZero() && !topology.HasRetries(j.options...):
		return fmt.Errorf("%w: kind %q: queue %q is used as it is, so what follows a group can't be delayed there", ErrInvalid, j.Kind, j.Queue)
	case !j.ExpiresAt.IsZero():
		return fmt.Errorf("%w: kind %q: what follows a group can't expire, nobody knows when it begins", ErrInvalid, j.Kind)
	case len(j.Body) > maxThen:
		return fmt.Errorf("%w: kind %q: arguments of %d bytes, what follows a group may have %d", ErrInvalid, j.Kind, len(j.Body), maxThen)
	}
	return nil
}

// unfit is why j can't be a member beside those of the IDs in seen, or empty.
func (j Job) unfit(seen map[string]bool) string {
	switch {
	case j.Published():
		return "an event can't be a member of a group"
	case !j.ExpiresAt.IsZero():
		return "a member of a group can't expire, the others would wait for it"
	case j.Group != nil:
		return "it is a member of another group"
	case seen[j.ID]:
		return "two members of a group have the ID " + j.ID + ", and would count as one"
	}
	return ""
}

// write adds the membership to headers.
func (g *Membership) write(headers map[string]any) {
	m := g.Then.Message()
	headers[headerGroup] = g.ID
	headers[headerGroupSize] = int64(g.Size)
	then := map[string]any{
		"id": m.ID, "type": m.Type, "content-type": m.ContentType, "body": m.Body,
		"queue":    g.Then.Queue,
		"existing": topology.IsExisting(g.Then.options...),
		"retries":  topology.HasRetries(g.Then.options...),
		"priority": int64(m.Priority),
	}
	if len(m.Headers) > 0 {
		then["headers"] = m.Headers
	}
	headers[headerGroupThen] = then
}

// membership reads what write has written, or nil if there is none.
func (r *reader) membership() *Membership {
	id, ok := r.text(headerGroup)
	if !ok {
		return nil
	}
	size, _ := r.integer(headerGroupSize)
	table, ok := r.headers[headerGroupThen].(map[string]any)
	if id == "" || len(id) > maxID || size < 1 || size > maxAttempt || !ok {
		r.failf("headers %s, %s and %s do not make a group", headerGroup, headerGroupSize, headerGroupThen)
		return nil
	}
	then, err := readThen(table)
	if err != nil {
		r.failf("header %s: %v", headerGroupThen, err)
		return nil
	}
	if then.ID != id {
		r.failf("header %s has the ID %.100q, want that of the group, %.100q", headerGroupThen, then.ID, id)
		return nil
	}
	return &Membership{ID: id, Size: int(size), Then: then}
}

func readThen(table map[string]any) (Job, error) {
	r := reader{headers: table}
	m := broker.Message{}
	m.ID, _ = r.text("id")
	m.Type, _ = r.text("type")
	m.ContentType, _ = r.text("content-type")
	m.Headers, _ = table["headers"].(map[string]any)
	body, _ := r.text("body")
	m.Body = []byte(body)
	queue, _ := r.text("queue")
	priority, _ := r.integer("priority")
	m.Priority = uint8(min(max(priority, 0), 255))
	if r.err != nil {
		return Job{}, r.err
	}
	if err := topology.CheckQueue(queue); err != nil {
		return Job{}, err
	}
	then, err := Parse(m)
	if err != nil {
		return Job{}, err
	}
	var options []topology.Option
	if existing, _ := table["existing"].(bool); existing {
		options = append(options, topology.Existing())
		if retries, _ := table["retries"].(bool); retries {
			options = append(options, topology.Retries())
		}
	}
	return then.On(queue, options...), nil
}
