package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/topology"
	amqp "github.com/rabbitmq/amqp091-go"
)

// offline is a Conn that has no connection, and never gets one: nobody listens at its
// endpoint, which is refused at once and so can be tried in a bubble.
func offline() *Conn {
	cfg := Config{Logger: quiet, MaxBody: 100}.withDefaults()
	nobody := []endpoint{{uri: amqp.URI{Scheme: "amqp", Host: "127.0.0.1", Port: 1, Vhost: "/"}}}
	c := &Conn{cfg: cfg}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.publish = newLink("publish", cfg, nobody, c.declareAgain)
	c.consume = newLink("consume", cfg, nobody, c.declareAgain)
	c.consume.status.State = Idle
	c.pubs.init(c)
	return c
}

// failedIDs are those of the messages that err tells of.
func failedIDs(err error) (ids []string) {
	for _, f := range Failures(err) {
		ids = append(ids, f.ID)
	}
	return ids
}

// wantFailures fails the test unless err tells of exactly these messages, in this order.
func wantFailures(t *testing.T, err error, ids ...string) {
	t.Helper()
	if got := failedIDs(err); !slices.Equal(got, ids) {
		t.Errorf("%v tells of %q, want %q", err, got, ids)
	}
}

func TestPublishChecksAllBeforeItSendsAny(t *testing.T) {
	t.Parallel()
	err := offline().Publish(t.Context(), Message{ID: "good"}, Message{ID: "big", Body: make([]byte, 101)}, Message{ID: "odd", Headers: map[string]any{"h": struct{}{}}})
	if !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrInvalid) {
		t.Errorf("got %v, want ErrTooLarge and ErrInvalid", err)
	}
	wantFailures(t, err, "big", "odd")
}

func TestPublishOfNothing(t *testing.T) {
	t.Parallel()
	if err := offline().Publish(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPublishWaitsForAConnectionUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errCut)
		defer cancel()
		began := time.Now()
		err := offline().Publish(ctx, Message{ID: "1"}, Message{ID: "2"})
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %v, want a minute", took)
		}
		if !errors.Is(err, ErrNotConnected) || !errors.Is(err, errCut) || errors.Is(err, ErrUnconfirmed) {
			t.Errorf("got %v, want ErrNotConnected with the context's cause, and no doubt about it", err)
		}
		wantFailures(t, err, "1", "2")
	})
}

func TestPublishOnAClosedConn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := offline()
		done := make(chan error)
		go func() { done <- c.Publish(t.Context(), Message{ID: "1"}) }()
		synctest.Wait()
		c.publish.set(nil, nil, true)
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("the one that waited got %v, want ErrClosed", err)
		}
		if err := c.Publish(t.Context(), Message{ID: "2"}); !errors.Is(err, ErrClosed) {
			t.Errorf("a later one got %v, want ErrClosed", err)
		}
		if err := c.Declare(t.Context(), topology.Base("")); !errors.Is(err, ErrClosed) {
			t.Errorf("Declare got %v, want ErrClosed", err)
		}
	})
}

func TestPublishWaitsForRoomInTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := offline()
		for range window {
			c.pubs.shared.slots <- struct{}{}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b := batch{p: &c.pubs, ctx: ctx}
		done := make(chan error)
		go func() { done <- b.takeSlot(c.pubs.shared) }()
		synctest.Wait()
		<-c.pubs.shared.slots
		if err := <-done; err != nil {
			t.Errorf("a free slot: got %v", err)
		}
		if err := b.takeSlot(c.pubs.shared); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no free slot: got %v, want the end of the context", err)
		}
	})
}

// What a message's fate is when the channel or the connection died before its answer.
func TestLostMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		errs   []error // of one connection after the other
		again  int
		alone  int
		failed error
	}{
		{"connection died", []error{errCut, errCut, errCut, errCut}, 4, 0, nil},
		{"library's own word for it", []error{&amqp.Error{Code: amqp.FrameError}}, 1, 0, nil},
		{"4.3 knows where to route it, and not yet the queue", []error{fromServer(amqp.ResourceError), fromServer(amqp.ResourceError), fromServer(amqp.ResourceError)}, 3, 0, nil},
		{"channel closed over one of several", []error{fromServer(amqp.NotFound)}, 0, 1, nil},
		{"protocol error, twice", []error{fromServer(amqp.SyntaxError), fromServer(amqp.FrameError)}, 2, 0, nil},
		{"protocol error after cuts that were no fault of it", []error{errCut, errCut, errCut, fromServer(amqp.SyntaxError)}, 4, 0, nil},
		{"protocol error, a third time", []error{fromServer(amqp.SyntaxError), fromServer(amqp.SyntaxError), fromServer(amqp.SyntaxError)}, 2, 0, ErrInvalid},
	}
	for _, test := range tests {
		b := batch{p: &offline().pubs, ctx: t.Context()}
		m := &Message{ID: "1"}
		for _, err := range test.errs {
			b.lost(m, err)
		}
		if len(b.again) != test.again || len(b.alone) != test.alone || !errors.Is(errors.Join(b.errs...), test.failed) {
			t.Errorf("%s: again %d, alone %d, %v, want %d, %d, %v", test.name, len(b.again), len(b.alone), b.errs, test.again, test.alone, test.failed)
		}
	}
}

// A message that was in flight when a connection died may have arrived: giving up on it
// must say so, and giving up on one that was never sent must not.
func TestGivingUpSaysWhetherItMayHaveArrived(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errCut)
	sent, unsent := &Message{ID: "sent"}, &Message{ID: "unsent"}
	b := batch{p: &offline().pubs, ctx: ctx}
	b.lost(sent, errCut)
	b.todo = []*Message{sent, unsent}
	b.giveUpAll(ErrNacked)
	for _, f := range Failures(errors.Join(b.errs...)) {
		if got := errors.Is(f, ErrUnconfirmed); got != (f.ID == "sent") || !errors.Is(f, ErrNacked) || !errors.Is(f, errCut) {
			t.Errorf("%s: got %v, want ErrUnconfirmed for the one that was sent", f.ID, f)
		}
	}
	wantFailures(t, errors.Join(b.errs...), "sent", "unsent")
}

// The same where the server returns the second copy: the queue may have been deleted after
// it took the first.
func TestReturnOfASecondCopySaysThatTheFirstMayHaveArrived(t *testing.T) {
	t.Parallel()
	for _, resent := range []bool{false, true} {
		b := batch{p: &offline().pubs, ctx: t.Context()}
		m := &Message{ID: "1", Exchange: "x", Key: "k"}
		if resent {
			b.lost(m, errCut)
		}
		pc, c := &pubChannel{}, &confirm{}
		pc.returned(*m, 312, "NO_ROUTE")
		c.settle(acked)
		b.sort(m, pc, c)
		if err := errors.Join(b.errs...); !errors.Is(err, ErrUnroutable) || errors.Is(err, ErrUnconfirmed) != resent {
			t.Errorf("resent %v: got %v, want ErrUnroutable, with ErrUnconfirmed only if it was sent before", resent, err)
		}
	}
}

func TestCulprit(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]error{
		amqp.NotFound: ErrUnroutable, amqp.PreconditionFailed: ErrTooLarge, amqp.ContentTooLarge: ErrTooLarge, amqp.AccessRefused: ErrForbidden,
	} {
		if err := culprit(fromServer(code)); !errors.Is(err, want) {
			t.Errorf("code %d: got %v, want %v", code, err, want)
		}
	}
}

func TestReturnsAreClaimedByTheirSenders(t *testing.T) {
	t.Parallel()
	pc := &pubChannel{}
	a, b := &Message{ID: "a", Exchange: "x", Key: "k"}, &Message{ID: "b", Exchange: "x", Key: "k"}
	elsewhere := &Message{ID: "a", Exchange: "x", Key: "other"}
	if err := pc.takeReturn(a); err != nil {
		t.Errorf("nothing was returned: got %v", err)
	}
	for _, m := range []*Message{a, b} {
		pc.returned(*m, 312, "NO_ROUTE")
	}
	if err := pc.takeReturn(elsewhere); err != nil {
		t.Errorf("the same ID with another key: got %v, want nil", err)
	}
	for _, m := range []*Message{b, a} {
		if err := pc.takeReturn(m); !errors.Is(err, ErrUnroutable) || !strings.Contains(err.Error(), "312 NO_ROUTE") {
			t.Errorf("%s: got %v, want ErrUnroutable with the server's words", m.ID, err)
		}
		if err := pc.takeReturn(m); err != nil {
			t.Errorf("%s, the second time: got %v, want nil", m.ID, err)
		}
	}
	if n := pc.unclaimed.Load(); n != 0 || len(pc.returns) != 0 {
		t.Errorf("%d returns are unclaimed", n)
	}
}

func TestBackgroundWorkIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := offline()
		release, ran := make(chan struct{}), false
		c.background(func() { <-release; ran = true })
		done := make(chan error)
		go func() { done <- c.Close() }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("Close did not wait")
		default:
		}
		close(release)
		if err := <-done; err != nil || !ran {
			t.Errorf("Close: %v, ran %v", err, ran)
		}
		late := false
		c.background(func() { late = true })
		if !late {
			t.Error("after Close it was not run by its caller")
		}
		if err := c.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}
