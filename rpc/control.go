package rpc

import (
	"context"
	"fmt"

	"github.com/errandq/errand/broker"
)

// listen opens the queue where callers tell what becomes of running calls: that they have
// given up, or taken items of a stream. It returns when the queue is there; hangUp closes it.
func (s *Server) listen(ctx, soft context.Context) (hangUp func(), err error) {
	ctx, stop := context.WithCancel(ctx)
	ready := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- s.broker.Converse(ctx, broker.Subscription{NoAck: true}, func(ch broker.Channel) broker.Receiver {
			queue := ch.Queue()
			s.control.Store(&queue)
			select {
			case ready <- struct{}{}:
			default:
			}
			return broker.Receiver{Deliver: s.told}
		})
	}()
	hangUp = func() {
		stop()
		<-ended
	}
	select {
	case <-ready:
		return hangUp, nil
	case err := <-ended:
		stop()
		return func() {}, fmt.Errorf("rpc: the queue where callers cancel: %w", err)
	case <-soft.Done():
		return hangUp, nil
	}
}

// told is called with each word of a caller. Calls that it does not name right are over, or
// somebody else's.
func (s *Server) told(d *broker.Delivery) {
	r := s.find(d.CorrelationID)
	if r == nil {
		return
	}
	switch d.Type {
	case typeCancel:
		r.cancel(ErrCallerGone)
	case typeCredit:
		if seq, ok := broker.Integer(d.Headers[headerSeq]); ok {
			r.grant(seq)
		}
	}
}
