package jobtest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/jobtest"
)

// converse opens conversations on a temporary queue until the test ends.
func converse(t *testing.T, b broker.Converser) chan broker.Channel {
	t.Helper()
	channels := make(chan broker.Channel, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Converse(ctx, broker.Subscription{NoAck: true}, func(ch broker.Channel) broker.Receiver {
			channels <- ch
			return broker.Receiver{Deliver: func(*broker.Delivery) {}}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Converse: %v", err)
		}
	})
	return channels
}

func TestCutEndsChannels(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		channels := converse(t, b)
		first := <-channels
		b.Cut()
		if cause := context.Cause(first.Context()); !errors.Is(cause, broker.ErrDeliveryLost) {
			t.Errorf("the channel's context ended with %v, want %v", cause, broker.ErrDeliveryLost)
		}
		if err := first.Send(t.Context(), message("q", "late")); !errors.Is(err, broker.ErrNotConnected) {
			t.Errorf("Send: got %v, want %v", err, broker.ErrNotConnected)
		}
		second := <-channels
		if second.Queue() == first.Queue() {
			t.Errorf("the next channel has the same queue %q, want another", second.Queue())
		}
		if err := second.Send(t.Context(), message(second.Queue(), "a")); err != nil {
			t.Errorf("Send on the next channel: %v", err)
		}
	})
}

// Channels that send are on the connection that a memory alarm blocks.
func TestChannelsWhileBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, b *jobtest.Broker) {
		before := <-converse(t, b)
		b.Block("low on disk")
		later := converse(t, b)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBoom)
		defer cancel()
		err := before.Send(ctx, message(before.Queue(), "a"))
		if !errors.Is(err, broker.ErrBlocked) || !errors.Is(err, errBoom) {
			t.Errorf("Send: got %v, want %v with the cause", err, broker.ErrBlocked)
		}
		synctest.Wait()
		if len(later) != 0 {
			t.Error("a channel was opened while the server was blocked")
		}
		b.Unblock()
		if err := (<-later).Send(t.Context(), message(before.Queue(), "b")); err != nil {
			t.Errorf("Send: %v", err)
		}
	})
}
