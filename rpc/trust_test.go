package rpc_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// The body of the loop panics, and somebody recovers, as net/http does.
func TestPanicInTheLoopOfAStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		conn := f.conn()
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
		rpc.HandleStream(s, pages, func(ctx context.Context, _ args, send func(int) error) error {
			for i := 0; ; i++ {
				if err := send(i); err != nil {
					return err
				}
			}
		})
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		for range 10 {
			func() {
				defer func() { _ = recover() }()
				for range pages.Call(t.Context(), c, args{1}) {
					panic("boom")
				}
			}()
		}
		synctest.Wait()
		time.Sleep(time.Hour)
		synctest.Wait()
		if w := c.Stats().Waiting; w != 0 {
			t.Errorf("an hour later %d calls still wait in the client; server %+v", w, s.Stats())
		}
	})
}

// What a server is told by one call must not let it answer another.
func TestServerCannotAnswerForAnother(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		cl := f.conn()
		c := newClient(t, cl, rpc.ClientConfig{})
		// an honest server that takes its time
		serve(t, f, render, func(ctx context.Context, _ args) (result, error) {
			<-ctx.Done()
			return result{}, ctx.Err()
		})
		// another, which tries IDs that follow from the one that it sees
		evil := f.conn()
		f.declare("lookup")
		ectx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- evil.Converse(ectx, broker.Subscription{Queue: "lookup", NoAck: true}, func(ch broker.Channel) broker.Receiver {
				return broker.Receiver{Deliver: func(d *broker.Delivery) {
					i := strings.LastIndex(d.CorrelationID, ".")
					prefix := d.CorrelationID[:i+1]
					n, _ := strconv.ParseUint(d.CorrelationID[i+1:], 36, 64)
					for k := uint64(1); k < n+10; k++ {
						_ = ch.Send(ectx, broker.Message{Key: d.ReplyTo, CorrelationID: prefix + strconv.FormatUint(k, 36), Body: []byte(`{"text":"forged"}`), Optional: true})
					}
				}}
			})
		}()
		synctest.Wait()
		type res struct {
			r   result
			err error
		}
		out := make(chan res, 1)
		go func() { r, err := render.Call(t.Context(), c, args{1}); out <- res{r, err} }()
		synctest.Wait()
		_, _ = lookup.Call(t.Context(), c, args{1})
		got := <-out
		if got.err == nil {
			t.Errorf("render, which lookup's server never saw a request of, was answered %+v", got.r)
		}
		stop()
		<-done
	})
}

// Close ends a stream that has yielded, too.
func TestCloseDuringStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.HandleStream(s, pages, func(ctx context.Context, _ args, send func(int) error) error {
			if err := send(1); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		})
		start(t, s)
		c := rpc.NewClient(f.conn(), rpc.ClientConfig{})
		var last error
		for _, err := range pages.Call(t.Context(), c, args{1}) {
			last = err
			if err == nil {
				go c.Close()
			}
		}
		if !errors.Is(last, rpc.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", last)
		}
		c.Close()
	})
}

// A handler decides while it is being cut off: its caller is told that, and not that the
// server was shut down.
func TestTypedErrorAtShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Grace: time.Second})
		rpc.Handle(s, render, func(ctx context.Context, _ args) (result, error) {
			<-ctx.Done()
			return result{}, rpc.Errorf(rpc.NotFound, "no order 42")
		})
		stop := start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		out := make(chan error, 1)
		go func() { _, err := render.Call(t.Context(), c, args{1}); out <- err }()
		synctest.Wait()
		_ = stop()
		err := <-out
		var e *rpc.Error
		if !errors.As(err, &e) || e.Code != rpc.NotFound {
			t.Errorf("got %v, want the handler's NotFound", err)
		}
	})
}
