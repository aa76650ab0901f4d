package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Publish implements [Publisher]. All callers share one channel and nobody waits for
// another's confirm; many messages in one call are sent together and waited for once. A
// queue that is full, a server that is blocked and an outage are waited for until ctx ends.
func (c *Conn) Publish(ctx context.Context, ms ...Message) error {
	var errs []error
	for i := range ms {
		err := ms[i].Check(c.cfg.MaxBody)
		if ms[i].ID == "" {
			err = errNoID
		}
		if err != nil {
			errs = append(errs, publishError(&ms[i], err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	return newBatch(ctx, &c.pubs, ms).run()
}

var errNoID = fmt.Errorf("%w: no ID", ErrInvalid)

// A batch is the messages of one Publish on their way. It goes over them in rounds: each
// sends everything that is to be sent and takes in the answers; what has to be sent again
// is left for the next.
type batch struct {
	p    *publisher
	ctx  context.Context
	todo []*Message // for this round
	errs []error

	flights []flight // sent and not answered, oldest first
	again   []*Message
	alone   []*Message // were in flight when the server closed the channel over one of them
	nacked  bool       // this round had a refusal

	patience time.Duration // with a confirm
	late     bool          // this round had one that did not come in time

	// unknown has the messages that were in flight when their connection or channel died: the
	// server may have taken them.
	unknown map[*Message]bool
	// casualties counts how often that was by a protocol error.
	casualties map[*Message]int

	confirms []confirm // not used yet

	one struct { // room for the usual number of messages, without allocations of their own
		todo    [1]*Message
		flight  [1]flight
		confirm [1]confirm
	}
}

func newBatch(ctx context.Context, p *publisher, ms []Message) *batch {
	b := &batch{p: p, ctx: ctx, patience: confirmPatience}
	b.todo, b.flights, b.confirms = b.one.todo[:0], b.one.flight[:0], b.one.confirm[:]
	if len(ms) > 1 {
		b.todo, b.flights = make([]*Message, 0, len(ms)), make([]flight, 0, min(len(ms), window))
	}
	for i := range ms {
		b.todo = append(b.todo, &ms[i])
	}
	return b
}

// maxCasualties is how often a message may be in flight when the server throws the whole
// connection out over a protocol error, before it counts as the cause.
const maxCasualties = 3

// A flight is a message that was sent and waits for its confirm.
type flight struct {
	m    *Message
	lane *lane
	pc   *pubChannel
	c    *confirm
}

// newConfirm makes confirms by the hundred: one alone is small.
func (b *batch) newConfirm() *confirm {
	if len(b.confirms) == 0 {
		b.confirms = make([]confirm, max(1, min(len(b.todo), 128)))
	}
	c := &b.confirms[0]
	b.confirms = b.confirms[1:]
	return c
}

func (b *batch) run() error {
	var refused *backoff.ExponentialBackOff
	for len(b.todo) > 0 {
		b.round()
		for _, m := range b.alone {
			b.sendAlone(m)
		}
		b.todo, b.again, b.alone = b.again, nil, nil
		if b.late {
			b.patience, b.late = min(2*b.patience, maxConfirmPatience), false
		}
		if !b.nacked || len(b.todo) == 0 {
			continue
		}
		// A full queue: more of the same at once would only keep it busy.
		if refused == nil {
			refused = reconnectPolicy()
		}
		if !sleep(b.ctx, refused.NextBackOff()) {
			b.giveUpAll(ErrNacked)
		}
		b.nacked = false
	}
	return errors.Join(b.errs...)
}

func (b *batch) round() {
	for i, m := range b.todo {
		if err := b.send(m); err != nil {
			b.landAll()
			b.todo, b.again = append(b.again, b.todo[i:]...), nil
			b.giveUpAll(err)
			return
		}
	}
	b.landAll()
}

// send writes m. Its error is final: ctx is over or the Conn closed.
func (b *batch) send(m *Message) error {
	for {
		l := b.p.board(m)
		sent, err := b.sendBy(l, m)
		if sent {
			return nil
		}
		b.p.leave(l)
		if err != nil {
			return err
		}
	}
}

// sendBy takes a slot of l and writes m. Without an error, what was not sent is to be tried
// again.
func (b *batch) sendBy(l *lane, m *Message) (sent bool, err error) {
	pc, err := l.channel(b.ctx, b.p.conn)
	if err != nil {
		return false, err
	}
	if err := b.takeSlot(l); err != nil {
		return false, err
	}
	c := b.newConfirm()
	err = pc.send(m, c)
	if err == nil {
		b.flights = append(b.flights, flight{m, l, pc, c})
		return true, nil
	}
	<-l.slots
	if errors.Is(err, ErrInvalid) {
		return false, err // not the channel but the message: Check should have caught it
	}
	if pc.alive() {
		// The socket failed, and the library is about to notice.
		select {
		case <-pc.gen.dead:
		case <-b.ctx.Done():
		}
	}
	return false, nil
}

// takeSlot waits for room in the window. A batch that holds slots itself first takes in its
// own answers, or two of them could wait for each other for ever.
func (b *batch) takeSlot(l *lane) error {
	for {
		select {
		case l.slots <- struct{}{}:
			return nil
		default:
		}
		if len(b.flights) > 0 {
			b.land()
			continue
		}
		select {
		case l.slots <- struct{}{}:
			return nil
		case <-b.ctx.Done():
			return fmt.Errorf("%w: %d messages are waiting for their confirms: %w", ErrNotConnected, cap(l.slots), context.Cause(b.ctx))
		}
	}
}

// land takes in the answer to the oldest flight.
func (b *batch) land() {
	f := b.flights[0]
	b.flights = b.flights[1:]
	if !f.pc.await(b.ctx, f.c, b.patience) {
		b.abandon(append([]flight{f}, b.flights...))
		b.flights = nil
		return
	}
	b.p.land(f)
	b.sort(f.m, f.pc, f.c)
}

func (b *batch) landAll() {
	for len(b.flights) > 0 {
		b.land()
	}
}

// sort decides what an answer, or the end of the channel, means for m.
func (b *batch) sort(m *Message, pc *pubChannel, c *confirm) {
	switch c.state.Load() {
	case acked:
		if err := pc.takeReturn(m); err != nil {
			b.giveUp(m, err) // an earlier copy may have been routed
		}
	case nacked:
		b.nacked = true
		b.again = append(b.again, m)
	default:
		if pc.isLate() {
			b.late = true
			b.p.separate(m)
		}
		b.lost(m, pc.closeErr())
	}
}

// lost decides where m goes whose channel died, of err, before its answer came.
func (b *batch) lost(m *Message, err error) {
	if b.unknown == nil {
		b.unknown, b.casualties = map[*Message]bool{}, map[*Message]int{}
	}
	b.unknown[m] = true
	if protocolError(err) {
		b.casualties[m]++
	}
	switch {
	case channelOnly(err):
		b.alone = append(b.alone, m)
	case b.casualties[m] >= maxCasualties:
		b.giveUp(m, fmt.Errorf("%w: the server closed the connection %d times while the message was in flight: %w", ErrInvalid, maxCasualties, err))
	default:
		b.again = append(b.again, m) // the next connection will do
	}
}

// sendAlone sends m on a channel of its own. When the server closes a shared channel over
// one message, it doesn't say over which; alone, the culprit fails by itself and is told,
// and the others go through.
func (b *batch) sendAlone(m *Message) {
	shared, err := b.p.shared.channel(b.ctx, b.p.conn)
	if err != nil {
		b.giveUp(m, err)
		return
	}
	pc, err := openPub(b.p.conn, shared.gen, b.p.shared.overdue)
	if err != nil {
		b.again = append(b.again, m)
		return
	}
	defer pc.gen.closeChannel(pc.ch)
	c := b.newConfirm()
	if err := pc.send(m, c); err != nil {
		b.again = append(b.again, m)
		return
	}
	if !pc.await(b.ctx, c, b.patience) {
		b.fail(m, b.unconfirmed())
		return
	}
	if !c.answered() {
		if err := pc.closeErr(); channelOnly(err) {
			b.fail(m, culprit(err))
			return
		}
	}
	b.sort(m, pc, c)
}

// culprit says what the server had against a message.
func culprit(err error) error {
	switch code(err) {
	case amqp.NotFound:
		return fmt.Errorf("%w: %w", ErrUnroutable, err)
	case amqp.AccessRefused:
		return fmt.Errorf("%w: %w", ErrForbidden, err)
	case amqp.PreconditionFailed, amqp.ContentTooLarge:
		return fmt.Errorf("%w, or another property is not allowed: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// abandon leaves fs to a goroutine of the Conn, because ctx has ended: their slots are free
// only once the answers have come.
func (b *batch) abandon(fs []flight) {
	for _, f := range fs {
		b.fail(f.m, b.unconfirmed())
	}
	p := b.p
	p.conn.background(func() {
		for _, f := range fs {
			f.pc.await(p.conn.ctx, f.c, confirmPatience)
			_ = f.pc.takeReturn(f.m) // nobody is left to be told
			if f.pc.isLate() && !f.c.answered() {
				p.separate(f.m)
			}
			p.land(f)
		}
	})
}

func (b *batch) unconfirmed() error {
	return fmt.Errorf("%w: %w", ErrUnconfirmed, context.Cause(b.ctx))
}

// fail is for what the server has answered, or what was never sent.
func (b *batch) fail(m *Message, err error) {
	b.errs = append(b.errs, publishError(m, err))
}

// giveUp is for what says nothing of earlier copies: one that was in flight when its
// connection died may have arrived.
func (b *batch) giveUp(m *Message, err error) {
	if b.unknown[m] {
		err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	b.fail(m, err)
}

func (b *batch) giveUpAll(err error) {
	if cause := context.Cause(b.ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	for _, m := range b.todo {
		b.giveUp(m, err)
	}
	b.todo = nil
}

func publishError(m *Message, err error) error {
	return &PublishError{ID: m.ID, Exchange: m.Exchange, Key: m.Key, Err: err}
}
