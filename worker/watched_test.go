package worker_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/jobtest"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A watched is a worker's connection to a RabbitMQ in memory. It keeps a journal of what the
// worker publishes and answers, in order, and knows which delivery each of it is about.
type watched struct {
	*jobtest.Conn
	tb     testing.TB
	server *jobtest.Broker
	start  time.Time
	// onPublish, if set, is asked before a message goes to the server. It may block until ctx
	// ends; its error is Publish's.
	onPublish func(ctx context.Context, m broker.Message) error
	// onConsume, if set, is asked before a queue is consumed. Its error is Consume's.
	onConsume func(queue string) error
	// alone keeps what is published from the server: tests that look at one attempt want no next.
	alone bool
	// at, if set, is told of the moments of each delivery.
	at func(moment, *handed)

	mu       sync.Mutex
	foreign  map[string]broker.Message // by the ID that put gave it
	subs     map[string]broker.Subscription
	journal  []entry
	declared []topology.Topology
}

// An entry is one thing that the worker told the broker.
type entry struct {
	at      time.Duration // since watching began
	what    string        // "ack", "requeue", "dead-letter", or "publish" and the exchange
	message broker.Message
}

// A moment is a point in the life of a delivery.
type moment int

const (
	_         moment = iota
	handedOut        // the worker is about to get it
	running          // half a second into its handler
	copying          // a copy of its job is about to be published
	copied           // the copy is confirmed
	answering        // its answer is about to reach the server
	answered         // and has
)

// A handed is one delivery and what has become of it.
type handed struct {
	broker.Message
	f     *watched
	inner *broker.Delivery // the server's

	// Under the lock of f:
	began, ended, done bool           // its handler; done: it returned nil
	confirmed          bool           // a copy of its job
	since              time.Time      // when the handler began
	verdict            broker.Verdict // that the worker wants
	answers            []broker.Verdict
}

// handedKey is the context key of the handed that a handler or a Publish is about.
type handedKey struct{}

// watch makes a server with the queues of others in it, and a watched connection to it.
func watch(t *testing.T) *watched {
	t.Helper()
	b := jobtest.NewBroker(t)
	var theirs topology.Topology
	for _, kind := range []job.Kind[args]{foreign, adopted} {
		theirs.Queues = append(theirs.Queues, topology.Queue{Name: kind.Queue(), Args: map[string]any{"x-queue-type": "quorum"}})
	}
	if err := b.Declare(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	return watchedOn(t, b)
}

func watchedOn(tb testing.TB, b *jobtest.Broker) *watched {
	return &watched{
		Conn:    b.Connect(),
		tb:      tb,
		server:  b,
		start:   time.Now(),
		foreign: map[string]broker.Message{},
		subs:    map[string]broker.Subscription{},
	}
}

// put hands messages to a queue as a stranger does, who may give them no ID, as soon as the
// worker has declared what it needs. They seem to come from the exchange that they name;
// without a queue they are really published there.
func (f *watched) put(queue string, ms ...broker.Message) {
	f.tb.Helper()
	synctest.Wait()
	for _, m := range ms {
		f.mu.Lock()
		id := cmp.Or(m.ID, fmt.Sprint("put ", len(f.foreign)))
		f.foreign[id] = m
		f.mu.Unlock()
		if m.ID = id; queue != "" {
			m.Exchange, m.Key = "", queue
		}
		if err := f.server.Publish(f.tb.Context(), m); err != nil {
			f.tb.Fatal(err)
		}
	}
}

func (f *watched) record(what string, m broker.Message) {
	f.journal = append(f.journal, entry{time.Since(f.start), what, m})
}

// entries returns the journal so far.
func (f *watched) entries() []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]entry(nil), f.journal...)
}

// verbs is the journal in short.
func (f *watched) verbs() []string {
	var verbs []string
	for _, e := range f.entries() {
		verbs = append(verbs, e.what)
	}
	return verbs
}

// published returns the only message that was published, as a job.
func (f *watched) published(t *testing.T) job.Job {
	t.Helper()
	var found []broker.Message
	for _, e := range f.entries() {
		if len(e.what) > len("publish") && e.what[:len("publish")] == "publish" {
			found = append(found, e.message)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d messages were published, want one: %v", len(found), f.verbs())
	}
	j, err := job.Parse(found[0])
	if err != nil {
		t.Fatalf("what was published does not parse: %v", err)
	}
	return j
}

func (f *watched) subscription(queue string) broker.Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs[queue]
}

// Declare implements [broker.Declarer].
func (f *watched) Declare(ctx context.Context, t topology.Topology) error {
	f.mu.Lock()
	f.declared = append(f.declared, t)
	f.mu.Unlock()
	return f.Conn.Declare(ctx, t)
}

// Publish implements [broker.Publisher].
func (f *watched) Publish(ctx context.Context, ms ...broker.Message) error {
	h, _ := ctx.Value(handedKey{}).(*handed)
	for _, m := range ms {
		if err := f.publish(ctx, h, m); err != nil {
			return err
		}
	}
	return nil
}

func (f *watched) publish(ctx context.Context, h *handed, m broker.Message) error {
	f.moment(copying, h)
	if f.onPublish != nil {
		if err := f.onPublish(ctx, m); err != nil {
			return &broker.PublishError{ID: m.ID, Exchange: m.Exchange, Key: m.Key, Err: err}
		}
	}
	if !f.alone {
		if err := f.Conn.Publish(ctx, m); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.record("publish "+m.Exchange, m)
	if h != nil {
		h.confirmed = true
	}
	f.mu.Unlock()
	f.moment(copied, h)
	return nil
}

func (f *watched) moment(at moment, h *handed) {
	if f.at != nil && h != nil {
		f.at(at, h)
	}
}

// Consume implements [broker.Consumer].
func (f *watched) Consume(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
	f.mu.Lock()
	f.subs[s.Queue] = s
	f.mu.Unlock()
	if f.onConsume != nil {
		if err := f.onConsume(s.Queue); err != nil {
			return err
		}
	}
	return f.Conn.Consume(ctx, s, func(d *broker.Delivery) { deliver(f.hand(d)) })
}

// hand makes a delivery whose answer and whose context come by us.
func (f *watched) hand(d *broker.Delivery) *broker.Delivery {
	h := &handed{Message: d.Message, f: f, inner: d}
	f.mu.Lock()
	if m, ok := f.foreign[d.ID]; ok && d.Exchange == "" { // else it is a copy
		h.ID, h.Exchange, h.Key = m.ID, m.Exchange, m.Key
	}
	f.mu.Unlock()
	f.moment(handedOut, h)
	outer := broker.NewDelivery(context.WithValue(d.Context(), handedKey{}, h), d.Queue, h.Message, h)
	outer.Redelivered, outer.Deliveries = d.Redelivered, d.Deliveries
	return outer
}

// Answer implements [broker.Answerer].
func (h *handed) Answer(_ *broker.Delivery, v broker.Verdict) error {
	h.f.mu.Lock()
	h.verdict = v
	h.f.mu.Unlock()
	if !h.lost() {
		h.f.moment(answering, h)
	}
	var err error
	var what string
	switch v {
	case broker.Acked:
		what, err = "ack", h.inner.Ack()
	case broker.Requeued:
		what, err = "requeue", h.inner.Requeue()
	case broker.DeadLettered:
		what, err = "dead-letter", h.inner.DeadLetter()
	}
	if err != nil {
		return err
	}
	h.f.mu.Lock()
	h.answers = append(h.answers, v)
	h.f.record(what, h.Message)
	h.f.mu.Unlock()
	h.f.moment(answered, h)
	return nil
}

// lost reports whether the delivery can't be answered any more.
func (h *handed) lost() bool {
	return errors.Is(context.Cause(h.inner.Context()), broker.ErrDeliveryLost)
}

// args are the arguments of the tests' jobs.
type args struct {
	N int `json:"n"`
}

var (
	render    = job.Define[args]("pdf.render", job.Queue("pdf"))
	thumbnail = job.Define[args]("pdf.thumbnail", job.Queue("pdf"))
	foreign   = job.Define[args]("foreign", job.Queue("theirs", topology.Existing()))
	adopted   = job.Define[args]("adopted", job.Queue("adopted", topology.Existing(), topology.Retries()))
)

// message is a job's message as it arrives, with the given ID.
func message(id string, opts ...job.Option) broker.Message {
	return render.New(args{N: 1}, append(opts, job.ID(id))...).Message()
}

// start runs w, and returns what ends it and waits.
func start(t *testing.T, w *worker.Worker) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}
