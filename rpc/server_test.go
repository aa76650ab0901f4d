package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// slow is a handler that takes d, or less if its context ends, and counts its runs.
func slow(d time.Duration, runs *int, most *int, now *int) func(context.Context, args) (result, error) {
	var mu sync.Mutex
	return func(ctx context.Context, _ args) (result, error) {
		mu.Lock()
		*runs++
		*now++
		*most = max(*most, *now)
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			*now--
		}()
		select {
		case <-time.After(d):
			return result{"done"}, nil
		case <-ctx.Done():
			return result{}, ctx.Err()
		}
	}
}

func TestFullServerLeavesRequestsOnTheQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Concurrency: 2})
		var runs, most, now int
		rpc.Handle(s, render, slow(10*time.Second, &runs, &most, &now))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		errs := make(chan error, 6)
		for range 6 {
			go func() { _, err := render.Call(ctx, c, args{}); errs <- err }()
		}
		synctest.Wait()
		if got := f.depth("pdf.render"); got != 4 || s.Stats().Running != 2 {
			t.Errorf("%d requests wait on the queue and %d run, want 4 and 2", got, s.Stats().Running)
		}
		for i := range 6 {
			err := <-errs
			if i < 2 {
				wantErr(t, err, nil)
			} else {
				wantErr(t, err, context.DeadlineExceeded)
			}
		}
		synctest.Wait()
		if got := f.depth("pdf.render"); got != 0 {
			t.Errorf("%d requests are left on the queue, want none: they have expired", got)
		}
		if runs != 4 || most != 2 {
			t.Errorf("%d requests ran, up to %d at once, want 4 and 2", runs, most)
		}
		wantIdle(t, c, 0)
	})
}

func TestExpiredRequestNeverRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Concurrency: 1, Prefetch: 10})
		var runs, most, now int
		rpc.Handle(s, render, slow(10*time.Second, &runs, &most, &now))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		go func() {
			if _, err := render.Call(t.Context(), c, args{}); err != nil {
				t.Errorf("first call: %v", err)
			}
		}()
		synctest.Wait()
		began := time.Now()
		for _, timeout := range []time.Duration{time.Millisecond, 2 * time.Second, 3 * time.Second} {
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, err := render.Call(ctx, c, args{})
			wantErr(t, err, context.DeadlineExceeded)
		}
		took(t, began, 5*time.Second+time.Millisecond)
		if got := f.depth("pdf.render"); got != 0 {
			t.Errorf("%d requests wait on the queue, want none: the server has them", got)
		}
		time.Sleep(10 * time.Second)
		if runs != 1 {
			t.Errorf("%d requests ran, want one", runs)
		}
		wantStats(t, s, rpc.ServerStats{Answered: 1, Expired: 3})
		wantIdle(t, c, 0)
	})
}

func TestEachQueueHasItsOwnRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet, Concurrency: 1})
		rpc.Handle(s, render, hang(make(chan error, 1)))
		rpc.Handle(s, lookup, text("a"))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := render.Call(ctx, c, args{}); done <- err }()
		synctest.Wait()
		wantCall(t, c, lookup, "a")
		cancel()
		wantErr(t, <-done, context.Canceled)
	})
}

func TestServersShareTheRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		var servers []*rpc.Server
		for range 2 {
			s, _ := serve(t, f, render, func(context.Context, args) (result, error) {
				time.Sleep(time.Second)
				return result{}, nil
			})
			servers = append(servers, s)
		}
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() { wantCall(t, c, render, "") })
		}
		began := time.Now()
		wg.Wait()
		took(t, began, time.Second)
		for _, s := range servers {
			wantStats(t, s, rpc.ServerStats{Answered: 32})
		}
	})
}

// TestForeignCaller: a program that knows nothing of errand sets reply_to, correlation_id
// and a JSON body, and gets the bare value.
func TestForeignCaller(t *testing.T) {
	t.Parallel()
	for _, queue := range []string{"", directReplyTo} {
		t.Run("reply_to "+queue, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				s, _ := serve(t, f, render, func(ctx context.Context, a args) (result, error) {
					time.Sleep(time.Minute / 4) // long enough for a note that it runs
					r, _ := rpc.RequestFrom(ctx)
					if r.Method != "pdf.render" || r.Queue != "pdf.render" {
						t.Errorf("request is %+v, want method and queue pdf.render", r)
					}
					return result{fmt.Sprint(a.N, " ", r.ID)}, nil
				})
				p := f.peer(t, queue)
				for _, method := range []string{"", "pdf.render"} {
					p.send(t, request(method, p.Queue(), "my-id", `{"n":7}`))
					in := p.receive(t)
					if string(in.Body) != `{"text":"7 my-id"}` || in.CorrelationID != "my-id" || in.ContentType != "application/json" {
						t.Errorf("got %+v with body %s, want the bare value as JSON", in.Message, in.Body)
					}
					if len(in.Headers) > 0 {
						t.Errorf("got headers %v, want none", in.Headers)
					}
				}
				p.send(t, request("", p.Queue(), "", `{"n":8}`)) // not even an ID
				if in := p.receive(t); string(in.Body) != `{"text":"8 "}` || in.CorrelationID != "" {
					t.Errorf("got %+v with body %s, want an answer without an ID", in.Message, in.Body)
				}
				p.silent(t)
				wantStats(t, s, rpc.ServerStats{Answered: 3})
			})
		})
	}
}

func TestForeignCallersDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, causes := newFake(), make(chan error, 1)
		serve(t, f, render, hang(causes))
		p := f.peer(t, "")
		for _, expiration := range []time.Duration{3 * time.Second, 0} {
			m := request("", p.Queue(), "1", `{}`)
			m.Expiration = expiration
			began := time.Now()
			p.send(t, m)
			wantErr(t, <-causes, context.DeadlineExceeded)
			if expiration == 0 {
				expiration = rpc.DefaultTimeout
			}
			took(t, began, expiration)
			in := p.receive(t)
			if in.Headers["errand-code"] != "deadline_exceeded" || !strings.HasPrefix(string(in.Body), `{"code":"deadline_exceeded"`) {
				t.Errorf("got %+v with body %s, want code deadline_exceeded in both", in.Message, in.Body)
			}
		}
		p.silent(t)
	})
}

// TestEarlierDeadlineCounts: callers whose clocks are wrong get no more time than their
// request's expiration says.
func TestEarlierDeadlineCounts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		expiration time.Duration
		timestamp  func(now time.Time) time.Time
		want       time.Duration // negative: it is not run
	}{
		{"sent now", 3 * time.Second, func(now time.Time) time.Time { return now }, 3 * time.Second},
		{"clock ahead", 3 * time.Second, func(now time.Time) time.Time { return now.Add(time.Hour) }, 3 * time.Second},
		{"waited, or clock behind", 10 * time.Second, func(now time.Time) time.Time { return now.Add(-4 * time.Second) }, 6 * time.Second},
		{"in the past", 10 * time.Second, func(now time.Time) time.Time { return now.Add(-10 * time.Second) }, -1},
		{"before 1970", time.Hour, func(time.Time) time.Time { return time.Unix(-1<<40, 0) }, -1},
		{"no timestamp", 3 * time.Second, func(time.Time) time.Time { return time.Time{} }, 3 * time.Second},
		{"longer than RabbitMQ lets a delivery stay", time.Hour, func(now time.Time) time.Time { return now }, 25 * time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, causes := newFake(), make(chan error, 1)
				s, _ := serve(t, f, render, hang(causes))
				p := f.peer(t, "")
				m := request("", p.Queue(), "1", `{}`)
				began := time.Now()
				m.AppID, m.Expiration, m.Timestamp = "errand", test.expiration, test.timestamp(began)
				p.send(t, m)
				if test.want < 0 {
					wantStats(t, s, rpc.ServerStats{Expired: 1})
					p.silent(t)
					return
				}
				wantErr(t, <-causes, context.DeadlineExceeded)
				took(t, began, test.want)
			})
		})
	}
}

func TestRequestWithoutATypeIsForTheOnlyMethod(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: quiet})
		for _, name := range []string{"one", "two"} {
			m := rpc.Define[args, result](name, rpc.Queue("pdf.render"))
			rpc.Handle(s, m, text(name))
		}
		start(t, s)
		p := f.peer(t, "")
		for method, want := range map[string]string{
			"one": `{"text":"one"}`, "two": `{"text":"two"}`,
			"":                       `{"code":"unimplemented","message":"no method \"\" on queue \"pdf.render\""}`,
			"three":                  `{"code":"unimplemented","message":"no method \"three\" on queue \"pdf.render\""}`,
			strings.Repeat("x", 250): `{"code":"unimplemented","message":"no method \"` + strings.Repeat("x", 100) + `\" on queue \"pdf.render\""}`,
		} {
			p.send(t, request(method, p.Queue(), "1", `{}`))
			if got := string(p.receive(t).Body); got != want {
				t.Errorf("method %.20q: got %s, want %s", method, got, want)
			}
		}
		wantStats(t, s, rpc.ServerStats{Answered: 2, Failed: 3})
	})
}

func TestUnknownMethod(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, render, text("a"))
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		newer := rpc.Define[args, result]("pdf.newer", rpc.Queue("pdf.render"))
		_, err := newer.Call(t.Context(), c, args{})
		wantCode(t, err, rpc.Unimplemented)
	})
}

// TestForgedReplyTo: nobody gets the server to write into a queue that is not for replies.
func TestForgedReplyTo(t *testing.T) {
	t.Parallel()
	for _, replyTo := range []string{
		"", "jobs", "pdf.render", "errand", "errand.", "errand.reply", "errand.dead", "amq.gen", "xamq.gen-1", " amq.gen-1",
		"AMQ.GEN-1", "amq.rabbitmq.reply-to", "amq.rabbitmq.trace", "amq.direct", "errand.retry.reply.",
		"amq.gen-" + strings.Repeat("x", 248), "errand.reply." + strings.Repeat("x", 1000), "jobs\x00amq.gen-1",
	} {
		t.Run(fmt.Sprintf("%.30q", replyTo), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				f.declare(replyTo)
				s, _ := serve(t, f, render, func(context.Context, args) (result, error) {
					t.Error("the handler ran, want the request refused")
					return result{}, nil
				})
				f.put("pdf.render", false, request("pdf.render", replyTo, "1", `{}`), request("unknown", replyTo, "2", `{}`))
				f.put("pdf.render", true, request("pdf.render", replyTo, "3", `{`))
				wantStats(t, s, rpc.ServerStats{Refused: 3})
				if got := f.sent(); len(got) > 0 {
					t.Errorf("sent %+v, want nothing", got)
				}
				if got := strings.Join(f.verdicts(), " "); got != "dead-letter dead-letter dead-letter" {
					t.Errorf("answers are %q, want each request rejected once", got)
				}
			})
		})
	}
}

func TestReplyQueues(t *testing.T) {
	t.Parallel()
	for _, replyTo := range []string{"amq.gen-JzTY20BRgKO", "amq.rabbitmq.reply-to.g1h3AWEAAAAAAAAAAAAAAAA=.1", "errand.reply.php-1", "amq.gen-" + strings.Repeat("x", 247)} {
		t.Run(fmt.Sprintf("%.30q", replyTo), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake()
				f.declare(replyTo)
				serve(t, f, render, text("a"))
				f.put("pdf.render", false, request("", replyTo, "1", `{}`))
				synctest.Wait()
				if got := f.sentTo(replyTo); len(got) != 1 || string(got[0].Body) != `{"text":"a"}` {
					t.Errorf("sent %+v, want the result", got)
				}
			})
		})
	}
}

// TestRedelivered: what another server may have run is run again only if that is declared
// harmless, and only until a deadline, in case that it kills its servers.
func TestRedelivered(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method   rpc.Method[args, result]
		deadline bool
		runs     bool
	}{
		{render, true, false}, {render, false, false}, {lookup, true, true}, {lookup, false, false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s, deadline=%v", test.method.Name(), test.deadline), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f, ran := newFake(), false
				s, _ := serve(t, f, test.method, func(ctx context.Context, _ args) (result, error) {
					r, _ := rpc.RequestFrom(ctx)
					ran = r.Redelivered
					return result{}, nil
				})
				p := f.peer(t, "")
				m := request("", p.Queue(), "1", `{}`)
				if test.deadline {
					m.Expiration = time.Second
				}
				f.put(test.method.Name(), true, m)
				in := p.receive(t)
				synctest.Wait()
				code, _ := in.Headers["errand-code"].(string)
				if ran != test.runs || (code == "interrupted") == test.runs {
					t.Errorf("it ran: %v, code %q, want run: %v, or interrupted", ran, code, test.runs)
				}
				want := rpc.ServerStats{Interrupted: 1}
				if test.runs {
					want = rpc.ServerStats{Answered: 1}
				}
				wantStats(t, s, want)
				if got := strings.Join(f.verdicts(), " "); got != "ack" {
					t.Errorf("answers are %q, want an ack", got)
				}
			})
		})
	}
}

func TestReplyThatCannotBeSent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		log, lines := logged()
		s := rpc.NewServer(f.conn(), rpc.ServerConfig{Logger: log})
		rpc.Handle(s, render, text(strings.Repeat("x", fakeMaxBody)))
		start(t, s)
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		began := time.Now()
		_, err := render.Call(t.Context(), c, args{})
		wantCode(t, err, rpc.Internal)
		took(t, began, 0)
		wantStats(t, s, rpc.ServerStats{Failed: 1})
		if !strings.Contains(lines.String(), "too large") {
			t.Errorf("the log is %q, want it to say that the reply is too large", lines)
		}
	})
}

func TestReplyWhileTheBrokerIsBlocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		s, _ := serve(t, f, render, func(context.Context, args) (result, error) {
			time.Sleep(time.Second)
			return result{"a"}, nil
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		began := time.Now()
		time.AfterFunc(500*time.Millisecond, func() {
			unblock := f.block()
			time.AfterFunc(5*time.Second, unblock)
		})
		wantCall(t, c, render, "a")
		took(t, began, 5500*time.Millisecond)
		wantStats(t, s, rpc.ServerStats{Answered: 1})
	})
}

func TestWordsAboutUnknownCallsAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake()
		serve(t, f, render, func(ctx context.Context, _ args) (result, error) {
			time.Sleep(time.Second)
			return result{"a"}, ctx.Err()
		})
		c := newClient(t, f.conn(), rpc.ClientConfig{})
		p := f.peer(t, "")
		go func() {
			synctest.Wait()
			for _, q := range []string{"amq.gen-1", "amq.gen-2", "amq.gen-3"} { // one is the control queue
				for _, id := range []string{"", "1", "x.1"} {
					for _, kind := range []string{"errand-cancel", "errand-credit", ""} {
						if err := p.Send(t.Context(), broker.Message{Key: q, Type: kind, CorrelationID: id, Optional: true}); err != nil {
							t.Errorf("Send: %v", err)
						}
					}
				}
			}
		}()
		wantCall(t, c, render, "a")
	})
}
