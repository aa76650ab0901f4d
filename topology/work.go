package topology

import (
	"slices"
	"strings"
)

// CrashLimit is how often a job may be handed out again after its worker died or lost its
// connection, before RabbitMQ itself puts it into the dead-letter queue. It is RabbitMQ 4's
// own default; before 4.0 there was none.
const CrashLimit = 20

// unlimited stands in for "no delivery limit" on dead-letter queues, so that looking at a
// dead letter often does not lose it. RabbitMQ understands -1 only from 4.0; before, -1
// drops at the first return.
const unlimited = 1_000_000_000

// An Option changes what [Work] declares for one queue.
type Option func(*work)

type work struct {
	existing  bool
	ladder    bool
	temporary bool
	sources   Topology
}

// Existing says that the queue is of somebody else's making: it is used as it is, neither
// declared nor bound. Jobs reach it through the default exchange. Without a binding nothing
// can come back to it later, so its jobs can't be delayed or retried: see [Retries].
// Its failed jobs are kept in the parked queue.
func Existing() Option { return func(w *work) { w.existing = true } }

// Retries adds, to an [Existing] queue, the two bindings and the dead-letter queue that let
// its jobs be delayed, retried and put aside. The queue itself stays as it is. Binding
// needs permission to write to the queue.
func Retries() Option { return func(w *work) { w.ladder = true } }

// From lets the queue take messages that others publish to exchanges. The exchanges of t are
// declared with the queue; those of its bindings that have no destination are the queue's.
// Publishers need not know what takes their messages, so a type is not demanded of them.
func From(t Topology) Option { return func(w *work) { w.sources = Join(w.sources, t) } }

// Temporary says that the queue is a connection's own and is deleted with it: see
// broker.Subscription. Its jobs can't be delayed, retried or put aside, and what is in it when
// the connection is lost is lost. Its name is only for people to read.
func Temporary() Option { return func(w *work) { w.temporary = true } }

// IsTemporary reports whether opts say [Temporary].
func IsTemporary(opts ...Option) bool { return apply(opts).temporary }

// IsOthers reports whether somebody else fills a queue with these options: it is [Existing],
// or takes messages [From] exchanges.
func IsOthers(opts ...Option) bool {
	w := apply(opts)
	return w.existing || !w.sources.IsZero()
}

// IsExisting reports whether opts say [Existing].
func IsExisting(opts ...Option) bool { return apply(opts).existing }

// HasRetries reports whether jobs of a queue with these options can be delayed and retried:
// all but those of a [Temporary] queue, and of an [Existing] one without [Retries].
func HasRetries(opts ...Option) bool {
	w := apply(opts)
	return !w.temporary && (!w.existing || w.ladder)
}

func apply(opts []Option) work {
	if len(opts) == 0 {
		return work{} // asked once a job: options would move it to the heap
	}
	var w work
	for _, o := range opts {
		o(&w)
	}
	return w
}

// Base declares what all queues of a namespace share: its exchanges and the parked queue.
func Base(ns Namespace) Topology {
	parkRest := map[string]any{"alternate-exchange": ns.Parked()}
	return Topology{
		Exchanges: []Exchange{
			{Name: ns.Parked(), Kind: "fanout"},
			{Name: ns.Jobs(), Kind: "direct"},
			{Name: ns.Due(), Kind: "topic", Args: parkRest},
			{Name: ns.Dead(), Kind: "direct", Args: parkRest},
		},
		Queues:   []Queue{keep(ns.Parked())},
		Bindings: []Binding{{Source: ns.Parked(), Destination: ns.Parked()}},
	}
}

// Work declares a job queue, its bindings and its dead-letter queue, with [Base].
//
// The queue is a quorum queue, replicated and on disk. A job that it has handed out
// [CrashLimit] times without an answer goes to the dead-letter queue, at least once: the
// queue keeps it until the dead-letter queue has confirmed it.
func Work(ns Namespace, queue string, opts ...Option) Topology {
	w := apply(opts)
	if w.temporary {
		return w.sources
	}
	t := Join(Base(ns), w.sources.to(queue))
	if !w.existing {
		t.Queues = append(t.Queues, Queue{Name: queue, Args: map[string]any{
			"x-queue-type":              "quorum",
			"x-delivery-limit":          CrashLimit,
			"x-dead-letter-exchange":    ns.Dead(),
			"x-dead-letter-routing-key": queue,
			"x-dead-letter-strategy":    "at-least-once",
			"x-overflow":                "reject-publish", // at-least-once dead-lettering demands it
		}})
		t.Bindings = append(t.Bindings, Binding{Source: ns.Jobs(), Key: queue, Destination: queue})
	}
	if w.existing && !w.ladder {
		return t
	}
	t.Queues = append(t.Queues, keep(DeadQueue(queue)))
	t.Bindings = append(t.Bindings,
		Binding{Source: ns.Due(), Key: strings.Repeat("*.", delayBits) + queue, Destination: queue},
		Binding{Source: ns.Dead(), Key: queue, Destination: DeadQueue(queue)},
	)
	return t
}

// to is t with the queue's name where a binding has no destination.
func (t Topology) to(queue string) Topology {
	t.Bindings, t.Unbind = slices.Clone(t.Bindings), slices.Clone(t.Unbind)
	for _, bs := range [...][]Binding{t.Bindings, t.Unbind} {
		for i := range bs {
			if bs[i].Destination == "" {
				bs[i].Destination = queue
			}
		}
	}
	return t
}

// keep is a queue from which nothing disappears by itself.
func keep(name string) Queue {
	return Queue{Name: name, Args: map[string]any{
		"x-queue-type":     "quorum",
		"x-delivery-limit": unlimited,
	}}
}
