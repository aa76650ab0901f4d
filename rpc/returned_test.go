package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// unheardOf makes reply queues unknown for a while from the first reply on, as they are at
// another node of a cluster right after they were declared.
func (f *fakeBroker) unheardOf(d time.Duration) {
	var first time.Time
	f.unroutable = func(m broker.Message) bool {
		if !strings.HasPrefix(m.Key, "amq.gen-") || m.CorrelationID == "" {
			return false
		}
		if first.IsZero() {
			first = time.Now()
		}
		return time.Since(first) < d
	}
}

func TestReplyIsSentAgainUntilItsQueueIsKnown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ unknown, took time.Duration }{
		{10 * time.Millisecond, 25 * time.Millisecond},
		{100 * time.Millisecond, 125 * time.Millisecond},
		{500 * time.Millisecond, 525 * time.Millisecond},
	} {
		t.Run(tt.unknown.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, _ := serve(t, f, render, text("done"))
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				f.unheardOf(tt.unknown)
				began := time.Now()
				wantCall(t, c, render, "done")
				took(t, began, tt.took)
				wantIdle(t, c, 0)
				wantStats(t, s, rpc.ServerStats{Answered: 1})
			})
		})
	}
}

// The note of a call that runs for long comes back, too, and is no reason to end it.
func TestCallGoesOnWhileItsCallerIsUnheardOf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s, _ := serve(t, f, render, func(ctx context.Context, _ args) (result, error) {
			select {
			case <-time.After(time.Second):
				return result{"done"}, nil
			case <-ctx.Done():
				return result{}, ctx.Err()
			}
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		f.unheardOf(500 * time.Millisecond)
		wantCall(t, c, render, "done")
		wantStats(t, s, rpc.ServerStats{Answered: 1})
	})
}

// When very many callers die at once, their replies don't fill the memory.
func TestFewRepliesWaitToBeSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const requests, waiting = 1000, 256
		f := newFake()
		s, _ := serve(t, f, render, text("done"))
		p := f.peer(t, "")
		for i := range requests {
			p.send(t, request("pdf.render", "errand.reply.dead", fmt.Sprint(i), `{"n":1}`))
		}
		wantStats(t, s, rpc.ServerStats{Answered: requests, Unroutable: requests - waiting})
		time.Sleep(time.Second)
		wantStats(t, s, rpc.ServerStats{Answered: requests, Unroutable: requests})
		if got, want := len(f.sentTo("errand.reply.dead")), requests+3*waiting; got != want {
			t.Errorf("%d replies were sent, want %d", got, want)
		}
	})
}

// A server that shuts down does not wait for callers that are gone.
func TestShutdownDoesNotWaitForDeadCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, text("done"))
		stop := start(t, s)
		f.peer(t, "").send(t, request("pdf.render", "errand.reply.dead", "1", `{"n":1}`))
		wantStats(t, s, rpc.ServerStats{Answered: 1})
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		took(t, began, 0)
	})
}
