package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// errCancelled: the server ended the consumer and left the channel open.
var errCancelled = errors.New("consumer cancelled by the server: the queue was deleted, or a delivery stayed unanswered for too long")

// consumerTag may be the same everywhere: a channel has one consumer.
const consumerTag = "errand"

// lingerTime is several times as long as a quorum queue takes for a few hundred answers.
const lingerTime = 200 * time.Millisecond

// A session is one consumer on a channel of its own, from basic.consume to its end. A
// channel a queue, so that what closes one leaves the others alone.
type session struct {
	queue    string
	gen      *generation
	ch       *rawChannel
	closes   chan *amqp.Error
	cancels  chan string
	inbox    *inbox[*Delivery]
	open     []*Delivery // taken from inbox
	at       int         // the next of open to be delivered
	sends    atomic.Bool // also; then messages may come back
	returns  *inbox[Message]
	acks     *acks
	answerer Answerer // acks, unless nothing is answered
	maxBody  int      // of what is sent

	taken   atomic.Uint64 // deliveries
	starved chan struct{} // closed by guard

	ctx        context.Context // of the deliveries
	lose       context.CancelCauseFunc
	background func(func()) // runs what may outlast Consume

	gone   chan struct{} // closed when the channel or the consumer has ended by itself
	err    error         // why; readable once gone is closed
	over   chan struct{} // closed when run ends
	closed chan struct{} // closed when the channel was closed on purpose
	wg     sync.WaitGroup
}

// openSession is the function of that name, whose calls take no context, until ctx ends.
func (c *Conn) openSession(ctx context.Context, g *generation, sub Subscription) (*session, error) {
	return within(ctx, c, func() (*session, error) {
		s, err := openSession(ctx, g, sub)
		if err == nil {
			s.background, s.maxBody = c.background, c.cfg.MaxBody
		}
		return s, err
	}, func(s *session) { // nobody wants it any more
		s.lose(ErrDeliveryLost)
		g.closeChannel(s.ch)
	})
}

func openSession(ctx context.Context, g *generation, sub Subscription) (*session, error) {
	args := timeoutArgs(g.version(), sub.MaxTime)
	if sub.Queue == "" {
		// It is classic. The queue of a refused consumer would stay, bound, as long as the connection.
		args = nil
	}
	s, err := subscribe(g, sub, args)
	if code(err) == amqp.PreconditionFailed && args != nil {
		// A classic queue of 4.3 does not know x-consumer-timeout, and needs none.
		s, err = subscribe(g, sub, nil)
	}
	if err != nil {
		return nil, err
	}
	s.ctx, s.lose = context.WithCancelCause(ctx)
	return s, nil
}

func subscribe(g *generation, sub Subscription, args amqp.Table) (*session, error) {
	s := &session{
		queue:   sub.Queue,
		gen:     g,
		inbox:   newInbox[*Delivery](),
		returns: newInbox[Message](),
		starved: make(chan struct{}),
		gone:    make(chan struct{}),
		over:    make(chan struct{}),
		closed:  make(chan struct{}),
	}
	ch, err := g.channel(s)
	if err != nil {
		return nil, err
	}
	s.ch, s.acks = ch, newAcks(ch, sub.prefetch())
	s.closes, s.cancels = ch.NotifyClose(make(chan *amqp.Error, 1)), ch.NotifyCancel(make(chan string, 1))
	s.answerer = s.acks
	if sub.NoAck {
		s.answerer = unanswerable{}
	}
	err = g.call("basic.consume", func() error { return s.consume(sub, args) })
	if err != nil {
		g.closeChannel(ch)
		return nil, err
	}
	return s, nil
}

func (s *session) consume(sub Subscription, args amqp.Table) (err error) {
	if sub.Queue == "" {
		if s.queue, err = temporary(s.ch, sub.Topology.Bindings); err != nil {
			return err
		}
	}
	if !sub.NoAck {
		if err := s.ch.Qos(sub.prefetch(), 0, false); err != nil {
			return err
		}
	}
	// What is delivered does not come by the channel that the library returns.
	_, err = s.ch.Consume(s.queue, consumerTag, sub.NoAck, false, false, false, args)
	return err
}

// temporary makes a queue that is gone with its consumer, at the latest with the connection.
// Only this connection may consume it. bindings may be those of other queues as well.
func temporary(ch *rawChannel, bindings []topology.Binding) (name string, err error) {
	q, err := ch.QueueDeclare("", false, true, true, false, amqp.Table{"x-queue-type": "classic"})
	if err != nil {
		return "", err
	}
	for _, b := range bindings {
		if b.Destination == "" {
			b.Destination = q.Name
			if err := bind(ch, b); err != nil {
				return "", err
			}
		}
	}
	return q.Name, nil
}

// unanswerable is the answerer of deliveries that the server has forgotten.
type unanswerable struct{}

func (unanswerable) Answer(*Delivery, Verdict) error { return ErrAnswered }

// run hands out deliveries until the session ends. It returns nil if that was on purpose,
// and otherwise why it ended; deliveries that are not answered by then are lost. ctx is
// Consume's own: that of the deliveries ends with the channel as well.
func (s *session) run(ctx context.Context, sub Subscription, r Receiver) error {
	sending := make(chan struct{})
	s.wg.Go(func() { s.acks.run(s.over); close(sending) })
	s.wg.Go(s.watch)
	if !sub.NoAck && sub.Queue != "" {
		s.wg.Go(s.guard)
	}
	if s.sends.Load() {
		s.wg.Go(func() { s.takeReturns(r.Returned) })
	}
	for {
		select { // the end goes before what is there to be delivered
		case <-sub.Drain:
			return s.finish(ctx, sub, r, sending)
		case <-ctx.Done():
			return s.finish(ctx, sub, r, sending)
		case <-s.gone:
			return s.end(r)
		default:
		}
		if d := s.next(); d != nil {
			r.Deliver(d)
			continue
		}
		select {
		case <-s.inbox.ready:
		case <-s.gone:
			return s.end(r)
		case <-sub.Drain:
			return s.finish(ctx, sub, r, sending)
		case <-ctx.Done():
			return s.finish(ctx, sub, r, sending)
		}
	}
}

// delivered implements receiver.
func (s *session) delivered(d *Delivery) { s.inbox.put(d) }

// returned implements receiver.
func (s *session) returned(m Message, _ uint16, _ string) {
	if s.sends.Load() {
		s.returns.put(m)
	}
}

// confirmed implements receiver: nothing that is sent here is confirmed.
func (s *session) confirmed(uint64, bool, bool) {}

// next is the next delivery that has come in, from now on to be answered, or nil.
func (s *session) next() *Delivery {
	if s.at == len(s.open) {
		s.open, s.at = s.inbox.take(s.open), 0
		if len(s.open) == 0 {
			return nil
		}
	}
	d := s.open[s.at]
	s.open[s.at] = nil // it may last shorter than those behind it
	s.at++
	s.taken.Add(1)
	d.Queue, d.ctx, d.answerer = s.queue, s.ctx, s.answerer
	if s.answerer == s.acks {
		s.acks.add(d)
	}
	return d
}

// end is for a channel or consumer that has ended by itself. What came before is delivered if
// it needs no answer; the server gives out the rest again.
func (s *session) end(r Receiver) error {
	<-s.gone
	if s.answerer != s.acks {
		for d := s.next(); d != nil; d = s.next() {
			r.Deliver(d)
		}
	}
	close(s.over)
	s.wg.Wait()
	return s.err
}

// goodbye is how long a server may take, after the end of Consume's context and of Settle,
// for the last answers.
const goodbye = 500 * time.Millisecond

// finish drains. Where the server does not answer, that goes on in the background when
// Consume has to return, and the deliveries are lost.
func (s *session) finish(ctx context.Context, sub Subscription, r Receiver, sending <-chan struct{}) error {
	done := make(chan error, 1)
	s.background(func() { done <- s.drain(sub, r, sending) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(sub.Settle + goodbye)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		s.acks.close()
		s.lose(ErrDeliveryLost)
		return nil
	}
}

// drain stops the deliveries, waits for the answers, and closes the channel.
func (s *session) drain(sub Subscription, r Receiver, sending <-chan struct{}) error {
	select {
	case <-s.gone:
		return s.end(r)
	default:
	}
	// Under an alarm the server reads no cancel, and after callTimeout the connection, which
	// others share, would count as dead.
	_ = s.gen.whenFree(context.Background()) // ends with the connection
	// If it fails the channel is dead, which the loop below comes to as well.
	_ = s.gen.call("basic.cancel", func() error { return s.ch.Cancel(consumerTag, false) })
	returned := 0
	for d := s.next(); d != nil; d = s.next() {
		switch {
		case sub.Finish && s.ctx.Err() == nil:
			r.Deliver(d)
		case !sub.NoAck:
			_ = d.Requeue() // fails if the channel is dead: then the server has it already
			returned++
		}
	}
	s.settle(sub.Settle)
	close(s.over)
	<-sending
	_, _ = s.acks.pass(true) // an error means that the channel is dead, and all goes back
	s.acks.close()
	if returned > 0 {
		s.linger()
	}
	s.gen.closeChannel(s.ch)
	close(s.closed)
	s.wg.Wait()
	s.lose(ErrDeliveryLost)
	return nil
}

// linger gives the server time for the last answers. The channel of a quorum queue passes on
// 32 of them at a time, keeps what comes on top for later, and forgets it when it is closed:
// jobs that were acked behind many requeued ones would come again. Nothing tells when it is
// through.
func (s *session) linger() {
	timer := time.NewTimer(lingerTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.gone:
	case <-s.ctx.Done():
	}
}

// settle waits until all deliveries are answered or the session is gone; after the end of
// Consume's context, only for patience.
func (s *session) settle(patience time.Duration) {
	idle := s.acks.whenIdle()
	select {
	case <-idle:
		return
	case <-s.gone:
		return
	case <-s.ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-idle:
	case <-s.gone:
	case <-timer.C:
	}
}

// watch notices the end of the channel or of the consumer at once, also while deliver
// blocks, so that handlers hear of it.
func (s *session) watch() {
	var err error
	cancelled := false
	select {
	case <-s.over:
		return
	case <-s.starved:
		err, cancelled = errStarved, true
	case e := <-s.closes:
		err = closeError(e)
	case _, cancelled = <-s.cancels:
		err = errCancelled
		if !cancelled { // it was closed with the channel
			err = closeError(<-s.closes)
		}
	}
	s.err = err
	s.acks.close()
	lost := fmt.Errorf("%w: %w", ErrDeliveryLost, err)
	if channelOnly(err) && !timedOut(err) {
		lost = fmt.Errorf("%w: %w", ErrRefused, lost)
	}
	s.lose(lost)
	close(s.gone)
	if cancelled {
		// The server keeps the consumer registered until the channel is closed, and once the
		// late answer comes would send to it what nobody receives (RabbitMQ issue 17317).
		s.gen.closeChannel(s.ch)
	}
}

func closeError(e *amqp.Error) error {
	if e == nil {
		return ErrClosed
	}
	return e
}
