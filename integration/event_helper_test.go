package integration_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/producer"
)

// publish tells p's exchange about a value, and wants no error.
func publish[T any](t *testing.T, p *producer.Producer, topic event.Topic[T], value T, opts ...event.PublishOption) {
	t.Helper()
	if err := topic.Publish(t.Context(), p, value, opts...); err != nil {
		t.Fatal(err)
	}
}

// newProducer is a producer on a connection of its own.
func newProducer(t *testing.T, url string) *producer.Producer {
	t.Helper()
	return producer.New(dial(t, url), producer.Config{})
}

// Ears keep which numbered events each subscription has heard, in order. They are safe for
// concurrent use.
type ears struct {
	mu  sync.Mutex
	got map[string][]int
}

// probe is the number of events that only ask who is listening.
const probe = -1

// on is the handler of the subscription of that name.
func (e *ears) on(name string) func(context.Context, numbered) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.got == nil {
		e.got = map[string][]int{}
	}
	e.got[name] = nil
	return func(_ context.Context, n numbered) error {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.got[name] = append(e.got[name], n.N)
		return nil
	}
}

// heard are the events of one subscription, without probes.
func (e *ears) heard(name string) []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.got[name]), func(n int) bool { return n == probe })
}

// all reports whether each subscription has heard event n.
func (e *ears) all(n int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, heard := range e.got {
		if !slices.Contains(heard, n) {
			return false
		}
	}
	return true
}

// await publishes probes, with options that every subscription takes, until all hear them.
func (e *ears) await(t *testing.T, p *producer.Producer, topic event.Topic[numbered], opts ...event.PublishOption) {
	t.Helper()
	eventually(t, "somebody in each subscription", func() bool {
		publish(t, p, topic, numbered{probe}, opts...)
		return e.all(probe)
	})
}
