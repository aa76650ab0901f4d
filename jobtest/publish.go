package jobtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/errandq/errand/broker"
)

// confirmPatience is how long a confirm may take before the message is sent again. It doubles
// each time, up to maxConfirmPatience. Both are broker.Conn's own.
const (
	confirmPatience    = 20 * time.Second
	maxConfirmPatience = 10 * time.Minute
)

// never is when a confirm comes that was lost.
const never = time.Duration(math.MaxInt64)

// retryPause is how long a message waits that a full queue has refused.
const retryPause = 100 * time.Millisecond

// Publish implements [broker.Publisher].
func (c *Conn) Publish(ctx context.Context, ms ...broker.Message) error {
	var errs []error
	for i := range ms {
		err := ms[i].Check(broker.DefaultMaxBody)
		if ms[i].ID == "" {
			err = fmt.Errorf("%w: no ID", broker.ErrInvalid)
		}
		if err != nil {
			errs = append(errs, publishError(&ms[i], err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	b := batch{conn: c, ctx: ctx, patience: confirmPatience}
	for i := range ms {
		b.todo = append(b.todo, &flight{m: &ms[i]})
	}
	for len(b.todo) > 0 {
		b.round()
	}
	return errors.Join(b.errs...)
}

func publishError(m *broker.Message, err error) error {
	return &broker.PublishError{ID: m.ID, Exchange: m.Exchange, Key: m.Key, Err: err}
}

// A batch is the messages of one Publish on their way: each round sends all that are left,
// and then waits for their confirms.
type batch struct {
	conn     *Conn
	ctx      context.Context
	patience time.Duration // with a confirm
	late     bool          // this round had one that did not come in time
	todo     []*flight
	errs     []error
}

// A flight is one message on its way.
type flight struct {
	m        *broker.Message
	attempt  int
	confirms time.Duration // after sending; longer than patience if it is lost
	cut      <-chan struct{}
	unknown  bool // an earlier copy may have arrived
	refused  bool // the last time
}

func (b *batch) round() {
	var sent, again []*flight
	refused := false
	for _, f := range b.todo {
		err := b.send(f)
		switch {
		case err == nil:
			f.refused = false
			sent = append(sent, f)
		case errors.Is(err, broker.ErrNacked):
			refused, f.refused = true, true
			again = append(again, f)
		default:
			b.fail(f, err)
		}
	}
	began := time.Now()
	for _, f := range sent {
		confirmed, err := b.await(f, began)
		switch {
		case err != nil:
			b.fail(f, err)
		case !confirmed:
			f.unknown = true
			again = append(again, f)
		}
	}
	b.todo = again
	if b.late {
		b.patience, b.late = min(2*b.patience, maxConfirmPatience), false
	}
	if refused && !sleep(b.ctx, retryPause) {
		for _, f := range b.todo {
			b.fail(f, context.Cause(b.ctx))
		}
		b.todo = nil
	}
}

// fail is the end of a message that may have arrived earlier.
func (b *batch) fail(f *flight, err error) {
	switch {
	case f.unknown && !errors.Is(err, broker.ErrUnconfirmed):
		err = fmt.Errorf("%w: %w", broker.ErrUnconfirmed, err)
	case f.refused:
		err = fmt.Errorf("%w: %w", broker.ErrNacked, err)
	}
	b.errs = append(b.errs, publishError(f.m, err))
}

// send gives a message to the server.
func (b *batch) send(f *flight) error {
	s := b.conn.server
	s.mu.Lock()
	err := b.conn.waitUp(b.ctx)
	if err == nil {
		err = b.conn.waitFree(b.ctx)
	}
	inject := s.inject
	f.cut = b.conn.cut
	s.mu.Unlock()
	if err != nil {
		return err
	}
	f.attempt++
	var fault Fault
	if inject != nil {
		fault = inject(Publishing{*f.m, f.attempt})
	}
	select {
	case <-f.cut: // by the fault itself, maybe: it goes under with the connection
		fault = LoseMessage()
	default:
	}
	f.confirms = fault.delay
	if fault.kind == faultLose || fault.kind == faultDrop {
		f.confirms = never
	}
	return s.accept(f.m, fault)
}

// await waits for the confirm of a message that was sent. It returns false and no error if
// none will come, and the message has to be sent again.
func (b *batch) await(f *flight, began time.Time) (bool, error) {
	if f.confirms <= time.Since(began) && f.confirms <= b.patience {
		return true, nil // while another one was waited for
	}
	timer := time.NewTimer(time.Until(began.Add(min(f.confirms, b.patience))))
	defer timer.Stop()
	select {
	case <-timer.C:
		b.late = b.late || f.confirms > b.patience
		return f.confirms <= b.patience, nil
	case <-f.cut:
		return false, nil
	case <-b.ctx.Done():
		return false, fmt.Errorf("%w: %w", broker.ErrUnconfirmed, context.Cause(b.ctx))
	}
}

// accept takes m into its queues.
func (s *server) accept(m *broker.Message, f Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f.kind {
	case faultReturn:
		return fmt.Errorf("%w: the server says 312 NO_ROUTE", broker.ErrUnroutable)
	case faultRefuse:
		return broker.ErrNacked
	case faultDrop:
		return nil
	}
	queues, ok := s.route(m)
	if !ok {
		return fmt.Errorf("%w: NOT_FOUND - no exchange '%s'", broker.ErrUnroutable, m.Exchange)
	}
	if len(queues) == 0 && !m.Optional {
		return fmt.Errorf("%w: the server says 312 NO_ROUTE", broker.ErrUnroutable)
	}
	refused := s.put(queues, *m)
	if refused {
		return broker.ErrNacked
	}
	return nil
}

// put gives each queue a copy. It reports whether one refuses it because it is full.
func (s *server) put(queues []*queue, m broker.Message) (refused bool) {
	m = wired(m)
	for _, q := range queues {
		if q.full(&m) {
			refused = true
			continue
		}
		s.seq++
		q.put(&message{Message: m, born: s.seq, seq: s.seq})
	}
	s.notify()
	return refused
}
