package jobtest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// A Found is a job that is in the broker, with its arguments.
type Found[T any] struct {
	job.Job // NotBefore is when it reaches its queue, if it is being delayed
	Args    T
}

// Enqueued returns the jobs of kind k that are in b and not put aside: waiting, being worked,
// or on the delay ladder, in the order of publishing. A job whose arguments do not decode
// fails the test.
func Enqueued[T any](tb testing.TB, b *Broker, k job.Kind[T]) []Found[T] {
	tb.Helper()
	return find(tb, b.stored(func(queue string) bool { return !keepsDead(queue) }), k)
}

// Dead returns the jobs of kind k that were put aside, in the order in which they were. Their
// Failure says why.
func Dead[T any](tb testing.TB, b *Broker, k job.Kind[T]) []Found[T] {
	tb.Helper()
	all := b.stored(keepsDead)
	slices.SortFunc(all, func(a, b stored) int { return cmp.Compare(a.message.seq, b.message.seq) })
	return find(tb, all, k)
}

// keepsDead reports whether a queue is for jobs that were put aside.
func keepsDead(queue string) bool {
	return strings.HasSuffix(queue, topology.DeadQueue("")) || strings.HasSuffix(queue, ".parked")
}

func find[T any](tb testing.TB, all []stored, k job.Kind[T]) []Found[T] {
	tb.Helper()
	var found []Found[T]
	for _, s := range all {
		if s.message.Type != k.Name() {
			continue
		}
		j := s.job()
		args, err := k.Decode(j)
		if err != nil {
			tb.Fatalf("jobtest: job %s of kind %q in queue %s: %v", j.ID, k.Name(), s.queue, err)
		}
		found = append(found, Found[T]{j, args})
	}
	return found
}

// A stored is a message with the queue that it is in.
type stored struct {
	queue   string
	message *message
}

// stored returns what is in the queues, ready or handed out, in the order of publishing.
func (b *Broker) stored(in func(queue string) bool) []stored {
	s := b.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var all []stored
	for name, q := range s.queues {
		if !in(name) {
			continue
		}
		for _, m := range slices.Concat(q.ready, q.stuck) {
			all = append(all, stored{name, m})
		}
		for _, c := range q.consumers {
			for _, m := range c.unacked {
				all = append(all, stored{name, m})
			}
		}
	}
	slices.SortFunc(all, func(a, b stored) int { return cmp.Compare(a.message.born, b.message.born) })
	return all
}

// job is the message as a job. What is wrong with it is for whoever works it to find out.
func (s stored) job() job.Job {
	j, _ := job.Parse(s.message.Message)
	queue, due, delayed := topology.Due(s.queue, s.message.Key, s.message.expires)
	if !delayed {
		return j.On(s.queue)
	}
	j.NotBefore = due
	return j.On(queue)
}

// text is the message for a person: where it is, and what is in it.
func (s stored) text() string {
	j := s.job()
	t := fmt.Sprintf("%s %s in queue %s", j.Kind, j.Body, s.queue)
	if !j.NotBefore.IsZero() {
		t += fmt.Sprintf(", due in %v", time.Until(j.NotBefore).Round(time.Millisecond))
	}
	if j.Attempt > 1 {
		t += fmt.Sprintf(", attempt %d", j.Attempt)
	}
	if f := j.Failure; f != nil {
		t += fmt.Sprintf(", failed: %s", f.Error)
		if f.Reason != "" {
			t += " (" + string(f.Reason) + ")"
		}
	}
	return t
}

// Purge empties a queue.
func (b *Broker) Purge(queue string) {
	s := b.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[queue]; q != nil {
		q.ready = nil
		q.setExpiry()
	}
}
