package broker

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// A consuming is a Consume on its way, whose deliveries wait for the test.
type consuming struct {
	got   chan *Delivery
	drain chan struct{}
	stop  context.CancelFunc
	done  chan error
}

// consume begins to consume queue "pdf", or what sub says.
func consume(t *testing.T, c *Conn, sub Subscription) *consuming {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &consuming{got: make(chan *Delivery, 100), drain: make(chan struct{}), stop: cancel, done: make(chan error, 1)}
	sub.Drain = k.drain
	go func() { k.done <- c.Consume(ctx, sub, func(d *Delivery) { k.got <- d }) }()
	synctest.Wait()
	return k
}

// take returns the next n deliveries.
func (k *consuming) take(n int) (ds []*Delivery) {
	for range n {
		ds = append(ds, <-k.got)
	}
	return ds
}

// end waits for the end of Consume, which must be without an error.
func (k *consuming) end(t *testing.T) {
	t.Helper()
	k.stop()
	if err := <-k.done; err != nil {
		t.Errorf("Consume: %v", err)
	}
}

// wantAnswers compares the answers that the server got.
func wantAnswers(t *testing.T, s *server, want ...string) {
	t.Helper()
	synctest.Wait()
	var got []string
	for _, r := range s.seen("basic.ack", "basic.nack", "basic.reject") {
		text := r.String()
		if r.method == "basic.ack" && r.is("multiple") {
			text += " and before"
		}
		got = append(got, text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the server got %q, want %q", got, want)
	}
}

// wantLost checks that d can't be answered any more, and says why.
func wantLost(t *testing.T, d *Delivery, why string) {
	t.Helper()
	if err := d.Ack(); !errors.Is(err, ErrDeliveryLost) {
		t.Errorf("Ack: got %v, want ErrDeliveryLost", err)
	}
	if cause := context.Cause(d.Context()); !errors.Is(cause, ErrDeliveryLost) || !strings.Contains(cause.Error(), why) {
		t.Errorf("the context ended with %v, want ErrDeliveryLost and %q", cause, why)
	}
}

func TestConsumeDeliversAndAnswers(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf", Prefetch: 10, Topology: topology.Work("", "pdf")})
		if st := c.Status(); st.Consume.State != Connected || !st.Ready() {
			t.Errorf("got %+v, want both connected", st)
		}
		if r := s.last(t, "basic.qos"); r.prefetch != 10 {
			t.Errorf("got a prefetch of %d, want 10", r.prefetch)
		}
		if r := s.last(t, "basic.consume"); r.is("no-ack") || len(r.args) != 0 || s.last(t, "queue.declare").queue == "" {
			t.Errorf("got flags %b, arguments %v", r.flags, r.args)
		}
		s.deliver(t, "pdf", "1", "2", "3", "4")
		ds := k.take(4)
		for i, answer := range []func() error{ds[1].Ack, ds[0].Ack, ds[2].Requeue, ds[3].DeadLetter} {
			if err := answer(); err != nil {
				t.Errorf("answer %d: %v", i, err)
			}
		}
		time.Sleep(time.Second)
		if err := ds[0].Ack(); !errors.Is(err, ErrAnswered) {
			t.Errorf("the second answer: got %v, want ErrAnswered", err)
		}
		if got := slices.Sorted(slices.Values([]string{ds[0].ID, ds[1].ID, ds[2].ID, ds[3].ID})); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
			t.Errorf("got messages %v", got)
		}
		answered := map[uint64]string{}
		for _, r := range s.seen("basic.ack", "basic.nack", "basic.reject") {
			for tag := r.tag; tag > 0 && answered[tag] == ""; tag-- {
				answered[tag] = r.method
				if r.method != "basic.ack" || !r.is("multiple") {
					break
				}
			}
		}
		if want := (map[uint64]string{1: "basic.ack", 2: "basic.ack", 3: "basic.nack", 4: "basic.reject"}); !reflect.DeepEqual(answered, want) {
			t.Errorf("the server got %v, want %v", answered, want)
		}
		k.end(t)
		if len(s.seen("basic.cancel")) != 1 || len(s.seen("channel.close")) != 2 { // Declare had one
			t.Errorf("got %v, want the consumer cancelled and its channel closed", s.seen("basic.cancel", "channel.close"))
		}
	})
}

// What is published comes out as it was, with all properties.
func TestConsumeGetsWhatWasPublished(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf"})
		s.on("basic.publish", func(r *request) {
			s.deliverContent(t, "pdf", r.content)
			r.ack()
		})
		sent := Message{
			Exchange: "x", Key: "k", ID: "1", Type: "t", ContentType: "c", AppID: "a", CorrelationID: "o", ReplyTo: "r",
			Timestamp: time.Unix(1e9, 0), Expiration: time.Minute, Priority: 7, Transient: true,
			Headers: map[string]any{"s": "text", "n": int64(1), "m": map[string]any{"yes": true, "none": nil}}, Body: make([]byte, 300<<10),
		}
		if err := c.Publish(t.Context(), sent); err != nil {
			t.Error(err)
		}
		d := k.take(1)[0]
		if d.Message.Timestamp.Equal(sent.Timestamp) {
			d.Message.Timestamp = sent.Timestamp // another location
		}
		if !reflect.DeepEqual(d.Message, sent) {
			d.Body, sent.Body = nil, nil
			t.Errorf("got %+v, want %+v", d.Message, sent)
		}
		k.end(t)
	})
}

// Whatever ends a consumer, the next one takes over, and what the old one had is lost.
func TestConsumeOutlivesItsConsumer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		end      func(t *testing.T, s *server, old *request)
		why      string
		declares int // queues, once more than at the start
	}{
		{"cancelled", func(t *testing.T, s *server, _ *request) { s.cancel(t, "pdf") }, "cancelled by the server", 1},
		{"timed out", func(_ *testing.T, _ *server, old *request) { old.refuse(amqp.PreconditionFailed) }, "scripted", 0},
		{"queue gone", func(_ *testing.T, _ *server, old *request) { old.refuse(amqp.NotFound) }, "scripted", 1},
		{"cut", func(_ *testing.T, _ *server, old *request) { old.peer.cut() }, "EOF", 0},
		{"forced", func(_ *testing.T, _ *server, old *request) { old.abort(amqp.ConnectionForced) }, "scripted", 0},
		{"protocol error", func(_ *testing.T, _ *server, old *request) { old.abort(amqp.UnexpectedFrame) }, "scripted", 0},
		{"silent", func(_ *testing.T, _ *server, old *request) { old.peer.silence() }, "", 0},
	}
	queue := topology.Topology{Queues: []topology.Queue{{Name: "pdf"}}}
	for _, test := range tests {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			k := consume(t, c, Subscription{Queue: "pdf", Topology: queue})
			s.deliver(t, "pdf", "1")
			d := k.take(1)[0]
			old := s.consumer(t, "pdf")
			s.forget()
			test.end(t, s, old)
			<-d.Context().Done()
			wantLost(t, d, test.why)
			time.Sleep(10 * time.Second)
			if s.consumer(t, "pdf") == old {
				t.Fatalf("%s: there is no other consumer", test.name)
			}
			if n := len(s.seen("queue.declare")); n != test.declares {
				t.Errorf("%s: the queue was declared %d times again, want %d", test.name, n, test.declares)
			}
			s.deliver(t, "pdf", "1")
			if err := k.take(1)[0].Ack(); err != nil {
				t.Errorf("%s: the next delivery: %v", test.name, err)
			}
			wantAnswers(t, s, "basic.ack 1")
			k.end(t)
		})
	}
}

// A channel stays open when its consumer is cancelled; the server would keep it registered.
func TestConsumeClosesTheChannelOfACancelledConsumer(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf"})
		old := s.consumer(t, "pdf")
		s.cancel(t, "pdf")
		time.Sleep(time.Second)
		if r := s.last(t, "channel.close"); r.peer != old.peer || r.channel != old.channel {
			t.Errorf("channel %d was closed, want %d", r.channel, old.channel)
		}
		k.end(t)
	})
}

func TestConsumeTellsThatItCannotBegin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method string
		code   uint16
		sub    Subscription
	}{
		{"basic.consume", amqp.NotFound, Subscription{Queue: "pdf"}},
		{"basic.consume", amqp.AccessRefused, Subscription{Queue: "pdf"}},
		{"basic.qos", amqp.PreconditionFailed, Subscription{Queue: "pdf"}},
		{"queue.declare", amqp.PreconditionFailed, Subscription{Queue: "pdf", Topology: topology.Work("", "pdf")}},
		{"queue.declare", amqp.AccessRefused, Subscription{}},
		{"queue.bind", amqp.NotFound, Subscription{Topology: topology.Topology{Bindings: []topology.Binding{{Source: "none"}}}}},
	}
	for _, test := range tests {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			s.on(test.method, func(r *request) { r.refuse(test.code) })
			if err := c.Consume(t.Context(), test.sub, nil); code(err) != int(test.code) || !strings.HasPrefix(err.Error(), "broker: ") {
				t.Errorf("%s: got %v, want code %d", test.method, err, test.code)
			}
		})
	}
}

// After it has worked once, nothing is final.
func TestConsumeGoesOnTrying(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf", Topology: topology.Work("", "pdf")})
		refuse := func(r *request) { r.refuse(amqp.NotFound) }
		s.on("basic.consume", refuse)
		s.on("queue.declare", refuse)
		s.cancel(t, "pdf")
		time.Sleep(time.Minute)
		if n := len(s.seen("basic.consume")); n < 5 || n > 40 {
			t.Errorf("%d tries within a minute, want ever longer pauses between them", n)
		}
		s.on("basic.consume", nil)
		time.Sleep(10 * time.Second)
		s.deliver(t, "pdf", "1")
		if err := k.take(1)[0].Ack(); err != nil {
			t.Error(err)
		}
		k.end(t)
	})
}

func TestConsumeEndsWithTheConn(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf"})
		s.deliver(t, "pdf", "1")
		d := k.take(1)[0]
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-k.done; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
		wantLost(t, d, "")
	})
}

func TestConsumeWithoutAcks(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf", NoAck: true})
		s.deliver(t, "pdf", "1")
		if err := k.take(1)[0].Ack(); !errors.Is(err, ErrAnswered) {
			t.Errorf("got %v, want ErrAnswered", err)
		}
		if n := len(s.seen("basic.qos")); n != 0 || !s.last(t, "basic.consume").is("no-ack") {
			t.Errorf("got %v, want no-ack and no prefetch", s.seen("basic.qos", "basic.consume"))
		}
		k.end(t)
		wantAnswers(t, s)
	})
}

func TestConsumeFromATemporaryQueue(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		top := topology.Topology{
			Exchanges: []topology.Exchange{{Name: "events", Kind: "topic"}},
			Queues:    []topology.Queue{{Name: "other"}},
			Bindings:  []topology.Binding{{Source: "events", Key: "own"}, {Source: "events", Key: "not", Destination: "other"}},
		}
		k := consume(t, c, Subscription{Topology: top, MaxTime: 24 * time.Hour})
		wantDeclared(t, s, "exchange.declare events topic", "queue.declare other", "queue.bind events not other",
			"queue.declare", "queue.bind events own amq.gen-1")
		q := s.last(t, "queue.declare")
		if q.is("durable") || !q.is("exclusive") || !q.is("auto-delete") || q.args["x-queue-type"] != "classic" {
			t.Errorf("got queue flags %b, arguments %v", q.flags, q.args)
		}
		s.deliver(t, "amq.gen-1", "1")
		if d := k.take(1)[0]; d.Queue != "amq.gen-1" {
			t.Errorf("got queue %q", d.Queue)
		}
		s.consumer(t, "amq.gen-1").peer.cut()
		time.Sleep(time.Second)
		s.deliver(t, "amq.gen-2", "2")
		if d := k.take(1)[0]; d.Queue != "amq.gen-2" || d.ID != "2" {
			t.Errorf("got message %s from queue %q", d.ID, d.Queue)
		}
		k.end(t)
	})
}

// RabbitMQ closes a channel over an answer that came too late, and may have others on their
// way. The rest of the connection does not notice.
func TestDeliveriesOnAClosedChannelAreDropped(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		late := consume(t, c, Subscription{Queue: "late"})
		other := consume(t, c, Subscription{Queue: "other"})
		s.deliver(t, "late", "1")
		s.deliver(t, "other", "2")
		first, neighbour := late.take(1)[0], other.take(1)[0]
		closed := s.consumer(t, "late")
		closed.refuse(amqp.PreconditionFailed)
		m := method("basic.deliver").short(closed.consumer).u64(2).flags(false).short("x").short("k")
		closed.peer.send(newContent("3", nil, "body").appendTo(nil, closed.channel, m))
		synctest.Wait()
		wantLost(t, first, "406")
		time.Sleep(10 * time.Second) // it consumes again
		s.deliver(t, "late", "4")
		if d := late.take(1)[0]; d.ID != "4" {
			t.Errorf("got message %s on the next channel, want 4", d.ID)
		}
		if err := neighbour.Ack(); err != nil {
			t.Errorf("the neighbour's answer: %v", err)
		}
		if n := c.Status().Consume.Generation; n != 1 {
			t.Errorf("got connection %d, want the first one", n)
		}
		late.end(t)
		other.end(t)
	})
}

// The server gives out again what was not handed over when the channel closed.
func TestConsumeDeliversNothingOfAChannelThatIsGone(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		release, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- c.Consume(ctx, Subscription{Queue: "pdf", Prefetch: 10}, func(d *Delivery) {
				got = append(got, d.ID)
				<-release
			})
		}()
		synctest.Wait()
		s.deliver(t, "pdf", "1", "2", "3", "4", "5")
		synctest.Wait()
		s.consumer(t, "pdf").refuse(amqp.PreconditionFailed)
		synctest.Wait()
		close(release)
		synctest.Wait()
		if !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %v, want the first alone", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
