package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// numberedMessages are n messages with the IDs 0 to n-1.
func numberedMessages(n int) []Message {
	ms := make([]Message, n)
	for i := range ms {
		ms[i] = Message{Exchange: "x", Key: "k", ID: fmt.Sprint(i)}
	}
	return ms
}

// sentIDs are the IDs of all messages that came in, copies too.
func sentIDs(s *server) (ids []string) {
	for _, r := range s.seen("basic.publish") {
		ids = append(ids, r.id)
	}
	return ids
}

func wantSent(t *testing.T, s *server, want ...string) {
	t.Helper()
	if got := sentIDs(s); !slices.Equal(got, want) {
		t.Errorf("the server got messages %v, want %v", got, want)
	}
}

// publishing is a Publish on its way.
func publishing(ctx context.Context, c *Conn, ms ...Message) <-chan error {
	done := make(chan error, 1)
	go func() { done <- c.Publish(ctx, ms...) }()
	synctest.Wait()
	return done
}

func TestPublishReturnsWhenAllIsConfirmed(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(r *request) {
			if r.tag == 3 { // for all at once
				r.reply(method("basic.ack").u64(r.tag).flags(true))
			}
		})
		done := publishing(t.Context(), c, numberedMessages(2)...)
		select {
		case err := <-done:
			t.Fatalf("got %v before there was a confirm", err)
		default:
		}
		if err := c.Publish(t.Context(), Message{ID: "2", Optional: true}); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantSent(t, s, "0", "1", "2")
		for i, r := range s.seen("basic.publish") {
			if want := i < 2; r.is("mandatory") != want {
				t.Errorf("message %d: mandatory is %v, want %v", i, r.is("mandatory"), want)
			}
		}
		if n := len(s.seen("channel.open")); n != 1 {
			t.Errorf("%d channels were opened, want one for all", n)
		}
	})
}

func TestPublishSendsAgainWhatIsNacked(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(r *request) {
			if r.id == "1" && r.tag < 6 {
				r.nack()
				return
			}
			r.ack()
		})
		began := time.Now()
		if err := c.Publish(t.Context(), numberedMessages(3)...); err != nil {
			t.Error(err)
		}
		wantSent(t, s, "0", "1", "2", "1", "1", "1")
		if took := time.Since(began); took < 100*time.Millisecond || took > 3*time.Second {
			t.Errorf("three refusals took %v, want the pauses of a backoff between them", took)
		}
	})
}

func TestPublishGivesUpOnNacksWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", (*request).nack)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errCut)
		defer cancel()
		err := c.Publish(ctx, Message{ID: "full"})
		if !errors.Is(err, ErrNacked) || !errors.Is(err, errCut) || errors.Is(err, ErrUnconfirmed) {
			t.Errorf("got %v, want ErrNacked and the context's cause", err)
		}
		wantFailures(t, err, "full")
	})
}

func TestPublishSendsAgainWhatIsNotConfirmedInTime(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.first(2, "basic.publish", func(*request) {}) // lost
		began := time.Now()
		if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
			t.Error(err)
		}
		wantSent(t, s, "1", "1", "1")
		if took, want := time.Since(began), 3*confirmPatience; took < want || took > want+time.Second {
			t.Errorf("it took %v, want %v, and twice that the second time", took, confirmPatience)
		}
		if n := len(s.seen("connection.open")); n != 3 {
			t.Errorf("%d connections were made, want another each time: nothing was ever confirmed", n)
		}
	})
}

// Under an alarm no confirm comes, and that is no reason to send once more.
func TestPublishHasPatienceWhileTheServerIsBlocked(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(r *request) { r.peer.block("low on memory") })
		done := publishing(t.Context(), c, Message{ID: "1"})
		time.Sleep(5 * confirmPatience)
		s.last(t, "basic.publish").ack()
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantSent(t, s, "1")
	})
}

func TestPublishTellsWhatIsReturned(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(r *request) {
			if r.id == "1" {
				r.bounce()
			}
			r.ack()
		})
		err := c.Publish(t.Context(), numberedMessages(3)...)
		if !errors.Is(err, ErrUnroutable) || !strings.Contains(err.Error(), "312 NO_ROUTE") {
			t.Errorf("got %v, want ErrUnroutable with the server's words", err)
		}
		wantFailures(t, err, "1")
		wantSent(t, s, "0", "1", "2")
	})
}

func TestPublishFindsTheMessageThatClosesTheChannel(t *testing.T) {
	t.Parallel()
	for code, want := range map[uint16]error{amqp.NotFound: ErrUnroutable, amqp.PreconditionFailed: ErrTooLarge, amqp.AccessRefused: ErrForbidden} {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			found := false
			s.on("basic.publish", func(r *request) {
				switch {
				case r.id == "2":
					found = true
					r.refuse(code)
				case found: // a server confirms when it has the time
					r.ack()
				}
			})
			err := c.Publish(t.Context(), numberedMessages(4)...)
			if !errors.Is(err, want) || errors.Is(err, ErrUnconfirmed) {
				t.Errorf("code %d: got %v, want %v and no doubt", code, err, want)
			}
			wantFailures(t, err, "2")
			// The last one may go by another channel before the others are sent alone.
			if got := slices.Sorted(slices.Values(sentIDs(s))); !slices.Equal(got, []string{"0", "0", "1", "1", "2", "2", "3"}) {
				t.Errorf("code %d: the server got messages %v, want those before and at the culprit twice", code, got)
			}
		})
	}
}

// What is sent alone meets the same troubles as in company.
func TestPublishAloneSurvivesWhatTheOthersSurvive(t *testing.T) {
	t.Parallel()
	troubles := map[string]func(r *request){
		"nacked":   (*request).nack,
		"lost":     func(*request) {},
		"cut":      func(r *request) { r.peer.cut() },
		"returned": func(r *request) { r.bounce(); r.ack() },
	}
	for name, trouble := range troubles {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			n := 0 // connections come one after the other
			s.on("basic.publish", func(r *request) {
				switch n++; n {
				case 1:
					r.refuse(amqp.AccessRefused)
				case 2:
					trouble(r)
				default:
					r.ack()
				}
			})
			err := c.Publish(t.Context(), Message{ID: "1"})
			if name == "returned" {
				if !errors.Is(err, ErrUnroutable) {
					t.Errorf("%s: got %v, want ErrUnroutable", name, err)
				}
				return
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantSent(t, s, "1", "1", "1")
		})
	}
}

func TestPublishAloneEndsWithItsContext(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(r *request) {
			r.refuse(amqp.AccessRefused)
			s.on("basic.publish", func(*request) {})
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Publish(ctx, Message{ID: "1"}, Message{ID: "2"})
		if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnconfirmed and the deadline", err)
		}
		// The second may have gone by another channel before the first was sent alone.
		if got := slices.Sorted(slices.Values(failedIDs(err))); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%v tells of %q, want both, in any order", err, got)
		}
	})
}

// The next channel may be refused as well, or its connection gone.
func TestPublishAloneTriesAgainToOpenItsChannel(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"channel.open", "confirm.select"} {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			s.first(1, "basic.publish", func(r *request) {
				n := 0 // the first that follows is the shared channel
				s.on(step, func(r *request) {
					if n++; n == 2 {
						r.refuse(amqp.ResourceLocked)
						return
					}
					r.answer()
				})
				r.refuse(amqp.AccessRefused)
			})
			if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
				t.Errorf("%s: %v", step, err)
			}
			wantSent(t, s, "1", "1")
		})
	}
}

func TestPublishNeedsIDs(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		if err := c.Publish(t.Context(), Message{ID: "1"}, Message{}); !errors.Is(err, ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
		wantSent(t, s)
	})
}

// Nothing but the message is left to be the cause after the third time.
func TestPublishGivesUpOnAMessageThatKeepsClosingTheConnection(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(r *request) { r.abort(amqp.SyntaxError) })
		err := c.Publish(t.Context(), Message{ID: "poison"})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("got %v, want ErrInvalid", err)
		}
		wantSent(t, s, "poison", "poison", "poison")
		s.on("basic.publish", nil)
		if err := c.Publish(t.Context(), Message{ID: "good"}); err != nil {
			t.Errorf("the next message: %v", err)
		}
	})
}

func TestPublishOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*request){
		"cut":     func(r *request) { r.peer.cut() },
		"forced":  func(r *request) { r.abort(amqp.ConnectionForced) },
		"silent":  func(r *request) { r.peer.silence() },
		"stalled": func(r *request) { r.peer.stall() },
	}
	for name, end := range ends {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			s.first(5, "basic.publish", end)
			if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			wantSent(t, s, "1", "1", "1", "1", "1", "1")
			if st := c.Status().Publish; st.Generation != 6 {
				t.Errorf("%s: got %+v, want the sixth connection", name, st)
			}
		})
	}
}

func TestPublishWaitsWhileTheServerIsBlocked(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.peer().block("low on disk")
		synctest.Wait()
		if st := c.Status(); st.Ready() || st.Publish.Blocked != "low on disk" {
			t.Errorf("got %+v, want it blocked", st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Publish(ctx, Message{ID: "late"})
		if !errors.Is(err, ErrBlocked) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "low on disk") {
			t.Errorf("got %v, want ErrBlocked with the reason and the deadline", err)
		}
		done := publishing(t.Context(), c, Message{ID: "in time"})
		s.peer().unblock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		wantSent(t, s, "in time")
		if !c.Status().Ready() {
			t.Errorf("got %+v, want it ready", c.Status())
		}
	})
}

func TestPublishKeepsToTheWindow(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(*request) {})
		done := publishing(t.Context(), c, numberedMessages(window+10)...)
		if n := len(sentIDs(s)); n != window {
			t.Errorf("%d messages were sent without a confirm, want %d", n, window)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Publish(ctx, Message{ID: "another"}); !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "1024 messages are waiting") {
			t.Errorf("got %v, want that the window is full", err)
		}
		s.on("basic.publish", nil)
		for _, r := range s.seen("basic.publish") {
			r.ack()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := len(sentIDs(s)); n != window+10 {
			t.Errorf("%d messages were sent, want %d", n, window+10)
		}
	})
}

// What was sent may arrive: that is said. Its place in the window is free only when the
// answer has come, and a return that comes with it is nobody else's.
func TestPublishWhoseContextEndsLeavesItsConfirmsToTheConn(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(*request) {})
		ctx, cancel := context.WithCancelCause(t.Context())
		done := publishing(ctx, c, numberedMessages(3)...)
		cancel(errCut)
		err := <-done
		if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, errCut) {
			t.Errorf("got %v, want ErrUnconfirmed and the context's cause", err)
		}
		wantFailures(t, err, "0", "1", "2")
		synctest.Wait()
		if n := len(c.pubs.shared.slots); n != 3 {
			t.Errorf("%d slots are taken, want 3", n)
		}
		for _, r := range s.seen("basic.publish") {
			r.bounce()
			r.ack()
		}
		synctest.Wait()
		pc := c.pubs.shared.current
		if n := len(c.pubs.shared.slots); n != 0 || len(pc.returns) != 0 || pc.unclaimed.Load() != 0 {
			t.Errorf("%d slots are taken and %d returns unclaimed, want none", n, pc.unclaimed.Load())
		}
	})
}

// A second copy that nobody takes says nothing of the first.
func TestPublishInDoubtSaysSo(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.first(1, "basic.publish", func(r *request) {
			s.setDown(true)
			r.peer.cut()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := c.Publish(ctx, Message{ID: "1"})
		if !errors.Is(err, ErrUnconfirmed) || !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ErrUnconfirmed, ErrNotConnected and the deadline", err)
		}
	})
}

func TestPublishTriesAgainToOpenItsChannel(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"channel.open", "confirm.select"} {
		withServer(t, func(t *testing.T, s *server, c *Conn) {
			refuse := func(r *request) { r.refuse(amqp.ResourceLocked) }
			s.first(3, step, refuse)
			if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
				t.Errorf("%s: %v", step, err)
			}
			wantSent(t, s, "1")
			s.on(step, refuse)
			s.peer().cut()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Publish(ctx, Message{ID: "2"}); !errors.Is(err, ErrNotConnected) || !strings.Contains(err.Error(), "scripted") {
				t.Errorf("%s: got %v, want ErrNotConnected and the server's words", step, err)
			}
			if n := len(s.seen(step)); n > 30 {
				t.Errorf("%s: %d tries within a minute, want ever longer pauses between them", step, n)
			}
		})
	}
}

// The library does not notice a broken socket before it has written to it.
func TestPublishOverABrokenSocket(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		if err := c.Publish(t.Context(), Message{ID: "1"}); err != nil {
			t.Fatal(err)
		}
		broken := c.pubs.shared.current.gen.socket
		broken.mu.Lock()
		broken.err = errCut
		broken.mu.Unlock()
		if err := c.Publish(t.Context(), Message{ID: "2"}); err != nil {
			t.Error(err)
		}
		wantSent(t, s, "1", "2")
	})
}

func TestPublishEndsWithTheConn(t *testing.T) {
	t.Parallel()
	withServer(t, func(t *testing.T, s *server, c *Conn) {
		s.on("basic.publish", func(*request) {})
		done := publishing(t.Context(), c, Message{ID: "1"})
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) || !errors.Is(err, ErrUnconfirmed) {
			t.Errorf("got %v, want ErrClosed and ErrUnconfirmed", err)
		}
	})
}
