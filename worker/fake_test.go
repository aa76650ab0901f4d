package worker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
	"github.com/errandq/errand/worker"
)

// A fakeBroker hands out what a test puts into its queues, and keeps a journal of what the
// worker publishes and answers, in order. It is made for synctest bubbles: it never sleeps,
// and waits on channels only.
type fakeBroker struct {
	start time.Time
	// onPublish, if set, decides what Publish returns. It may block until ctx ends.
	onPublish func(ctx context.Context, m broker.Message) error
	// onConsume, if set, is what Consume returns at once.
	onConsume func(queue string) error

	mu       sync.Mutex
	queues   map[string]chan broker.Message
	subs     map[string]broker.Subscription
	journal  []entry
	lose     map[string]func(error) // by message ID
	declared []topology.Topology
}

// An entry is one thing that the worker told the broker.
type entry struct {
	at      time.Duration // since the fake was made
	what    string        // "ack", "requeue", "dead-letter", or "publish" and the exchange
	message broker.Message
}

func newFake() *fakeBroker {
	return &fakeBroker{
		start:  time.Now(),
		queues: map[string]chan broker.Message{},
		subs:   map[string]broker.Subscription{},
		lose:   map[string]func(error){},
	}
}

func (f *fakeBroker) queue(name string) chan broker.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queues[name] == nil {
		f.queues[name] = make(chan broker.Message, 100)
	}
	return f.queues[name]
}

func (f *fakeBroker) put(queue string, ms ...broker.Message) {
	for _, m := range ms {
		f.queue(queue) <- m
	}
}

func (f *fakeBroker) record(what string, m broker.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.journal = append(f.journal, entry{time.Since(f.start), what, m})
}

// entries returns the journal so far.
func (f *fakeBroker) entries() []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]entry(nil), f.journal...)
}

// verbs is the journal in short.
func (f *fakeBroker) verbs() []string {
	var verbs []string
	for _, e := range f.entries() {
		verbs = append(verbs, e.what)
	}
	return verbs
}

// published returns the only message that was published, as a job.
func (f *fakeBroker) published(t *testing.T) job.Job {
	t.Helper()
	var found []broker.Message
	for _, e := range f.entries() {
		if len(e.what) > len("publish") {
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

func (f *fakeBroker) subscription(queue string) broker.Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subs[queue]
}

// loseDelivery ends the delivery with this ID as the end of its connection would.
func (f *fakeBroker) loseDelivery(id string) {
	f.mu.Lock()
	lose := f.lose[id]
	f.mu.Unlock()
	lose(fmt.Errorf("%w: connection reset", broker.ErrDeliveryLost))
}

func (f *fakeBroker) Declare(_ context.Context, t topology.Topology) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.declared = append(f.declared, t)
	return nil
}

func (f *fakeBroker) Publish(ctx context.Context, ms ...broker.Message) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", broker.ErrNotConnected, cause)
	}
	for _, m := range ms {
		if f.onPublish != nil {
			if err := f.onPublish(ctx, m); err != nil {
				return &broker.PublishError{ID: m.ID, Exchange: m.Exchange, Key: m.Key, Err: err}
			}
		}
		f.record("publish "+m.Exchange, m)
	}
	return nil
}

// Consume keeps the contract of broker.Consumer, prefetch and Settle included.
func (f *fakeBroker) Consume(ctx context.Context, s broker.Subscription, deliver func(*broker.Delivery)) error {
	f.mu.Lock()
	f.subs[s.Queue] = s
	f.mu.Unlock()
	if f.onConsume != nil {
		if err := f.onConsume(s.Queue); err != nil {
			return err
		}
	}
	c := &consumer{fake: f, open: map[*broker.Delivery]bool{}, room: make(chan struct{}, s.Prefetch), idle: make(chan struct{})}
	for {
		select {
		case c.room <- struct{}{}:
		case <-s.Drain:
			return c.drain(ctx, s.Settle)
		case <-ctx.Done():
			return c.drain(ctx, s.Settle)
		}
		select {
		case m := <-f.queue(s.Queue):
			deliver(c.hand(ctx, s.Queue, m))
		case <-s.Drain:
			return c.drain(ctx, s.Settle)
		case <-ctx.Done():
			return c.drain(ctx, s.Settle)
		}
	}
}

// A consumer takes the answers of one Consume.
type consumer struct {
	fake *fakeBroker
	room chan struct{} // an unanswered delivery holds one

	mu       sync.Mutex
	open     map[*broker.Delivery]bool // unanswered
	draining bool
	idle     chan struct{} // closed when draining and nothing is open
}

func (c *consumer) hand(ctx context.Context, queue string, m broker.Message) *broker.Delivery {
	ctx, lose := context.WithCancelCause(ctx)
	d := broker.NewDelivery(ctx, queue, m, c)
	c.mu.Lock()
	c.open[d] = true
	c.mu.Unlock()
	c.fake.mu.Lock()
	defer c.fake.mu.Unlock()
	c.fake.lose[m.ID] = func(cause error) {
		c.close(d) // first, as broker does: an answer must not slip in between
		lose(cause)
	}
	return d
}

// close ends d, and reports whether it was open.
func (c *consumer) close(d *broker.Delivery) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.open[d] {
		return false
	}
	delete(c.open, d)
	select {
	case <-c.room:
	default:
	}
	c.checkIdle()
	return true
}

func (c *consumer) checkIdle() {
	if c.draining && len(c.open) == 0 {
		close(c.idle)
	}
}

func (c *consumer) Answer(d *broker.Delivery, v broker.Verdict) error {
	if !c.close(d) {
		return broker.ErrDeliveryLost
	}
	what := map[broker.Verdict]string{broker.Acked: "ack", broker.Requeued: "requeue", broker.DeadLettered: "dead-letter"}[v]
	c.fake.record(what, d.Message)
	return nil
}

func (c *consumer) drain(ctx context.Context, patience time.Duration) error {
	c.mu.Lock()
	c.draining = true
	c.checkIdle()
	c.mu.Unlock()
	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
	}
	select {
	case <-c.idle:
	case <-time.After(patience):
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.open)
	return nil
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
