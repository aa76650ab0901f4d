package rpc

import (
	"time"

	"github.com/errandq/errand/broker"
)

// A reply that no queue has taken is sent again up to maxAgain times: 25 ms later, and each
// time after a pause four times as long. Its caller may have died. Or its queue is so new that
// the server's node of a cluster has not heard of it: since RabbitMQ 4 a node may learn of a
// queue after the declare was answered at another one, tens of milliseconds later on three
// busy nodes (TestNewQueueIsUnknownAtOtherNodes).
const (
	maxAgain   = 3
	firstPause = 25 * time.Millisecond
)

// pauseBefore is how long to wait before a reply is sent again that was so n times.
func pauseBefore(n int64) time.Duration { return firstPause << (2 * n) }

// maxReturned is how many replies wait to be sent again. Their callers have most likely died
// together, and the memory is for others.
const maxReturned = 256

// returned is called with a reply that no queue has taken.
func (p *pool) returned(ch broker.Channel, m broker.Message) {
	again, _ := broker.Integer(m.Headers[headerAgain]) // nobody else can have set it
	if again >= maxAgain {
		p.gone(m)
		return
	}
	select {
	case p.returns <- struct{}{}:
	default:
		p.gone(m)
		return
	}
	if m.Headers == nil {
		m.Headers = map[string]any{}
	}
	m.Headers[headerAgain] = again + 1
	p.resenders.Go(func() {
		timer := time.NewTimer(pauseBefore(again))
		defer timer.Stop()
		select {
		case <-timer.C:
			<-p.returns                  // before it may come back, and need one again
			_ = ch.Send(ch.Context(), m) // that fails with the channel, or a server that stays blocked
		case <-ch.Context().Done():
			<-p.returns
		}
	})
}

// gone is called with a reply whose caller has died.
func (p *pool) gone(m broker.Message) {
	p.server.stats.unroutable.Add(1)
	if r := p.server.find(m.CorrelationID); r != nil {
		r.cancel(ErrCallerGone)
	}
}
