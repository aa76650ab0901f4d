package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// stream starts a server of pages and feed on a connection of its own.
func stream(t *testing.T, f *fakeBroker, fn func(context.Context, args, func(int) error) error) (*rpc.Server, *fakeConn) {
	t.Helper()
	conn := f.conn()
	s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet})
	rpc.HandleStream(s, pages, fn)
	rpc.HandleStream(s, feed, fn)
	start(t, s)
	return s, conn
}

// count sends the numbers from 1 to a.N.
func count(_ context.Context, a args, send func(int) error) error {
	for i := range a.N {
		if err := send(i + 1); err != nil {
			return err
		}
	}
	return nil
}

// collect ranges over a stream to its end.
func collect(ctx context.Context, c *rpc.Client, s rpc.Stream[args, int], n int) (items []int, err error) {
	for item, e := range s.Call(ctx, c, args{n}) {
		if e != nil {
			return items, errors.Join(e, err)
		}
		items = append(items, item)
	}
	return items, nil
}

// upTo are the numbers from 1 to n.
func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i+1)
	}
	return all
}

func TestStreamKeepsItsOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 15, 16, 17, 31, 32, 33, 34, 1000} {
		t.Run(fmt.Sprint(n, " items"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, _ := stream(t, f, count)
				for _, direct := range []bool{false, true} {
					c := newClient(t, f.conn(), rpc.ClientConfig{DirectReplyTo: direct})
					began := time.Now()
					got, err := collect(t.Context(), c, pages, n)
					if err != nil || !slices.Equal(got, upTo(n)) {
						t.Errorf("direct=%v: got %v, %v, want 1 to %d", direct, got, err, n)
					}
					took(t, began, 0)
					wantIdle(t, c, 0)
				}
				wantStats(t, s, rpc.ServerStats{Answered: 2})
			})
		})
	}
}

func TestStreamIsRunAnewByEachLoop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s, _ := stream(t, f, count)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		seq := pages.Call(t.Context(), c, args{3})
		for range 2 {
			var got []int
			for item, err := range seq {
				wantErr(t, err, nil)
				got = append(got, item)
			}
			if !slices.Equal(got, upTo(3)) {
				t.Errorf("got %v, want 1 to 3", got)
			}
		}
		wantStats(t, s, rpc.ServerStats{Answered: 2})
	})
}

func TestStreamErrorComesAfterItsItems(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s, _ := stream(t, f, func(_ context.Context, _ args, send func(int) error) error {
			return errors.Join(send(7), send(8), rpc.Errorf(rpc.NotFound, "page 9 is torn out"))
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		got, err := collect(t.Context(), c, pages, 0)
		if e := wantCode(t, err, rpc.NotFound); e.Message != "page 9 is torn out" || !slices.Equal(got, []int{7, 8}) {
			t.Errorf("got %v and message %q, want 7, 8 and the handler's own", got, e.Message)
		}
		wantIdle(t, c, 0)
		wantStats(t, s, rpc.ServerStats{Failed: 1})
	})
}

func TestCallerThatLeavesStopsTheServer(t *testing.T) {
	t.Parallel()
	forgiving := func(next rpc.Handler) rpc.Handler { // the caller must not hear of it all the same
		return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
			if _, err := next(ctx, r); err != nil {
				return rpc.Response{}, errors.New("other")
			}
			return rpc.Response{}, errors.New("no error")
		}
	}
	for _, ms := range [][]rpc.Middleware{nil, {forgiving}} {
		for _, leave := range []int{1, 2, 20} {
			t.Run(fmt.Sprintf("after %d, %d middleware", leave, len(ms)), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					f, ended := newFake(), make(chan error, 1)
					s, _ := stream(t, f, func(ctx context.Context, _ args, send func(int) error) (err error) {
						for i := 0; err == nil; i++ {
							err = send(i)
						}
						ended <- context.Cause(ctx)
						return err
					})
					c := newClient(t, f.conn(), rpc.ClientConfig{Middleware: ms})
					began, n := time.Now(), 0
					for _, err := range pages.Call(t.Context(), c, args{}) {
						wantErr(t, err, nil)
						if n++; n == leave {
							break
						}
					}
					wantErr(t, <-ended, rpc.ErrCallerGone)
					took(t, began, 0)
					synctest.Wait()
					if got := c.Stats().Waiting; got != 0 {
						t.Errorf("%d calls wait, want none", got)
					}
					wantStats(t, s, rpc.ServerStats{Cancelled: 1})
				})
			})
		}
	}
}

func TestSlowCallerHoldsBackTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, sent := newFake(), make(chan int, 1000)
		stream(t, f, func(_ context.Context, a args, send func(int) error) error {
			for i := range a.N {
				if err := send(i + 1); err != nil {
					return err
				}
				sent <- i + 1
			}
			return nil
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		taken, most := 0, 0
		for _, err := range pages.Call(ctx, c, args{200}) {
			wantErr(t, err, nil)
			time.Sleep(time.Second)
			synctest.Wait()
			most = max(most, len(sent)-taken)
			taken++
		}
		if taken != 200 || most > 32 || most < 16 {
			t.Errorf("took %d items, the server was up to %d ahead, want 200 and 16 to 32", taken, most)
		}
	})
}

func TestStreamEndsWithItsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, ended := newFake(), make(chan error, 1)
		stream(t, f, func(ctx context.Context, _ args, send func(int) error) error {
			err := errors.Join(send(1), send(2))
			<-ctx.Done()
			ended <- errors.Join(err, send(3))
			return ctx.Err()
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		got, err := collect(ctx, c, pages, 0)
		wantErr(t, err, context.DeadlineExceeded)
		took(t, began, 5*time.Second)
		if len(got) != 2 {
			t.Errorf("got %v, want two items", got)
		}
		if err := <-ended; err == nil {
			t.Error("send after the deadline returned nil, want an error")
		}
		wantIdle(t, c, 0)
	})
}

func TestSendHeedsTheHandlersContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, conn := newFake(), (*fakeConn)(nil)
		conn = f.conn()
		errTired := errors.New("tired")
		impatient := func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, r rpc.Request) (rpc.Response, error) {
				ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errTired)
				defer cancel()
				return next(ctx, r)
			}
		}
		s := rpc.NewServer(conn, rpc.ServerConfig{Logger: quiet, Middleware: []rpc.Middleware{impatient}})
		ended, began := make(chan error, 1), time.Now()
		rpc.HandleStream(s, pages, func(_ context.Context, _ args, send func(int) error) (err error) {
			for err == nil {
				err = send(1)
			}
			ended <- err
			took(t, began, 2*time.Second)
			return err
		})
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		for _, err := range pages.Call(t.Context(), c, args{}) {
			if err != nil {
				wantErr(t, err, context.DeadlineExceeded)
				break
			}
			time.Sleep(time.Second) // too slow for a server with two seconds
		}
		wantErr(t, <-ended, errTired)
	})
}

func TestStreamThatMakesNoSense(t *testing.T) {
	t.Parallel()
	type part struct {
		kind string
		seq  any
		body string
	}
	item := func(seq int64) part { return part{"item", seq, fmt.Sprint(seq)} }
	flood := []part{}
	for i := range int64(100) {
		flood = append(flood, item(i+1))
	}
	flood = append(flood, part{"end", int64(100), ""})
	tests := []struct {
		name   string
		parts  []part
		items  int
		want   error    // nil if code is set, or for none
		code   rpc.Code // of the error
		cancel bool     // the server is told
	}{
		{"empty", []part{{"end", int64(0), ""}}, 0, nil, "", false},
		{"end without a number", []part{{"end", nil, ""}}, 0, nil, "", false},
		{"numbers of 32 bits", []part{{"item", int32(1), "1"}, {"end", int32(1), ""}}, 1, nil, "", false},
		{"gap", []part{item(1), item(3)}, 1, rpc.ErrInterrupted, "", true},
		{"first missing", []part{item(2)}, 0, rpc.ErrInterrupted, "", true},
		{"last missing", []part{item(1), {"end", int64(2), ""}}, 1, rpc.ErrInterrupted, "", false},
		{"several missing at the end", []part{item(1), {"end", int64(5), ""}}, 1, rpc.ErrInterrupted, "", false},
		{"all missing", []part{{"end", int64(1), ""}}, 0, rpc.ErrInterrupted, "", false},
		{"end too early", []part{item(1), item(2), {"end", int64(1), ""}}, 2, rpc.ErrInterrupted, "", false},
		{"duplicate", []part{item(1), item(1)}, 1, rpc.ErrInterrupted, "", true},
		{"no number", []part{{"item", nil, "1"}}, 0, rpc.ErrInterrupted, "", true},
		{"text for a number", []part{{"item", "1", "1"}}, 0, rpc.ErrInterrupted, "", true},
		{"negative number", []part{item(-1)}, 0, rpc.ErrInterrupted, "", true},
		{"unknown kind", []part{{"nonsense", int64(1), "1"}}, 0, rpc.ErrInterrupted, "", false},
		{"single reply", []part{{"", nil, "1"}}, 0, nil, rpc.Internal, false},
		{"item that does not decode", []part{{"item", int64(1), "{"}, item(2)}, 0, nil, "", true},
		{"started twice", []part{{"started", nil, ""}, {"started", nil, ""}, item(1), {"end", int64(1), ""}}, 1, nil, "", false},
		{"more than the caller asked for", flood, 33, nil, rpc.Internal, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				server, control := f.peer(t, "pdf.pages"), f.peer(t, "")
				c := newClient(t, f.conn(), rpc.ClientConfig{})
				began, n := time.Now(), 0
				var last error
				go func() {
					in := server.receive(t)
					for _, p := range test.parts {
						h := map[string]any{"errand-control": control.Queue(), "errand-seq": p.seq}
						if p.kind != "" {
							h["errand-reply"] = p.kind
						}
						server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: in.CorrelationID, Body: []byte(p.body), Headers: h})
					}
				}()
				for _, err := range pages.Call(t.Context(), c, args{}) {
					if last = err; err == nil {
						n++
						synctest.Wait() // the rest is there
					}
				}
				took(t, began, 0)
				if n != test.items {
					t.Errorf("got %d items, want %d", n, test.items)
				}
				switch {
				case test.code != "":
					wantCode(t, last, test.code)
				case test.name == "item that does not decode":
					if last == nil || !strings.Contains(last.Error(), "an item") {
						t.Errorf("got error %v, want one about an item", last)
					}
				case !errors.Is(last, test.want):
					t.Errorf("got error %v, want %v", last, test.want)
				}
				synctest.Wait()
				if got := c.Stats().Waiting; got != 0 {
					t.Errorf("%d calls wait, want none", got)
				}
				told := slices.ContainsFunc(f.sentTo(control.Queue()), func(m broker.Message) bool { return m.Type == "errand-cancel" })
				if told != test.cancel {
					t.Errorf("the server was told to stop: %v, want %v", told, test.cancel)
				}
			})
		})
	}
}

func TestStreamNeedsACallerThatKnowsTheForm(t *testing.T) {
	t.Parallel()
	credit := func(v any) map[string]any { return map[string]any{"errand-credit": v} }
	const ours, long = "errand", time.Hour
	for name, m := range map[string]broker.Message{
		"nothing":         {},
		"another app":     {AppID: "another", Expiration: long, Headers: credit(int64(8))},
		"no expiration":   {AppID: ours, Headers: credit(int64(8))},
		"no credit":       {AppID: ours, Expiration: long},
		"zero credit":     {AppID: ours, Expiration: long, Headers: credit(int64(0))},
		"negative credit": {AppID: ours, Expiration: long, Headers: credit(int64(-8))},
		"text":            {AppID: ours, Expiration: long, Headers: credit("8")},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, _ := stream(t, f, count)
				p := f.peer(t, "")
				m.Key, m.ReplyTo, m.CorrelationID, m.Body = "pdf.pages", p.Queue(), "1", []byte(`{"n":3}`)
				p.send(t, m)
				in := p.receive(t)
				if got := in.Headers["errand-code"]; got != "invalid_request" {
					t.Errorf("got %+v, want code invalid_request", in.Message)
				}
				wantStats(t, s, rpc.ServerStats{Failed: 1})
				p.silent(t)
			})
		})
	}
}

// TestCredit: what callers say of their credit, whatever it is, does no more than they could
// have by asking for as many items.
func TestCredit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		credit  int64
		credits []any // what is said of the items that were taken
		want    int   // items of 100
	}{
		{"as asked for", 5, nil, 5},
		{"more", 5, []any{int64(5)}, 10},
		{"again", 5, []any{int64(5), int64(5)}, 10},
		{"back", 5, []any{int64(5), int64(1), int64(-1)}, 10},
		{"negative", 5, []any{int64(math.MinInt64)}, 5},
		{"everything", 5, []any{int64(math.MaxInt64)}, 5}, // the sum is none
		{"almost everything", 5, []any{int64(math.MaxInt64 - 5)}, 100},
		{"text", 5, []any{"99", nil, true}, 5},
		{"all at once", math.MaxInt64, nil, 100},
		{"all at once and more", math.MaxInt64, []any{int64(math.MaxInt64)}, 100},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, _ := stream(t, f, count)
				p := f.peer(t, "")
				p.send(t, broker.Message{Key: "pdf.pages", ReplyTo: p.Queue(), CorrelationID: "1", Body: []byte(`{"n":100}`),
					AppID: "errand", Expiration: time.Minute, Headers: map[string]any{"errand-credit": test.credit}})
				control := p.receive(t).Headers["errand-control"].(string)
				for _, seq := range test.credits {
					for _, id := range []string{"1", "2", ""} {
						p.send(t, broker.Message{Key: control, Type: "errand-credit", CorrelationID: id, Headers: map[string]any{"errand-seq": seq}})
						p.send(t, broker.Message{Key: control, Type: "nonsense", CorrelationID: id})
					}
				}
				synctest.Wait()
				got := 0
				for _, m := range f.sentTo(p.Queue()) {
					if m.Headers["errand-reply"] == "item" {
						got++
					}
				}
				if got != test.want {
					t.Errorf("the server sent %d items, want %d", got, test.want)
				}
				p.send(t, broker.Message{Key: control, Type: "errand-cancel", CorrelationID: "1"})
				synctest.Wait()
				if got := s.Stats().Running; got != 0 {
					t.Errorf("%d requests run, want none after the cancel", got)
				}
			})
		})
	}
}

func TestStreamItemThatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		large := rpc.DefineStream[args, any]("large")
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		rpc.HandleStream(s, large, func(_ context.Context, a args, send func(any) error) error {
			if err := send("first"); err != nil {
				return err
			}
			if a.N > 0 {
				return send(make(chan int))
			}
			return send(strings.Repeat("x", fakeMaxBody))
		})
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		for n := range 2 {
			items, last := 0, error(nil)
			for _, err := range large.Call(t.Context(), c, args{n}) {
				if last = err; err == nil {
					items++
				}
			}
			wantCode(t, last, rpc.Internal)
			if items != 1 {
				t.Errorf("got %d items, want 1", items)
			}
		}
		wantIdle(t, c, 0)
		wantStats(t, s, rpc.ServerStats{Failed: 2})
	})
}

func TestStreamThatCannotBeCalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newClient(t, newFake().conn(), rpc.ClientConfig{})
		bad := []rpc.Stream[args, int]{{}, rpc.DefineStream[args, int]("")}
		for _, s := range bad {
			n := 0
			for _, err := range s.Call(t.Context(), c, args{}) {
				wantErr(t, err, rpc.ErrInvalid)
				n++
			}
			if n != 1 {
				t.Errorf("stream %q yielded %d times, want once", s.Name(), n)
			}
		}
	})
}
