package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

func TestCallReturnsWhatTheHandlerDoes(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		f := newFake()
		s, _ := serve(t, f, render, func(_ context.Context, a args) (result, error) {
			return result{strings.Repeat("x", a.N)}, nil
		})
		c := newClient(t, f.conn(), cfg)
		for n := range 3 {
			got, err := render.Call(t.Context(), c, args{n})
			if err != nil || len(got.Text) != n {
				t.Errorf("got %+v, %v, want %d bytes", got, err, n)
			}
		}
		wantIdle(t, c, 0)
		wantStats(t, s, rpc.ServerStats{Answered: 3})
		if got := strings.Join(f.verdicts(), " "); got != "ack ack ack" {
			t.Errorf("answers are %q, want three acks", got)
		}
	})
}

func TestConcurrentCallsGetTheirOwnReplies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, render, func(_ context.Context, a args) (result, error) {
			time.Sleep(time.Duration(100-a.N) * time.Millisecond) // the last is the first
			return result{fmt.Sprint(a.N)}, nil
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		var wg sync.WaitGroup
		for n := range 100 {
			wg.Go(func() {
				if got, err := render.Call(t.Context(), c, args{n}); err != nil || got.Text != fmt.Sprint(n) {
					t.Errorf("call %d: got %+v, %v", n, got, err)
				}
			})
		}
		wg.Wait()
		wantIdle(t, c, 0)
	})
}

func TestDeadlineTravels(t *testing.T) {
	t.Parallel()
	short := rpc.Define[args, result]("pdf.render", rpc.Timeout(7*time.Second))
	long := rpc.Define[args, result]("pdf.render", rpc.Timeout(50*24*time.Hour))
	tests := []struct {
		name   string
		method rpc.Method[args, result]
		ctx    time.Duration // zero: the context has no deadline
		want   time.Duration
	}{
		{"the context's", render, 5 * time.Second, 5 * time.Second},
		{"the default", render, 0, rpc.DefaultTimeout},
		{"the method's", short, 0, 7 * time.Second},
		{"a context's that is later than the method's", short, 20 * time.Minute, 20 * time.Minute},
		{"40 days", long, 40 * 24 * time.Hour, 40 * 24 * time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, causes := newFake(), make(chan error, 1)
				var deadline time.Time
				s, _ := serve(t, f, test.method, func(ctx context.Context, a args) (result, error) {
					deadline, _ = ctx.Deadline()
					return hang(causes)(ctx, a)
				})
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				ctx, began := t.Context(), time.Now()
				if test.ctx > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.ctx)
					defer cancel()
				}
				_, err := test.method.Call(ctx, c, args{})
				wantErr(t, err, context.DeadlineExceeded)
				took(t, began, test.want)
				if cause := <-causes; !errors.Is(cause, context.DeadlineExceeded) && !errors.Is(cause, rpc.ErrCallerGone) {
					t.Errorf("the handler's context ended by %v, want its deadline or the caller's word", cause)
				}
				took(t, began, test.want)
				if got := deadline.Sub(began); got != test.want {
					t.Errorf("the handler had %v, want %v", got, test.want)
				}
				m := f.sentTo("pdf.render")[0]
				if m.AppID != "errand" || !m.Timestamp.Equal(began) || len(m.Headers) > 0 {
					t.Errorf("app_id is %q, timestamp %v and headers %v, want errand, %v and none", m.AppID, m.Timestamp, m.Headers, began)
				}
				if m.Expiration != test.want {
					t.Errorf("expiration is %v, want %v", m.Expiration, test.want)
				}
				wantIdle(t, c, 0)
				if got := s.Stats(); got.Failed+got.Cancelled != 1 || got.Running != 0 {
					t.Errorf("server's stats are %+v, want one failed or cancelled", got)
				}
				if got := f.sentTo(m.ReplyTo); len(got) != 1 || got[0].Headers["errand-reply"] != "started" {
					t.Errorf("%+v was sent to the caller, want only the note that it runs", got)
				}
			})
		})
	}
}

func TestCancelReachesTheHandler(t *testing.T) {
	t.Parallel()
	errBored := errors.New("bored")
	tests := []struct {
		name       string
		after, end time.Duration
	}{
		{"at the start", 0, 50 * time.Millisecond}, // the server is not known before
		{"just before the server is known", 49 * time.Millisecond, 50 * time.Millisecond},
		{"just after", 51 * time.Millisecond, 51 * time.Millisecond},
		{"later", 10 * time.Second, 10 * time.Second},
	}
	for _, test := range tests {
		for _, direct := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, direct=%v", test.name, direct), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f, causes := newFake(), make(chan error, 1)
					s, _ := serve(t, f, render, hang(causes))
					c := newClient(t, f.conn(), rpc.ClientConfig{DirectReplyTo: direct})
					ctx, cancel := context.WithCancelCause(t.Context())
					began, done := time.Now(), make(chan error, 1)
					go func() { _, err := render.Call(ctx, c, args{}); done <- err }()
					synctest.Wait()
					time.Sleep(test.after)
					cancel(errBored)
					err := <-done
					took(t, began, test.after)
					wantErr(t, err, context.Canceled)
					wantErr(t, err, errBored)
					wantErr(t, <-causes, rpc.ErrCallerGone)
					took(t, began, test.end)
					wantIdle(t, c, 0)
					wantStats(t, s, rpc.ServerStats{Cancelled: 1})
					if got := strings.Join(f.verdicts(), " "); got != "ack" {
						t.Errorf("answers are %q, want one ack", got)
					}
				})
			})
		}
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, render, text(""))
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := render.Call(ctx, c, args{})
		wantErr(t, err, context.Canceled)
		ctx, cancel = context.WithTimeout(t.Context(), -time.Second)
		defer cancel()
		_, err = render.Call(ctx, c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		if got := f.sent(); len(got) > 0 {
			t.Errorf("%d messages were sent, want none", len(got))
		}
	})
}

func TestNoServerIsToldAtOnce(t *testing.T) {
	bothWays(t, func(t *testing.T, cfg rpc.ClientConfig) {
		f := newFake()
		c := newClient(t, f.conn(), cfg)
		began := time.Now()
		for _, m := range []rpc.Method[args, result]{render, lookup} {
			_, err := m.Call(t.Context(), c, args{})
			wantErr(t, err, rpc.ErrNoServer)
		}
		for _, err := range pages.Call(t.Context(), c, args{}) {
			wantErr(t, err, rpc.ErrNoServer)
		}
		took(t, began, 0)
		wantIdle(t, c, 0)
	})
}

func TestCallWaitsForAConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, conn := newFake(), (*fakeConn)(nil)
		serve(t, f, render, text("a"))
		conn = f.conn()
		up := conn.down()
		c := newClient(t, conn, rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := render.Call(ctx, c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		if err != nil && !strings.Contains(err.Error(), "no connection") {
			t.Errorf("got %q, want it to say that there was no connection", err)
		}
		took(t, began, 3*time.Second)
		time.AfterFunc(time.Second, up)
		wantCall(t, c, render, "a")
		took(t, began, 4*time.Second)
	})
}

func TestCallWhileTheBrokerIsBlocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, render, text("a"))
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		synctest.Wait()
		unblock := f.block()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := render.Call(ctx, c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		wantErr(t, err, broker.ErrBlocked)
		took(t, began, 3*time.Second)
		wantIdle(t, c, 0)
		time.AfterFunc(time.Second, unblock)
		wantCall(t, c, render, "a")
		took(t, began, 4*time.Second)
	})
}

func TestCloseEndsWaitingCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, causes := newFake(), make(chan error, 3)
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, hang(causes))
		rpc.Handle(s, lookup, hang(causes))
		rpc.HandleStream(s, pages, func(ctx context.Context, _ args, _ func(int) error) error { <-ctx.Done(); return nil })
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		errs := make(chan error, 3)
		go func() { _, err := render.Call(t.Context(), c, args{}); errs <- err }()
		go func() { _, err := lookup.Call(t.Context(), c, args{}); errs <- err }()
		go func() {
			for _, err := range pages.Call(t.Context(), c, args{}) {
				errs <- err
			}
		}()
		synctest.Wait()
		if got := c.Stats().Waiting; got != 3 {
			t.Errorf("%d calls wait, want 3", got)
		}
		began := time.Now()
		for range 2 {
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
		for range 3 {
			wantErr(t, <-errs, rpc.ErrClosed)
		}
		_, err := render.Call(t.Context(), c, args{})
		wantErr(t, err, rpc.ErrClosed)
		took(t, began, 0)
		wantIdle(t, c, 0)
	})
}

func TestCloseTellsTheServers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, causes := newFake(), make(chan error, 1)
		s, _ := serve(t, f, render, hang(causes))
		c, done := newClient(t, f.conn(), rpc.ClientConfig{}), make(chan error, 1)
		go func() { _, err := render.Call(t.Context(), c, args{}); done <- err }()
		time.Sleep(time.Second) // the server is known by now
		began := time.Now()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantErr(t, <-done, rpc.ErrClosed)
		wantErr(t, <-causes, rpc.ErrCallerGone)
		took(t, began, 0)
		wantStats(t, s, rpc.ServerStats{Cancelled: 1})
	})
}

// TestGivingUpDoesNotWaitForABlockedBroker: not even to tell the server.
func TestGivingUpDoesNotWaitForABlockedBroker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.Handle(s, render, hang(make(chan error, 1)))
		rpc.HandleStream(s, pages, count)
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := render.Call(ctx, c, args{}); done <- err }()
		time.Sleep(time.Second)
		unblock, began := func() {}, time.Now()
		for range pages.Call(t.Context(), c, args{1000}) {
			synctest.Wait()
			unblock = f.block()
			break
		}
		cancel()
		wantErr(t, <-done, context.Canceled)
		took(t, began, 0)
		wantIdle(t, c, 0)
		unblock()
	})
}

func TestClosedWithoutAConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn := newFake().conn()
		conn.down()
		c := newClient(t, conn, rpc.ClientConfig{})
		errs := make(chan error, 1)
		go func() { _, err := render.Call(t.Context(), c, args{}); errs <- err }()
		synctest.Wait()
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantErr(t, <-errs, rpc.ErrClosed)
	})
}

func TestClientOfAClosedBroker(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn := newFake().conn()
		c := newClient(t, conn, rpc.ClientConfig{})
		synctest.Wait()
		conn.close()
		began := time.Now()
		_, err := render.Call(t.Context(), c, args{})
		wantErr(t, err, rpc.ErrClosed)
		took(t, began, 0)
	})
}

func TestClientThatMayNotConsume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		conn, errRefused := newFake().conn(), errors.New("access refused")
		conn.onConverse = func(broker.Subscription) error { return errRefused }
		c := newClient(t, conn, rpc.ClientConfig{})
		began := time.Now()
		_, err := render.Call(t.Context(), c, args{})
		wantErr(t, err, errRefused)
		took(t, began, 0)
	})
}

func TestRequestThatCannotBeSent(t *testing.T) {
	t.Parallel()
	unwritable := rpc.Define[chan int, result]("unwritable")
	large := rpc.Define[string, result]("large")
	header := func(name string, value any) rpc.Middleware {
		return func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				r.Headers = map[string]any{name: value}
				return next(ctx, r)
			}
		}
	}
	call := func(ctx context.Context, c *rpc.Client) error { _, err := render.Call(ctx, c, args{}); return err }
	tests := []struct {
		name string
		ms   []rpc.Middleware
		call func(context.Context, *rpc.Client) error
		want error
	}{
		{"a value without JSON", nil, func(ctx context.Context, c *rpc.Client) error {
			_, err := unwritable.Call(ctx, c, nil)
			return err
		}, rpc.ErrInvalid},
		{"too large", nil, func(ctx context.Context, c *rpc.Client) error {
			_, err := large.Call(ctx, c, strings.Repeat("x", fakeMaxBody))
			return err
		}, broker.ErrTooLarge},
		{"a header of errand's", []rpc.Middleware{header("errand-credit", int64(1))}, call, rpc.ErrInvalid},
		{"CC", []rpc.Middleware{header("CC", "jobs")}, call, rpc.ErrInvalid},
		{"BCC", []rpc.Middleware{header("BCC", "jobs")}, call, rpc.ErrInvalid},
		{"a value that AMQP has not", []rpc.Middleware{header("x", struct{}{})}, call, broker.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: test.ms})
				began := time.Now()
				wantErr(t, test.call(t.Context(), c), test.want)
				took(t, began, 0)
				if got := f.sent(); len(got) > 0 {
					t.Errorf("%d messages were sent, want none", len(got))
				}
				wantIdle(t, c, 0)
			})
		})
	}
}

func TestResponseThatDoesNotDecode(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		server := f.peer(t, "pdf.render")
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		for _, reply := range []broker.Message{{Body: []byte(`{`)}, {Body: []byte(`{}`), ContentType: "text/html"}, {}} {
			go func() {
				in := server.receive(t)
				reply.Key, reply.CorrelationID = in.ReplyTo, in.CorrelationID
				server.send(t, reply)
			}()
			_, err := render.Call(t.Context(), c, args{})
			if err == nil || !strings.Contains(err.Error(), "the response") {
				t.Errorf("got %v of body %q, want an error about the response", err, reply.Body)
			}
		}
		wantIdle(t, c, 0)
	})
}

func TestLateDuplicateAndForeignRepliesAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		server := f.peer(t, "pdf.render")
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		reply := func(in *broker.Delivery, id string) {
			server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: id, Body: []byte(`{"text":"a"}`)})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := render.Call(ctx, c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		late := server.receive(t)
		reply(late, late.CorrelationID)
		reply(late, "foreign")
		reply(late, "")
		wantIdle(t, c, 3)
		go func() {
			in := server.receive(t)
			reply(in, in.CorrelationID+"x")
			reply(in, in.CorrelationID)
			reply(in, in.CorrelationID)
		}()
		wantCall(t, c, render, "a")
		wantIdle(t, c, 5)
		// A note that a call runs is no reply.
		server.send(t, broker.Message{Key: late.ReplyTo, CorrelationID: late.CorrelationID, Headers: map[string]any{"errand-reply": "started"}})
		wantIdle(t, c, 5)
	})
}

// TestServerThatMakesNoSense: whatever comes in instead of a result, the call ends and leaves
// nothing behind.
func TestServerThatMakesNoSense(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"item", "end", "nonsense"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				server, control := f.peer(t, "pdf.render"), f.peer(t, "")
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				go func() {
					in := server.receive(t)
					server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: in.CorrelationID, Body: []byte(`{}`), Headers: map[string]any{
						"errand-reply": kind, "errand-seq": int64(1), "errand-control": control.Queue(),
					}})
				}()
				began := time.Now()
				_, err := render.Call(t.Context(), c, args{})
				wantCode(t, err, rpc.Internal)
				took(t, began, 0)
				wantIdle(t, c, 0)
				if kind == "item" { // it goes on, unless it is told
					if got := control.receive(t).Type; got != "errand-cancel" {
						t.Errorf("the server was told %q, want errand-cancel", got)
					}
				}
			})
		})
	}
}

func TestControlThatIsNoReplyQueueIsNeverUsed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		f.declare("jobs")
		server := f.peer(t, "pdf.render")
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			in := server.receive(t)
			for _, id := range []string{in.CorrelationID, "stray"} {
				server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: id, Headers: map[string]any{
					"errand-reply": "started", "errand-control": "jobs",
				}})
			}
		}()
		_, err := render.Call(ctx, c, args{})
		wantErr(t, err, context.DeadlineExceeded)
		synctest.Wait()
		if got := f.sentTo("jobs"); len(got) > 0 {
			t.Errorf("%+v was sent to a job queue, want nothing", got)
		}
	})
}

func TestTenThousandCallsLeaveNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const rounds, calls = 20, 500
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Concurrency: calls})
		rpc.Handle(s, render, func(ctx context.Context, a args) (result, error) {
			if a.N%3 == 0 {
				<-ctx.Done()
				return result{}, ctx.Err()
			}
			return result{fmt.Sprint(a.N)}, nil
		})
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		began := time.Now()
		for range rounds {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var wg sync.WaitGroup
			for n := range calls {
				wg.Go(func() {
					got, err := render.Call(ctx, c, args{n})
					switch {
					case n%3 == 0 && !errors.Is(err, context.DeadlineExceeded):
						t.Errorf("call %d: got error %v, want DeadlineExceeded", n, err)
					case n%3 != 0 && (err != nil || got.Text != fmt.Sprint(n)):
						t.Errorf("call %d: got %+v, %v", n, got, err)
					}
				})
			}
			wg.Wait()
			wantIdle(t, c, 0)
		}
		took(t, began, rounds*time.Second)
		const late = rounds * (calls/3 + 1)
		if got := s.Stats(); got.Answered != rounds*calls-late || got.Failed+got.Cancelled != late || got.Running != 0 {
			t.Errorf("server's stats are %+v, want %d answered, %d failed or cancelled, nothing running", got, rounds*calls-late, late)
		}
		if got := s.Registered(); got != 0 {
			t.Errorf("the server still knows %d calls, want none", got)
		}
	})
}

func TestNewClientWithoutABrokerPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("NewClient(nil) returned, want a panic")
		}
	}()
	rpc.NewClient(nil, rpc.ClientConfig{})
}
