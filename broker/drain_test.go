package broker

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// consumeSlowly is consume with a Deliver that lets nothing pass before the test has taken
// the delivery before: what comes in meanwhile stays in the library.
func consumeSlowly(t *testing.T, c *Conn, sub Subscription) *consuming {
	t.Helper()
	k := &consuming{got: make(chan *Delivery), drain: make(chan struct{}), done: make(chan error, 1), stop: func() {}}
	sub.Drain = k.drain
	go func() { k.done <- c.Consume(t.Context(), sub, func(d *Delivery) { k.got <- d }) }()
	synctest.Wait()
	return k
}

func TestDrainGivesBackWhatWasNotHandedOut(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consumeSlowly(t, c, Subscription{Queue: "pdf", Prefetch: 10})
		s.deliver(t, "pdf", "1", "2", "3", "4")
		synctest.Wait()
		ds := k.take(1)
		synctest.Wait() // the second is on its way to Deliver
		close(k.drain)
		ds = append(ds, k.take(1)...)
		time.Sleep(time.Minute)
		select {
		case err := <-k.done:
			t.Fatalf("Consume returned %v while two deliveries were unanswered", err)
		default:
		}
		wantAnswers(t, s, "basic.nack 3", "basic.nack 4")
		for _, d := range ds {
			if d.Context().Err() != nil {
				t.Errorf("the context of message %s has ended: %v", d.ID, d.Context().Err())
			}
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
		began := time.Now()
		if err := <-k.done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < lingerTime || took > 2*lingerTime {
			t.Errorf("it took %v, want the %v that a quorum queue may need", took, lingerTime)
		}
		wantLost(t, &Delivery{ctx: ds[0].ctx, answerer: ds[0].answerer}, "")
		methods := s.seen("basic.cancel", "basic.ack", "channel.close")
		if len(methods) < 3 || methods[0].method != "basic.cancel" || methods[len(methods)-1].method != "channel.close" {
			t.Errorf("got %v, want a cancel first and a close last", methods)
		}
	})
}

func TestDrainFinishesWhatWasReceived(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consumeSlowly(t, c, Subscription{Queue: "pdf", Prefetch: 10, Finish: true})
		s.deliver(t, "pdf", "1", "2", "3")
		synctest.Wait()
		close(k.drain)
		for _, d := range k.take(3) {
			if err := d.Ack(); err != nil {
				t.Error(err)
			}
		}
		if err := <-k.done; err != nil {
			t.Error(err)
		}
		for _, r := range s.seen("basic.nack") {
			t.Errorf("delivery %d went back", r.tag)
		}
	})
}

func TestDrainAfterTheContextGivesHandlersTime(t *testing.T) {
	t.Parallel()
	const settle = 10 * time.Second
	for _, answered := range []bool{true, false} {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			k := consume(t, c, Subscription{Queue: "pdf", Prefetch: 10, Settle: settle})
			s.deliver(t, "pdf", "1", "2")
			ds := k.take(2)
			began := time.Now()
			k.stop()
			<-ds[0].Context().Done()
			if err := ds[0].Ack(); err != nil {
				t.Error(err)
			}
			time.Sleep(settle / 2)
			if answered {
				if err := ds[1].Ack(); err != nil {
					t.Error(err)
				}
			}
			if err := <-k.done; err != nil {
				t.Error(err)
			}
			took, want := time.Since(began), settle/2
			if !answered {
				want = settle
			}
			if took < want || took > want+time.Second {
				t.Errorf("answered %v: it took %v, want %v", answered, took, want)
			}
			if !answered {
				if err := ds[1].Ack(); !errors.Is(err, ErrDeliveryLost) {
					t.Errorf("too late: got %v, want ErrDeliveryLost", err)
				}
			}
		})
	}
}

// A server that does not answer keeps nobody from ending.
func TestDrainOfASilentServer(t *testing.T) {
	t.Parallel()
	const settle = 3 * time.Second
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf", Settle: settle})
		s.deliver(t, "pdf", "1")
		d := k.take(1)[0]
		s.consumer(t, "pdf").peer.silence()
		began := time.Now()
		k.end(t)
		if took := time.Since(began); took != settle+goodbye {
			t.Errorf("it took %v, want %v", took, settle+goodbye)
		}
		if err := d.Ack(); !errors.Is(err, ErrDeliveryLost) {
			t.Errorf("got %v, want ErrDeliveryLost", err)
		}
	})
}

// What ends by itself while it is drained takes its deliveries along.
func TestDrainOfAChannelThatDies(t *testing.T) {
	t.Parallel()
	ends := map[string]func(r *request){
		"channel closed": func(r *request) { r.refuse(amqp.PreconditionFailed) },
		"cut":            func(r *request) { r.peer.cut() },
	}
	for name, end := range ends {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			k := consume(t, c, Subscription{Queue: "pdf"})
			s.deliver(t, "pdf", "1")
			d := k.take(1)[0]
			close(k.drain)
			time.Sleep(time.Second)
			end(s.consumer(t, "pdf"))
			if err := <-k.done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantLost(t, d, "")
			if n := len(s.seen("basic.consume")); n != 1 {
				t.Errorf("%s: %d consumers were made, want none after Drain", name, n)
			}
		})
	}
}

// The channel is gone when Drain is seen, but the goroutine that consumes has not looked.
func TestDrainOfAChannelThatIsDead(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consumeSlowly(t, c, Subscription{Queue: "pdf"})
		s.deliver(t, "pdf", "1")
		synctest.Wait()
		s.consumer(t, "pdf").refuse(amqp.PreconditionFailed)
		synctest.Wait()
		close(k.drain)
		wantLost(t, k.take(1)[0], "scripted")
		if err := <-k.done; err != nil {
			t.Error(err)
		}
	})
}

// From 4.3 on a consumer asks for the time that it needs; a classic queue refuses that.
func TestConsumeAsksForTime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, version string
		queue         string
		refuses       bool
		args          amqp.Table // of the last basic.consume
		advice        string
	}{
		{"quorum queue", "4.3.1", "pdf", false, amqp.Table{"x-consumer-timeout": int64(3660000)}, ""},
		{"classic queue", "4.3.1", "pdf", true, amqp.Table{}, ""},
		{"temporary queue", "4.3.1", "", false, amqp.Table{}, ""},
		{"older server", "4.2.0", "pdf", false, amqp.Table{}, "rabbitmqctl set_policy -p '/'"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.version = test.version
			s.on("basic.consume", func(r *request) {
				if test.refuses && len(r.args) > 0 {
					r.refuse(amqp.PreconditionFailed)
					return
				}
				r.answer()
			})
			var log bytes.Buffer
			c := s.connect(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			k := consume(t, c, Subscription{Queue: test.queue, MaxTime: time.Hour})
			if got := s.last(t, "basic.consume").args; len(got) != len(test.args) || got["x-consumer-timeout"] != test.args["x-consumer-timeout"] {
				t.Errorf("%s: got arguments %v, want %v", test.name, got, test.args)
			}
			if got := strings.Contains(log.String(), "remedy="); got != (test.advice != "") || !strings.Contains(log.String(), test.advice) {
				t.Errorf("%s: the log says %s, want %q", test.name, log.String(), test.advice)
			}
			s.deliver(t, s.last(t, "basic.consume").queue, "1")
			if err := k.take(1)[0].Ack(); err != nil {
				t.Error(err)
			}
			k.end(t)
		})
	}
}
