package event

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A Subscription says which events of a topic are wanted, and how they are kept. Make it with
// [Durable] or [Temporary].
type Subscription struct {
	queue     string // of a durable one
	temporary bool
	filters   []Filter
}

// A Filter is a part of a Subscription: what it takes, or takes no more.
type Filter struct {
	key     string
	match   string // how headers match: all or any; empty: by key
	headers map[string]any
	former  bool
}

// Durable is a subscription with a queue of that name, made by whoever subscribes first. It
// keeps events while nobody works them. All workers that subscribe by one name share its
// events in turn. The name is a job queue's, by the rules of topology.CheckQueue, and no job
// kind should have the same.
func Durable(name string, fs ...Filter) Subscription {
	return Subscription{queue: name, filters: fs}
}

// Temporary is a subscription with a queue that belongs to the worker's connection and is
// gone with it. After a reconnect there is a new one. Its events are worked at most once: those
// of an outage are never seen, and one whose handler fails is logged and dropped.
func Temporary(fs ...Filter) Subscription { return Subscription{temporary: true, filters: fs} }

// On takes events by their key: the very key if the topic's exchange is Direct; a pattern if
// it is Pattern, in which * stands for one word and # for any number of words. A subscription
// may name several.
func On(key string) Filter { return Filter{key: key} }

// All takes events whose headers have all of these, on a Headers exchange. A nil value means
// that the header is there, whatever it says. Names that begin with x- are a mistake, because
// RabbitMQ does not look at such headers.
func All(headers map[string]any) Filter { return Filter{match: "all", headers: maps.Clone(headers)} }

// Any takes events whose headers have at least one of these, on a Headers exchange. Otherwise
// it is like [All].
func Any(headers map[string]any) Filter { return Filter{match: "any", headers: maps.Clone(headers)} }

// args are those of the binding.
func (f Filter) args() map[string]any {
	if f.match == "" {
		return nil
	}
	args := map[string]any{"x-match": f.match}
	maps.Copy(args, f.headers)
	return args
}

// Former says that a durable subscription does not want f any more: what an earlier release
// has asked for goes on feeding the queue until it is taken away. It may stay in the program
// for as long as processes of that release may run.
func Former(f Filter) Filter {
	f.former = true
	return f
}

// Subscribe says that fn works the events of t that s asks for. The worker consumes the
// subscription's queue, and declares it with exchange and bindings. The options are those of
// worker.Handle, of which the retry policy means nothing to a Temporary subscription. Topics
// that share an exchange may share a durable subscription. Subscribe must not be called once
// w runs; two handlers for one topic in one subscription, and a nil one, panic.
//
// Messages of foreign publishers, who name no type, are taken for events of t if s is for one
// topic alone.
func Subscribe[T any](w *worker.Worker, t Topic[T], s Subscription, fn func(context.Context, T) error, opts ...worker.Option) {
	d := t.definition()
	worker.Handle(w, kindOf[T](d, s), fn, opts...)
}

// Topology is what durable subscriptions to t consist of, in the namespace of their workers.
// Whoever declares it makes sure that events are kept for them, also before they have run for
// the first time. They declare the same when they run. Of a Temporary one it has only the
// exchange.
func (t Topic[T]) Topology(ns topology.Namespace, ss ...Subscription) (topology.Topology, error) {
	d := t.definition()
	if d.err != nil {
		return topology.Topology{}, d.err
	}
	all := d.topology()
	for _, s := range ss {
		k := kindOf[T](d, s)
		if err := k.Err(); err != nil {
			return topology.Topology{}, err
		}
		if s.queue != "" {
			all = topology.Join(all, topology.Work(ns, s.queue, k.QueueOptions()...))
		}
	}
	return all, nil
}

// kindOf is the topic as the worker sees it: a kind of job on the subscription's queue.
func kindOf[T any](d *definition, s Subscription) job.Kind[T] {
	err := d.err
	if err == nil {
		err = d.checkSubscription(s)
	}
	if err != nil {
		return job.Define[T](d.name, job.Fault(err))
	}
	name, options := s.queue, []topology.Option{topology.From(d.sources(s))}
	if s.temporary {
		name = "temporary " + job.NewID() // for the log, and to tell it from the worker's others
		options = append(options, topology.Temporary())
	}
	return job.Define[T](d.name, job.Codec(d.codec), job.Queue(name, options...))
}

// sources declares the exchange and the bindings.
func (d *definition) sources(s Subscription) topology.Topology {
	t := d.topology()
	if d.routing == Fanout {
		t.Bindings = []topology.Binding{{Source: d.exchange}}
		return t
	}
	for _, f := range s.filters {
		b := topology.Binding{Source: d.exchange, Key: f.key, Args: f.args()}
		if f.former {
			t.Unbind = append(t.Unbind, b)
		} else {
			t.Bindings = append(t.Bindings, b)
		}
	}
	return t
}

// checkSubscription returns the rule that s breaks.
func (d *definition) checkSubscription(s Subscription) error {
	fail := func(rule string) error {
		return fmt.Errorf("%w: topic %q: subscription %.200q: %s", ErrInvalid, d.name, s.queue, rule)
	}
	wanted := 0
	for _, f := range s.filters {
		switch {
		case d.routing == Fanout:
			return fail("a Fanout exchange has no filters")
		case (f.match != "") != (d.routing == Headers):
			return fail(fmt.Sprintf("the exchange's routing is %s: Direct and Pattern take On, Headers takes All and Any", d.routing))
		case f.former && s.temporary:
			return fail("a temporary subscription has no former filters")
		case f.match != "":
			if err := f.checkHeaders(); err != nil {
				return fail(err.Error())
			}
		default:
			if err := d.checkPattern(f.key); err != nil {
				return err
			}
		}
		if !f.former {
			wanted++
		}
	}
	if wanted == 0 && d.routing != Fanout {
		return fail("it asks for nothing: name at least one filter")
	}
	return nil
}

// checkHeaders returns the rule that the headers of a filter break.
func (f Filter) checkHeaders() error {
	if len(f.headers) == 0 {
		return errors.New("no headers are named")
	}
	for name := range f.headers {
		if strings.HasPrefix(name, "x-") {
			return fmt.Errorf("header %q: RabbitMQ does not look at headers whose names begin with x-", name)
		}
	}
	return (&broker.Message{Headers: f.headers}).Check(0)
}

// An Event is what a handler can know of the event beside its value.
type Event struct {
	ID           string // something new at each delivery if a foreign publisher has given none
	Topic        string
	Subscription string // its name; something unique if it is temporary
	Exchange     string
	Key          string
	Headers      map[string]any
	PublishedAt  time.Time // to the second; zero if a foreign publisher has not said it
	Attempt      int       // of this subscription, from 1
}

// From returns the event that the handler with this context is working. ok is false outside
// of a handler.
func From(ctx context.Context) (e Event, ok bool) {
	j, ok := worker.JobFrom(ctx)
	if !ok {
		return Event{}, false
	}
	return Event{
		ID:           j.ID,
		Topic:        j.Kind,
		Subscription: j.Queue,
		Exchange:     j.Exchange,
		Key:          j.Key,
		Headers:      j.Headers,
		PublishedAt:  j.CreatedAt,
		Attempt:      j.Attempt,
	}, true
}
