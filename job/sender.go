package job

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/topology"
)

// A Broker is what a [Sender] needs of one. A *broker.Conn is one.
type Broker interface {
	broker.Publisher
	broker.Declarer
}

// A Sender is the one place where jobs get onto a broker: producers send new jobs with it,
// workers send copies of failed ones. It declares what a job needs before the first such
// job, and again when RabbitMQ says that it is gone. It is safe for concurrent use.
type Sender struct {
	broker Broker
	ns     topology.Namespace
	jobs   string // the exchange where jobs enter

	targets sync.Map     // those that were declared
	ladder  atomic.Int64 // the delay, a time.Duration, up to which the ladder was declared
}

// A target is where jobs go: a queue or, for events, an exchange of a kind.
type target struct{ queue, exchange, kind string }

// target is where j goes.
func (j *Job) target() target {
	if !j.Published() {
		return target{queue: j.Queue}
	}
	t := target{exchange: j.Exchange}
	if xs := j.source.Exchanges; len(xs) > 0 {
		t.kind = xs[0].Kind
	}
	return t
}

// NewSender makes a Sender. A nil broker or a bad namespace panics.
func NewSender(b Broker, ns topology.Namespace) *Sender {
	if b == nil {
		panic("job: NewSender: nil broker")
	}
	if err := ns.Check(); err != nil {
		panic(fmt.Sprintf("job: NewSender: %v", err))
	}
	return &Sender{broker: b, ns: ns, jobs: ns.Jobs()}
}

// Send enqueues jobs, each for its NotBefore, and waits until all are confirmed. Errors
// about a job itself wrap [ErrInvalid], and nothing was sent then; others are those of
// [broker.Declarer] and [broker.Publisher].
func (s *Sender) Send(ctx context.Context, jobs ...Job) error {
	now := time.Now()
	out := newParcels(len(jobs))
	for i := range jobs {
		delay := time.Duration(0)
		if t := jobs[i].NotBefore; !t.IsZero() {
			delay = t.Sub(now)
		}
		if err := s.pack(&out, &jobs[i], delay); err != nil {
			if len(jobs) > 1 {
				return fmt.Errorf("job %d of %d: %w", i+1, len(jobs), err)
			}
			return err
		}
	}
	return s.send(ctx, out)
}

// SendAfter enqueues j so that it reaches its queue no earlier than after delay, rounded up
// to [topology.Resolution]; a delay of zero or less means at once. NotBefore does not matter.
func (s *Sender) SendAfter(ctx context.Context, delay time.Duration, j Job) error {
	out := newParcels(1)
	if err := s.pack(&out, &j, delay); err != nil {
		return err
	}
	return s.send(ctx, out)
}

// SendDead puts j aside into its queue's dead-letter queue, or into the parked queue if it
// has none. j.Failure should say why.
func (s *Sender) SendDead(ctx context.Context, j Job) error {
	out := newParcels(1)
	m := j.Message()
	m.Exchange, m.Key = s.ns.Dead(), j.Queue
	out.add(&j, m, 0)
	return s.send(ctx, out)
}

// parcels are jobs ready to go, as slices that run in parallel, because the messages are
// published as one slice.
type parcels struct {
	messages []broker.Message
	jobs     []*Job
	ladder   time.Duration // up to which the ladder has to be declared; zero: not needed
}

func newParcels(n int) parcels {
	if n == 1 { // the usual number: one allocation for both
		one := new(struct {
			message [1]broker.Message
			job     [1]*Job
		})
		return parcels{messages: one.message[:0], jobs: one.job[:0]}
	}
	return parcels{messages: make([]broker.Message, 0, n), jobs: make([]*Job, 0, n)}
}

func (ps *parcels) add(j *Job, m broker.Message, ladder time.Duration) {
	ps.jobs = append(ps.jobs, j)
	ps.messages = append(ps.messages, m)
	ps.ladder = max(ps.ladder, ladder)
}

// pack writes the message of j and its address.
func (s *Sender) pack(out *parcels, j *Job, delay time.Duration) error {
	if j.err != nil {
		return j.err
	}
	if j.Kind == "" || j.Queue == "" && j.Exchange == "" || j.ID == "" {
		return fmt.Errorf("%w: it has no kind, queue or ID: make jobs with Kind.New", ErrInvalid)
	}
	m, ladder := j.Message(), time.Duration(0)
	switch {
	case j.Published():
		m.Exchange, m.Key, m.Optional = j.Exchange, j.Key, j.optional
	case delay > 0:
		if !topology.HasRetries(j.options...) {
			return fmt.Errorf("%w: kind %q: queue %q is used as it is, so nothing can be delayed: define it with topology.Retries()", ErrInvalid, j.Kind, j.Queue)
		}
		path := topology.Route(s.ns, j.Queue, delay)
		m.Exchange, m.Key, ladder = path.Exchange, path.Key, path.Delay
		// RabbitMQ 4.0 to 4.2 lets a high priority at the head of a delay queue hold up others
		// that are due.
		m.Priority = 0
	case topology.IsExisting(j.options...):
		m.Exchange, m.Key = "", j.Queue // it is not bound to our exchange
	default:
		m.Exchange, m.Key = s.jobs, j.Queue
	}
	out.add(j, m, ladder)
	return nil
}

func (s *Sender) send(ctx context.Context, ps parcels) error {
	if err := s.declare(ctx, ps); err != nil {
		return err
	}
	err := s.broker.Publish(ctx, ps.messages...)
	if !errors.Is(err, broker.ErrUnroutable) {
		return err
	}
	// Something was deleted since we declared it. Once more, for those that failed by it.
	lost, other := split(ps, err)
	if len(lost.jobs) == 0 { // it doesn't say of which message
		s.forget(ps)
		return err
	}
	s.forget(lost)
	if err := s.declare(ctx, lost); err != nil {
		return errors.Join(other, err)
	}
	return errors.Join(other, s.broker.Publish(ctx, lost.messages...))
}

// split returns the parcels that were unroutable, and the other errors in err.
func split(ps parcels, err error) (lost parcels, other error) {
	// An ID may be given to several jobs, and be sent to several places.
	type address struct{ id, exchange, key string }
	unroutable := map[address]bool{}
	for _, e := range broker.Failures(err) {
		if errors.Is(e, broker.ErrUnroutable) {
			unroutable[address{e.ID, e.Exchange, e.Key}] = true
		} else {
			other = errors.Join(other, e)
		}
	}
	lost = newParcels(len(unroutable))
	for i, m := range ps.messages {
		if unroutable[address{m.ID, m.Exchange, m.Key}] {
			lost.add(ps.jobs[i], m, ps.ladder)
		}
	}
	return lost, other
}

// forget has what ps need declared again.
func (s *Sender) forget(ps parcels) {
	for _, j := range ps.jobs {
		s.targets.Delete(j.target())
	}
	if ps.ladder > 0 {
		s.ladder.Store(0)
	}
}

// declare makes what ps need and was not made yet.
func (s *Sender) declare(ctx context.Context, ps parcels) error {
	for _, j := range ps.jobs {
		target := j.target()
		if _, done := s.targets.Load(target); done {
			continue
		}
		t := j.source
		if !j.Published() {
			t = topology.Work(s.ns, j.Queue, j.options...)
		}
		if err := s.broker.Declare(ctx, t); err != nil {
			return err
		}
		s.targets.Store(target, nil)
	}
	if ps.ladder <= time.Duration(s.ladder.Load()) {
		return nil
	}
	if err := s.broker.Declare(ctx, topology.Ladder(s.ns, ps.ladder)); err != nil {
		return err
	}
	s.raise(ps.ladder)
	return nil
}

func (s *Sender) raise(to time.Duration) {
	for {
		old := s.ladder.Load()
		if int64(to) <= old || s.ladder.CompareAndSwap(old, int64(to)) {
			return
		}
	}
}
