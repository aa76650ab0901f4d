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

	queues sync.Map     // names of the queues that were declared
	ladder atomic.Int64 // the delay, a time.Duration, up to which the ladder was declared
}

// NewSender makes a Sender. A nil broker or a bad namespace panics.
func NewSender(b Broker, ns topology.Namespace) *Sender {
	if b == nil {
		panic("job: NewSender: nil broker")
	}
	if err := ns.Check(); err != nil {
		panic(fmt.Sprintf("job: NewSender: %v", err))
	}
	return &Sender{broker: b, ns: ns}
}

// Send enqueues jobs, each for its NotBefore, and waits until all are confirmed. Errors
// about a job itself wrap [ErrInvalid], and nothing was sent then; others are those of
// [broker.Publisher].
func (s *Sender) Send(ctx context.Context, jobs ...Job) error {
	now := time.Now()
	parcels := make([]parcel, len(jobs))
	for i := range jobs {
		delay := time.Duration(0)
		if t := jobs[i].NotBefore; !t.IsZero() {
			delay = t.Sub(now)
		}
		var err error
		if parcels[i], err = s.pack(&jobs[i], delay); err != nil {
			if len(jobs) > 1 {
				return fmt.Errorf("job %d of %d: %w", i+1, len(jobs), err)
			}
			return err
		}
	}
	return s.send(ctx, parcels)
}

// SendAfter enqueues j so that it reaches its queue no earlier than after delay, rounded up
// to [topology.Resolution]; a delay of zero or less means at once. NotBefore does not matter.
func (s *Sender) SendAfter(ctx context.Context, delay time.Duration, j Job) error {
	p, err := s.pack(&j, delay)
	if err != nil {
		return err
	}
	return s.send(ctx, []parcel{p})
}

// SendDead puts j aside into its queue's dead-letter queue, or into the parked queue if it
// has none. j.Failure should say why.
func (s *Sender) SendDead(ctx context.Context, j Job) error {
	m := j.Message()
	m.Exchange, m.Key = s.ns.Dead(), j.Queue
	return s.send(ctx, []parcel{{job: &j, message: m}})
}

// A parcel is a job ready to go.
type parcel struct {
	job     *Job
	message broker.Message
	ladder  time.Duration // up to which the ladder has to be declared; zero: not needed
}

// pack writes the message and its address.
func (s *Sender) pack(j *Job, delay time.Duration) (parcel, error) {
	if j.err != nil {
		return parcel{}, j.err
	}
	if j.Kind == "" || j.Queue == "" || j.ID == "" {
		return parcel{}, fmt.Errorf("%w: it has no kind, queue or ID: make jobs with Kind.New", ErrInvalid)
	}
	p := parcel{job: j, message: j.Message()}
	switch m := &p.message; {
	case delay > 0:
		if !topology.HasRetries(j.options...) {
			return parcel{}, fmt.Errorf("%w: kind %q: queue %q is used as it is, so nothing can be delayed: define it with topology.Retries()", ErrInvalid, j.Kind, j.Queue)
		}
		path := topology.Route(s.ns, j.Queue, delay)
		m.Exchange, m.Key, p.ladder = path.Exchange, path.Key, path.Delay
		// RabbitMQ 4.0 to 4.2 lets a high priority at the head of a delay queue hold up others
		// that are due.
		m.Priority = 0
	case topology.IsExisting(j.options...):
		m.Exchange, m.Key = "", j.Queue // it is not bound to our exchange
	default:
		m.Exchange, m.Key = s.ns.Jobs(), j.Queue
	}
	return p, nil
}

func (s *Sender) send(ctx context.Context, ps []parcel) error {
	if err := s.declare(ctx, ps); err != nil {
		return err
	}
	err := s.publish(ctx, ps)
	if !errors.Is(err, broker.ErrUnroutable) {
		return err
	}
	// Something was deleted since we declared it. Once more, for those that failed by it.
	s.queues.Clear()
	s.ladder.Store(0)
	lost, other := split(ps, err)
	if err := s.declare(ctx, lost); err != nil {
		return errors.Join(other, err)
	}
	return errors.Join(other, s.publish(ctx, lost))
}

func (s *Sender) publish(ctx context.Context, ps []parcel) error {
	if len(ps) == 1 {
		return s.broker.Publish(ctx, ps[0].message)
	}
	ms := make([]broker.Message, len(ps))
	for i := range ps {
		ms[i] = ps[i].message
	}
	return s.broker.Publish(ctx, ms...)
}

// split returns the parcels that were unroutable, and the other errors in err.
func split(ps []parcel, err error) (lost []parcel, other error) {
	ids := map[string]bool{}
	for _, e := range broker.Failures(err) {
		if errors.Is(e, broker.ErrUnroutable) {
			ids[e.ID] = true
		} else {
			other = errors.Join(other, e)
		}
	}
	for _, p := range ps {
		if ids[p.message.ID] {
			lost = append(lost, p)
		}
	}
	return lost, other
}

// declare makes what ps need and was not made yet.
func (s *Sender) declare(ctx context.Context, ps []parcel) error {
	for i := range ps {
		p := &ps[i]
		if _, done := s.queues.Load(p.job.Queue); !done {
			if err := s.broker.Declare(ctx, topology.Work(s.ns, p.job.Queue, p.job.options...)); err != nil {
				return err
			}
			s.queues.Store(p.job.Queue, nil)
		}
		if p.ladder > time.Duration(s.ladder.Load()) {
			if err := s.broker.Declare(ctx, topology.Ladder(s.ns, p.ladder)); err != nil {
				return err
			}
			s.raise(p.ladder)
		}
	}
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
