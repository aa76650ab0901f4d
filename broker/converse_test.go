package broker

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A conversing is a Converse on its way.
type conversing struct {
	channels  chan Channel // one after the other
	delivered chan *Delivery
	returned  chan Message
	stop      context.CancelFunc
	done      chan error
}

func converse(t *testing.T, c *Conn, sub Subscription) *conversing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	v := &conversing{make(chan Channel, 10), make(chan *Delivery, 10), make(chan Message, 10), cancel, make(chan error, 1)}
	go func() {
		v.done <- c.Converse(ctx, sub, func(ch Channel) Receiver {
			v.channels <- ch
			return Receiver{
				Deliver:  func(d *Delivery) { v.delivered <- d },
				Returned: func(m Message) { v.returned <- m },
			}
		})
	}()
	synctest.Wait()
	return v
}

func (v *conversing) end(t *testing.T) {
	t.Helper()
	v.stop()
	if err := <-v.done; err != nil {
		t.Errorf("Converse: %v", err)
	}
}

func TestConverseSendsAndReceivesOnOneChannel(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		v := converse(t, c, Subscription{NoAck: true})
		ch := <-v.channels
		if ch.Queue() != "amq.gen-1" || ch.Context().Err() != nil {
			t.Errorf("got queue %q, context %v", ch.Queue(), ch.Context().Err())
		}
		s.on("basic.publish", func(r *request) { s.deliverContent(t, ch.Queue(), r.content) })
		for _, m := range []Message{{ID: "1", Key: "rpc", ReplyTo: ch.Queue()}, {ID: "2", Optional: true}} {
			if err := ch.Send(t.Context(), m); err != nil {
				t.Error(err)
			}
			if d := <-v.delivered; d.ID != m.ID || d.ReplyTo != m.ReplyTo {
				t.Errorf("got %+v, want what was sent", d.Message)
			}
			r, consumer := s.last(t, "basic.publish"), s.consumer(t, ch.Queue())
			if r.peer != consumer.peer || r.channel != consumer.channel || r.is("mandatory") == m.Optional {
				t.Errorf("it was sent on channel %d, mandatory %v", r.channel, r.is("mandatory"))
			}
		}
		if n := len(s.seen("connection.open", "confirm.select")); n != 1 {
			t.Errorf("got %v, want the connection that publishes, without confirms", s.seen("connection.open", "confirm.select"))
		}
		v.end(t)
		if cause := context.Cause(ch.Context()); cause == nil {
			t.Error("the channel's context goes on")
		}
	})
}

func TestConverseTellsWhatIsReturned(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", (*request).bounce)
		v := converse(t, c, Subscription{Queue: "calls"})
		sent := Message{
			Exchange: "x", Key: "k", ID: "1", Type: "t", ContentType: "c", AppID: "a", CorrelationID: "o", ReplyTo: "r", Timestamp: time.Unix(1e9, 0),
			Expiration: time.Second, Priority: 3, Transient: true, Headers: map[string]any{"m": map[string]any{"n": int64(1)}}, Body: []byte("b"),
		}
		if err := (<-v.channels).Send(t.Context(), sent); err != nil {
			t.Error(err)
		}
		got := <-v.returned
		if got.Timestamp.Equal(sent.Timestamp) {
			got.Timestamp = sent.Timestamp // another location
		}
		if !reflect.DeepEqual(got, sent) {
			t.Errorf("got %+v, want %+v", got, sent)
		}
		v.end(t)
	})
}

func TestConverseBeginsAgainOnEachChannel(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		v := converse(t, c, Subscription{})
		first := <-v.channels
		s.peer().cut()
		second := <-v.channels
		if first.Queue() == second.Queue() || second.Context().Err() != nil {
			t.Errorf("got queues %q and %q, want another one", first.Queue(), second.Queue())
		}
		<-first.Context().Done()
		if cause := context.Cause(first.Context()); !errors.Is(cause, ErrDeliveryLost) {
			t.Errorf("the first one's context ended with %v, want ErrDeliveryLost", cause)
		}
		if err := first.Send(t.Context(), Message{ID: "1"}); !errors.Is(err, ErrNotConnected) {
			t.Errorf("Send on the first one: got %v, want ErrNotConnected", err)
		}
		if err := second.Send(t.Context(), Message{ID: "2"}); err != nil {
			t.Errorf("Send on the second one: %v", err)
		}
		synctest.Wait()
		wantSent(t, s, "2")
		v.end(t)
	})
}

func TestSendTellsWhatBecameOfTheMessage(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		m       Message
		trouble func(s *server, ch Channel)
		want    error
	}{
		{"too large", Message{Body: make([]byte, DefaultMaxBody+1)}, nil, ErrTooLarge},
		{"no form", Message{Headers: map[string]any{"x": struct{}{}}}, nil, ErrInvalid},
		{"blocked", Message{ID: "1"}, func(s *server, _ Channel) { s.peer().block("low on memory") }, ErrBlocked},
		{"channel closed", Message{ID: "1"}, func(s *server, ch Channel) { s.consumers[0].refuse(amqp.AccessRefused) }, ErrNotConnected},
		{"socket broken", Message{ID: "1"}, func(_ *server, ch Channel) {
			broken := ch.(*session).gen.socket
			broken.mu.Lock()
			defer broken.mu.Unlock()
			broken.err = errCut
		}, ErrNotConnected},
	}
	for _, test := range tests {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			v := converse(t, c, Subscription{Queue: "calls"})
			ch := <-v.channels
			if test.trouble != nil {
				test.trouble(s, ch)
			}
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := ch.Send(ctx, test.m); !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", test.name, err, test.want)
			}
			synctest.Wait()
			wantSent(t, s)
			v.end(t)
		})
	}
}

func TestSendWaitsWhileTheServerIsBlocked(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		v := converse(t, c, Subscription{Queue: "calls"})
		ch := <-v.channels
		s.peer().block("low on memory")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- ch.Send(t.Context(), Message{ID: "1"}) }()
		time.Sleep(time.Minute)
		wantSent(t, s)
		s.peer().unblock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantSent(t, s, "1")
		v.end(t)
	})
}

// A server that does not read, and has not said so, is not waited for longer than asked.
func TestSendToAServerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		v := converse(t, c, Subscription{Queue: "calls"})
		ch := <-v.channels
		s.peer().pause()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCut)
		defer cancel()
		large := Message{ID: "1", Body: make([]byte, 4*writeBuffer)}
		for _, large.ID = range []string{"1", "2"} { // the first is being written, the second fills the buffer
			if err := ch.Send(ctx, large); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		large.ID = "3"
		if err := ch.Send(ctx, large); !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, errCut) {
			t.Errorf("got %v, want ErrUnconfirmed and the context's cause", err)
		}
		clear(large.Body)
		s.peer().resume()
		synctest.Wait()
		wantSent(t, s, "1", "2", "3")
		large.ID = "4"
		if err := ch.Send(t.Context(), large); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantSent(t, s, "1", "2", "3", "4")
		v.end(t)
	})
}

func TestSendThatWaitsEndsWithItsChannel(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		v := converse(t, c, Subscription{Queue: "calls"})
		ch := <-v.channels
		s.peer().block("low on memory")
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- ch.Send(t.Context(), Message{ID: "1"}) }()
		synctest.Wait()
		s.consumer(t, "calls").refuse(amqp.AccessRefused)
		if err := <-done; !errors.Is(err, ErrNotConnected) {
			t.Errorf("got %v, want ErrNotConnected", err)
		}
		if cause := context.Cause(ch.Context()); !errors.Is(cause, ErrRefused) || !errors.Is(cause, ErrDeliveryLost) {
			t.Errorf("the channel's context ended with %v, want ErrRefused and ErrDeliveryLost", cause)
		}
		s.peer().unblock()
		v.end(t)
	})
}

// Under an alarm the server reads no cancel: the connection, which others share, is left
// alone until that is over.
func TestDrainWaitsForTheEndOfAnAlarm(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		drain := make(chan struct{})
		v := converse(t, c, Subscription{Queue: "calls", Drain: drain})
		s.peer().block("low on memory")
		s.peer().pause()
		synctest.Wait()
		close(drain)
		time.Sleep(2 * callTimeout)
		if st := c.Status().Publish; st.State != Connected || st.Generation != 1 {
			t.Errorf("got %+v, want the first connection", st)
		}
		s.peer().unblock()
		s.peer().resume()
		if err := <-v.done; err != nil {
			t.Error(err)
		}
		if n := len(s.seen("basic.cancel")); n != 1 {
			t.Errorf("the consumer was cancelled %d times, want once", n)
		}
	})
}

// A server may return a message as late as when the channel is about to be closed.
func TestConverseTellsWhatIsReturnedAtTheEnd(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		v := converse(t, c, Subscription{Queue: "calls"})
		s.on("basic.publish", func(r *request) {
			s.on("channel.close", func(end *request) {
				r.bounce()
				end.answer()
			})
		})
		if err := (<-v.channels).Send(t.Context(), Message{ID: "1", Key: "gone"}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		v.end(t)
		if n := len(v.returned); n != 1 {
			t.Errorf("%d messages were returned, want 1", n)
		}
	})
}
