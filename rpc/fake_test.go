package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

const (
	directReplyTo = "amq.rabbitmq.reply-to"
	// fakeMaxBody is small, so that tests need no large bodies.
	fakeMaxBody = 64 << 10
)

// A fakeBroker is a broker in memory, for as many connections as a test makes. It keeps what
// was sent and how requests were answered. It is made for synctest bubbles: it never sleeps,
// and waits on channels only.
type fakeBroker struct {
	start time.Time
	// onSend, if set, sees each message first, and says false to lose it on its way.
	onSend func(broker.Message) bool
	// unroutable, if set, says for which messages there is no queue, whatever there is.
	unroutable func(broker.Message) bool

	mu      sync.Mutex
	queues  map[string]*fakeQueue
	direct  map[string]*fakeChannel // by the address of direct reply-to
	names   int
	free    chan struct{} // closed, unless the server takes no messages
	wire    []entry
	answers []entry
}

// An entry is a message with what became of it.
type entry struct {
	at      time.Duration // since the fake was made
	what    string        // "ack", "requeue", "dead-letter"; empty for what was sent
	message broker.Message
}

// A fakeQueue hands out its messages to its channels in turn.
type fakeQueue struct {
	waiting  []queued
	channels []*fakeChannel
}

type queued struct {
	message     broker.Message
	redelivered bool
	expires     time.Time // zero: never
}

func newFake() *fakeBroker {
	f := &fakeBroker{start: time.Now(), queues: map[string]*fakeQueue{}, direct: map[string]*fakeChannel{}, free: make(chan struct{})}
	close(f.free)
	return f
}

// declare makes a queue if it is not there.
func (f *fakeBroker) declare(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.queues[name] == nil {
		f.queues[name] = &fakeQueue{}
	}
}

// depth is how many messages wait in a queue.
func (f *fakeBroker) depth(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.queues[name]
	if q == nil {
		return 0
	}
	q.expire(time.Now())
	return len(q.waiting)
}

// put adds messages to a queue as if they had been handed out before, or not.
func (f *fakeBroker) put(name string, redelivered bool, ms ...broker.Message) {
	f.declare(name)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range ms {
		f.queues[name].waiting = append(f.queues[name].waiting, arrived(m, redelivered))
	}
	f.dispatch(name)
}

func arrived(m broker.Message, redelivered bool) queued {
	q := queued{message: m, redelivered: redelivered}
	if m.Expiration > 0 {
		q.expires = time.Now().Add(m.Expiration)
	}
	return q
}

// block lets nothing be sent until the function that it returns is called.
func (f *fakeBroker) block() (unblock func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	free := make(chan struct{})
	f.free = free
	return func() { close(free) }
}

// sent returns what was sent so far.
func (f *fakeBroker) sent() []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.wire)
}

// sentTo returns what was sent so far with this key.
func (f *fakeBroker) sentTo(key string) []broker.Message {
	var found []broker.Message
	for _, e := range f.sent() {
		if e.message.Key == key {
			found = append(found, e.message)
		}
	}
	return found
}

// answered returns the answers to deliveries so far.
func (f *fakeBroker) answered() []entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.answers)
}

// verdicts are the answers in short.
func (f *fakeBroker) verdicts() []string {
	var all []string
	for _, e := range f.answered() {
		all = append(all, e.what)
	}
	return all
}

// dispatch hands out what it can of a queue. mu is held.
func (f *fakeBroker) dispatch(name string) {
	q := f.queues[name]
	if q == nil {
		return
	}
	for {
		q.expire(time.Now())
		i := slices.IndexFunc(q.channels, (*fakeChannel).room)
		if len(q.waiting) == 0 || i < 0 {
			return
		}
		ch, next := q.channels[i], q.waiting[0]
		q.waiting = q.waiting[1:]
		q.channels = append(slices.Delete(q.channels, i, i+1), ch)
		ch.push(next)
	}
}

// expire drops what is too old from the head, as classic queues do.
func (q *fakeQueue) expire(now time.Time) {
	for len(q.waiting) > 0 && !q.waiting[0].expires.IsZero() && !now.Before(q.waiting[0].expires) {
		q.waiting = q.waiting[1:]
	}
}

// route puts m where its key says. mu is held.
func (f *fakeBroker) route(m broker.Message) (routed bool) {
	if ch := f.direct[m.Key]; ch != nil {
		ch.push(queued{message: m})
		return false // RabbitMQ before 4.1 says so of every direct reply
	}
	q := f.queues[m.Key]
	if q == nil {
		return false
	}
	q.waiting = append(q.waiting, arrived(m, false))
	f.dispatch(m.Key)
	return true
}

// A fakeConn is one program's connection. It implements broker.Converser.
type fakeConn struct {
	fake *fakeBroker
	// onConverse, if set, is what Converse returns at once.
	onConverse func(broker.Subscription) error

	closed chan struct{}

	mu       sync.Mutex
	up       chan struct{} // closed while there is a connection
	channels []*fakeChannel
	subs     []broker.Subscription
}

func (f *fakeBroker) conn() *fakeConn {
	c := &fakeConn{fake: f, closed: make(chan struct{}), up: make(chan struct{})}
	close(c.up)
	return c
}

// down cuts the connection, and up brings the next one.
func (c *fakeConn) down() (up func()) {
	c.mu.Lock()
	connected := make(chan struct{})
	c.up = connected
	channels := c.channels
	c.channels = nil
	c.mu.Unlock()
	for _, ch := range channels {
		ch.end(fmt.Errorf("%w: connection reset", broker.ErrDeliveryLost))
	}
	return func() { close(connected) }
}

// cut cuts the connection, and the next one is there at once.
func (c *fakeConn) cut() { c.down()() }

// close is what the Close of a connection does.
func (c *fakeConn) close() {
	close(c.closed)
	c.down()
}

// subscription is the last one to a queue.
func (c *fakeConn) subscription(queue string) broker.Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range slices.Backward(c.subs) {
		if s.Queue == queue {
			return s
		}
	}
	return broker.Subscription{}
}

// Converse keeps the contract of broker.Converser.
func (c *fakeConn) Converse(ctx context.Context, s broker.Subscription, begin func(broker.Channel) broker.Receiver) error {
	c.mu.Lock()
	c.subs = append(c.subs, s)
	c.mu.Unlock()
	if c.onConverse != nil {
		if err := c.onConverse(s); err != nil {
			return err
		}
	}
	for _, q := range s.Topology.Queues {
		c.fake.declare(q.Name)
	}
	for {
		c.mu.Lock()
		up := c.up
		c.mu.Unlock()
		select {
		case <-c.closed:
			return broker.ErrClosed
		case <-s.Drain:
			return nil
		case <-ctx.Done():
			return nil
		case <-up:
		}
		ch, err := c.open(ctx, s)
		if err != nil {
			return err
		}
		if ch.run(ctx, begin(ch)) {
			return nil
		}
	}
}

// open makes a channel that consumes.
func (c *fakeConn) open(ctx context.Context, s broker.Subscription) (*fakeChannel, error) {
	f := c.fake
	ch := &fakeChannel{
		fake: f, sub: s, queue: s.Queue,
		wake: make(chan struct{}, 1), returned: make(chan struct{}, 1), idle: make(chan struct{}, 1),
	}
	ch.ctx, ch.lose = context.WithCancelCause(ctx)
	c.mu.Lock()
	c.channels = append(c.channels, ch)
	c.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names++
	switch s.Queue {
	case "":
		ch.queue = fmt.Sprintf("amq.gen-%d", f.names)
		f.queues[ch.queue] = &fakeQueue{}
	case directReplyTo:
		ch.address = fmt.Sprintf("%s.g1h3AWEAAAAAAAAAAAAAAAA=.%d", directReplyTo, f.names)
		f.direct[ch.address] = ch
		return ch, nil
	}
	q := f.queues[ch.queue]
	if q == nil {
		return nil, fmt.Errorf("no queue %q", ch.queue)
	}
	q.channels = append(q.channels, ch)
	return ch, nil
}

// A fakeChannel is a consumer on a channel of its own.
type fakeChannel struct {
	fake    *fakeBroker
	sub     broker.Subscription
	queue   string
	address string // of direct reply-to
	ctx     context.Context
	lose    context.CancelCauseFunc

	// Guarded by fake.mu.
	begun bool
	dead  bool
	inbox []*broker.Delivery
	open  []*broker.Delivery // unanswered
	lost  []broker.Message   // to return

	wake, returned, idle chan struct{} // get a value when inbox, lost, or open changes
}

func (ch *fakeChannel) Queue() string            { return ch.queue }
func (ch *fakeChannel) Context() context.Context { return ch.ctx }

func (ch *fakeChannel) room() bool {
	return ch.begun && !ch.dead && (ch.sub.NoAck || len(ch.open) < max(ch.sub.Prefetch, 1))
}

// push hands out a message. fake.mu is held.
func (ch *fakeChannel) push(q queued) {
	d := broker.NewDelivery(ch.ctx, ch.queue, q.message, ch)
	d.Redelivered = q.redelivered
	ch.inbox = append(ch.inbox, d)
	if !ch.sub.NoAck {
		ch.open = append(ch.open, d)
	}
	nudge(ch.wake)
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (ch *fakeChannel) pop() *broker.Delivery {
	ch.fake.mu.Lock()
	defer ch.fake.mu.Unlock()
	if len(ch.inbox) == 0 {
		return nil
	}
	d := ch.inbox[0]
	ch.inbox = ch.inbox[1:]
	return d
}

// run receives until the end. It reports whether that was on purpose.
func (ch *fakeChannel) run(ctx context.Context, r broker.Receiver) bool {
	ch.fake.mu.Lock()
	ch.begun = true
	ch.fake.dispatch(ch.queue)
	ch.fake.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ch.end(broker.ErrDeliveryLost)
	wg.Go(func() { ch.passReturns(r.Returned) })
	for {
		select {
		case <-ch.sub.Drain:
			ch.finish(ctx, r)
			return true
		default:
		}
		if d := ch.pop(); d != nil {
			r.Deliver(d) // also when the channel has died, as the library does
			continue
		}
		select {
		case <-ch.wake:
		case <-ch.sub.Drain:
		case <-ch.ctx.Done():
			if ctx.Err() == nil {
				return false
			}
			ch.finish(ctx, r)
			return true
		}
	}
}

func (ch *fakeChannel) passReturns(returned func(broker.Message)) {
	for {
		select {
		case <-ch.returned:
		case <-ch.ctx.Done():
			return
		}
		ch.fake.mu.Lock()
		lost := ch.lost
		ch.lost = nil
		ch.fake.mu.Unlock()
		for _, m := range lost {
			if returned != nil {
				returned(m)
			}
		}
	}
}

// finish drains.
func (ch *fakeChannel) finish(ctx context.Context, r broker.Receiver) {
	ch.fake.mu.Lock()
	ch.unsubscribe()
	ch.fake.mu.Unlock()
	for d := ch.pop(); d != nil; d = ch.pop() {
		if ch.sub.Finish && ch.ctx.Err() == nil {
			r.Deliver(d)
		} else {
			_ = d.Requeue()
		}
	}
	var patience <-chan time.Time
	done := ctx.Done()
	for {
		ch.fake.mu.Lock()
		over := len(ch.open) == 0
		ch.fake.mu.Unlock()
		if over {
			return
		}
		select {
		case <-ch.idle:
		case <-patience:
			return
		case <-done:
			done = nil
			timer := time.NewTimer(ch.sub.Settle)
			defer timer.Stop()
			patience = timer.C
		}
	}
}

// unsubscribe ends the consumer. fake.mu is held.
func (ch *fakeChannel) unsubscribe() {
	if q := ch.fake.queues[ch.queue]; q != nil {
		q.channels = slices.DeleteFunc(q.channels, func(other *fakeChannel) bool { return other == ch })
	}
}

// end is the death of the channel: what is unanswered goes back, a temporary queue vanishes.
func (ch *fakeChannel) end(cause error) {
	f := ch.fake
	f.mu.Lock()
	if !ch.dead {
		ch.dead = true
		ch.unsubscribe()
		delete(f.direct, ch.address)
		if ch.sub.Queue == "" {
			delete(f.queues, ch.queue)
		}
		for _, d := range slices.Backward(ch.open) {
			ch.giveBack(d)
		}
		ch.open = nil
		nudge(ch.idle)
		f.dispatch(ch.queue)
	}
	f.mu.Unlock()
	ch.lose(cause)
}

// giveBack puts a message back into its queue. fake.mu is held.
func (ch *fakeChannel) giveBack(d *broker.Delivery) {
	if q := ch.fake.queues[ch.queue]; q != nil {
		q.waiting = slices.Insert(q.waiting, 0, arrived(d.Message, true))
	}
}

// Answer implements broker.Answerer.
func (ch *fakeChannel) Answer(d *broker.Delivery, v broker.Verdict) error {
	f := ch.fake
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(ch.open, d)
	switch {
	case ch.dead:
		return broker.ErrDeliveryLost
	case i < 0:
		return broker.ErrAnswered
	}
	ch.open = slices.Delete(ch.open, i, i+1)
	nudge(ch.idle)
	what := map[broker.Verdict]string{broker.Acked: "ack", broker.Requeued: "requeue", broker.DeadLettered: "dead-letter"}[v]
	f.answers = append(f.answers, entry{time.Since(f.start), what, d.Message})
	if v == broker.Requeued {
		ch.giveBack(d)
	}
	f.dispatch(ch.queue)
	return nil
}

// Send keeps the contract of broker.Channel.
func (ch *fakeChannel) Send(ctx context.Context, m broker.Message) error {
	if err := check(m); err != nil {
		return err
	}
	f := ch.fake
	f.mu.Lock()
	free := f.free
	f.mu.Unlock()
	select {
	case <-free: // whatever has become of ctx
	default:
		select {
		case <-free:
		case <-ch.ctx.Done():
		case <-ctx.Done():
			return fmt.Errorf("%w: memory: %w", broker.ErrBlocked, context.Cause(ctx))
		}
	}
	m = onTheWire(m)
	if ch.address != "" && m.ReplyTo == directReplyTo {
		m.ReplyTo = ch.address
	}
	arrives := f.onSend == nil || f.onSend(m)
	f.mu.Lock()
	defer f.mu.Unlock()
	if ch.dead {
		return fmt.Errorf("%w: channel is closed", broker.ErrNotConnected)
	}
	f.wire = append(f.wire, entry{at: time.Since(f.start), message: m})
	hidden := f.unroutable != nil && f.unroutable(m)
	if arrives && (hidden || !f.route(m)) && !m.Optional {
		ch.lost = append(ch.lost, m)
		nudge(ch.returned)
	}
	return nil
}

// check finds what AMQP does not take.
func check(m broker.Message) error {
	if len(m.Body) > fakeMaxBody {
		return fmt.Errorf("%w: body of %d bytes", broker.ErrTooLarge, len(m.Body))
	}
	if short := max(len(m.Key), len(m.ID), len(m.Type), len(m.ContentType), len(m.CorrelationID), len(m.ReplyTo)); short > 255 {
		return fmt.Errorf("%w: a property of %d bytes", broker.ErrInvalid, short)
	}
	for name, v := range m.Headers {
		switch v.(type) {
		case string, bool, int64, int32, []byte, nil:
		default:
			return fmt.Errorf("%w: header %s is a %T", broker.ErrInvalid, name, v)
		}
	}
	return nil
}

// onTheWire is m as it arrives: a copy, with a whole number of milliseconds.
func onTheWire(m broker.Message) broker.Message {
	m.Headers = maps.Clone(m.Headers)
	m.Body = bytes.Clone(m.Body)
	if m.Expiration > 0 {
		m.Expiration = max(m.Expiration.Truncate(time.Millisecond), time.Millisecond)
	} else {
		m.Expiration = 0
	}
	return m
}

// A peer is a program in another language: it sends and receives by hand.
type peer struct {
	broker.Channel
	conn *fakeConn
	in   chan *broker.Delivery
	back chan broker.Message
}

// peer consumes from a queue, a temporary one if it is empty, until the test ends.
func (f *fakeBroker) peer(t *testing.T, queue string) *peer {
	t.Helper()
	p := &peer{conn: f.conn(), in: make(chan *broker.Delivery, 1000), back: make(chan broker.Message, 1000)}
	s := broker.Subscription{Queue: queue, NoAck: true}
	if queue != "" && !strings.HasPrefix(queue, "amq.") {
		s.Topology = topology.Requests(queue)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		done <- p.conn.Converse(ctx, s, func(ch broker.Channel) broker.Receiver {
			p.Channel = ch
			close(ready)
			return broker.Receiver{
				Deliver:  func(d *broker.Delivery) { p.in <- d },
				Returned: func(m broker.Message) { p.back <- m },
			}
		})
	}()
	<-ready
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil && !errors.Is(err, broker.ErrClosed) {
			t.Errorf("peer: %v", err)
		}
	})
	return p
}

// send sends m, or fails the test.
func (p *peer) send(t *testing.T, m broker.Message) {
	t.Helper()
	if err := p.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// receive waits a minute for a message.
func (p *peer) receive(t *testing.T) *broker.Delivery {
	t.Helper()
	select {
	case d := <-p.in:
		return d
	case <-time.After(time.Minute):
		t.Fatal("no message came in a minute")
		return nil
	}
}

// silent checks that nothing more has come in.
func (p *peer) silent(t *testing.T) {
	t.Helper()
	select {
	case d := <-p.in:
		t.Errorf("got another message %+v, want none", d.Message)
	default:
	}
}
