package broker

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ready makes the server say that n messages wait in each queue.
func (s *server) ready(n uint32) {
	s.on("queue.declare", func(r *request) { r.declared(n) })
}

// looks are the questions of the guard.
func looks(s *server) (n int) {
	for _, r := range s.seen("queue.declare") {
		if r.is("passive") {
			n++
		}
	}
	return n
}

func TestStarvedConsumerIsReplaced(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf"})
		starved := s.consumer(t, "pdf")
		s.ready(3)
		time.Sleep(2*watchEvery - time.Second)
		if n := c.Status().Starved; n != 0 || s.consumer(t, "pdf") != starved {
			t.Errorf("%d consumers were replaced after one look", n)
		}
		time.Sleep(2 * time.Second)
		if n := c.Status().Starved; n != 1 || s.consumer(t, "pdf") == starved {
			t.Errorf("%d consumers were replaced, want one", n)
		}
		if r := s.last(t, "channel.close"); len(s.seen("channel.close")) != 3 {
			t.Errorf("got a close of channel %d and %d in all, want those of two looks and the consumer's", r.channel, len(s.seen("channel.close")))
		}
		s.ready(0)
		s.deliver(t, "pdf", "1")
		if err := k.take(1)[0].Ack(); err != nil {
			t.Error(err)
		}
		time.Sleep(10 * watchEvery)
		if n := c.Status().Starved; n != 1 {
			t.Errorf("%d consumers were replaced, want no other", n)
		}
		k.end(t)
	})
}

// A consumer that merely has nothing to do, or enough, is left alone.
func TestConsumerThatDoesNotStarveIsLeftAlone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		looks bool
		sub   Subscription
		scene func(t *testing.T, s *server, k *consuming)
	}{
		{"empty queue", true, Subscription{Queue: "pdf"}, func(_ *testing.T, s *server, _ *consuming) { s.ready(0) }},
		{"unanswered delivery", false, Subscription{Queue: "pdf"}, func(t *testing.T, s *server, k *consuming) {
			s.ready(3)
			s.deliver(t, "pdf", "1")
		}},
		{"filled now and then", true, Subscription{Queue: "pdf"}, func(_ *testing.T, s *server, _ *consuming) {
			n := 0 // a guard asks once at a time
			s.on("queue.declare", func(r *request) { n++; r.declared(uint32(n % 2)) })
		}},
		{"busy between the looks", true, Subscription{Queue: "pdf"}, func(t *testing.T, s *server, k *consuming) {
			s.ready(3)
			for range 20 {
				time.Sleep(watchEvery / 2)
				s.deliver(t, "pdf", "1")
				if err := k.take(1)[0].Ack(); err != nil {
					t.Error(err)
				}
			}
			if n := looks(s); n > 0 {
				t.Errorf("the guard asked %d times about a consumer that was busy", n)
			}
			s.ready(0)
		}},
		{"busy during the look", true, Subscription{Queue: "pdf"}, func(t *testing.T, s *server, k *consuming) {
			s.on("queue.declare", func(r *request) {
				s.deliver(t, "pdf", "1")
				go func() {
					if err := k.take(1)[0].Ack(); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Millisecond)
					r.declared(3)
				}()
			})
		}},
		{"queue unknown", true, Subscription{Queue: "pdf"}, func(_ *testing.T, s *server, _ *consuming) {
			s.on("queue.declare", func(r *request) { r.refuse(amqp.NotFound) })
		}},
		{"channel refused", false, Subscription{Queue: "pdf"}, func(_ *testing.T, s *server, _ *consuming) {
			s.on("channel.open", func(r *request) { r.refuse(amqp.ResourceLocked) })
		}},
		{"without acks", false, Subscription{Queue: "pdf", NoAck: true}, func(_ *testing.T, s *server, _ *consuming) { s.ready(3) }},
		{"temporary queue", false, Subscription{}, func(_ *testing.T, s *server, _ *consuming) { s.ready(3) }},
	}
	for _, test := range tests {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			k := consume(t, c, test.sub)
			test.scene(t, s, k)
			time.Sleep(9*watchEvery + time.Second)
			if n := len(s.seen("basic.consume")); n != 1 || c.Status().Starved != 0 {
				t.Errorf("%s: %d consumers were made, %d replaced, want the first alone", test.name, n, c.Status().Starved)
			}
			if n := looks(s); n > 0 != test.looks {
				t.Errorf("%s: the guard asked %d times, want any %v", test.name, n, test.looks)
			}
			k.end(t)
		})
	}
}

// One that lacks the permission to ask does not go on asking.
func TestGuardThatMayNotAskGivesUp(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		k := consume(t, c, Subscription{Queue: "pdf"})
		s.on("queue.declare", func(r *request) { r.refuse(amqp.AccessRefused) })
		time.Sleep(9*watchEvery + time.Second)
		if n := looks(s); n != 1 {
			t.Errorf("it asked %d times, want once", n)
		}
		k.end(t)
	})
}
