package rpc_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/rpc"
)

// number is n as another program may send it.
func number(n int64, kind uint8) any {
	switch kind % 6 {
	case 0:
		return int32(n)
	case 1:
		return []byte{byte(n)}
	case 2:
		return nil
	case 3:
		return "7"
	default:
		return n
	}
}

// mayReply is the rule for reply_to, put in other words than the code's.
func mayReply(name string) bool {
	for _, prefix := range []string{"amq.gen-", "errand.reply."} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && len(prefix)+len(rest) < 256 {
			return true
		}
	}
	return false
}

// FuzzRequest: whatever comes in as a request, and as words about it, the server answers it
// once, writes to no queue but one for replies, and goes on.
func FuzzRequest(f *testing.F) {
	f.Add("one", "amq.gen-x", "c", "i", "application/json", []byte(`{"n":1}`), int64(time.Second), int64(1_000_000), int64(8), int64(8), uint8(4), false)
	f.Add("many", "amq.gen-x", "c", "i", "", []byte(`{"n":9}`), int64(time.Hour), int64(math.MaxInt64), int64(1), int64(math.MaxInt64), uint8(5), false)
	f.Add("many", "amq.gen-x", "c", "", "", []byte(`{"n":9}`), int64(time.Hour), int64(1<<40), int64(math.MaxInt64), int64(-1), uint8(4), false)
	f.Add("many", "amq.rabbitmq.reply-to.x", "c", "", "", []byte(`{"n":9}`), int64(time.Hour), int64(1<<60), int64(math.MinInt64), int64(math.MinInt64), uint8(0), true)
	f.Add("", "errand.reply.x", "", "", "text/html", []byte(`{`), int64(-1), int64(math.MinInt64), int64(0), int64(0), uint8(1), false)
	f.Add("again", "amq.gen-x", "\x00", "\xff", ";", []byte(nil), int64(1), int64(0), int64(0), int64(0), uint8(4), true)
	f.Add("hunter2", "jobs", "c", "i", "", []byte(`{}`), int64(0), int64(0), int64(0), int64(0), uint8(3), false)
	f.Add("panic", "amq.gen-"+strings.Repeat("x", 300), "c", "i", "", []byte(`{}`), int64(0), int64(0), int64(0), int64(0), uint8(2), false)
	f.Fuzz(func(t *testing.T, method, replyTo, correlation, id, contentType string, body []byte, expiration, sent, credit, taken int64, kind uint8, redelivered bool) {
		synctest.Test(t, func(t *testing.T) {
			fake := newFake()
			fake.declare(replyTo)
			s := rpc.NewServer(fake.conn(), rpc.ServerConfig{Logger: quiet})
			rpc.Handle(s, rpc.Define[args, result]("one", rpc.Queue("q")), text("a"))
			rpc.Handle(s, rpc.Define[args, result]("again", rpc.Queue("q"), rpc.Idempotent()), text("a"))
			rpc.Handle(s, rpc.Define[args, result]("panic", rpc.Queue("q")), func(context.Context, args) (result, error) { panic("hunter2") })
			rpc.HandleStream(s, rpc.DefineStream[args, int]("many", rpc.Queue("q")), func(_ context.Context, a args, send func(int) error) error {
				return count(context.Background(), args{min(a.N, 50)}, send)
			})
			start(t, s)
			app := "errand"
			if kind >= 128 {
				app = "another"
			}
			fake.put("q", redelivered, broker.Message{
				AppID: app, Timestamp: time.Unix(sent, 0),
				Type: method, ReplyTo: replyTo, CorrelationID: correlation, ID: id, ContentType: contentType, Body: body, Expiration: time.Duration(expiration),
				Headers: map[string]any{"errand-credit": number(credit, kind)},
			})
			synctest.Wait()
			p := fake.peer(t, "")
			for _, m := range fake.sentTo(replyTo) {
				control, _ := m.Headers["errand-control"].(string)
				if control == "" {
					continue
				}
				p.send(t, broker.Message{Key: control, Type: "errand-credit", CorrelationID: correlation, Headers: map[string]any{"errand-seq": number(taken, kind>>4)}})
				synctest.Wait()
				p.send(t, broker.Message{Key: control, Type: "errand-cancel", CorrelationID: correlation})
				break
			}
			synctest.Wait()
			want := "ack"
			if !mayReply(replyTo) {
				want = "dead-letter"
			}
			if got := fake.verdicts(); len(got) > 1 || len(got) == 1 && got[0] != want {
				t.Errorf("answers are %v, want at most one %s", got, want)
			}
			if got := len(fake.verdicts()) + fake.depth("q") + s.Stats().Running; got == 0 && expiration <= 0 {
				t.Error("the request has vanished without an answer")
			}
			checkReplies(t, fake, replyTo, correlation)
			c := newClient(t, fake.conn(), rpc.ClientConfig{})
			wantCall(t, c, rpc.Define[args, result]("one", rpc.Queue("q")), "a")
			synctest.Wait()
			if got := s.Stats().Running; got != 0 {
				t.Errorf("%d requests run, want none", got)
			}
		})
	})
}

// checkReplies looks at all that a server has sent.
func checkReplies(t *testing.T, f *fakeBroker, replyTo, correlation string) {
	t.Helper()
	last := 0
	for _, e := range f.sent() {
		m := e.message
		if m.Type == "errand-credit" || m.Type == "errand-cancel" {
			continue
		}
		if m.Key != replyTo || !mayReply(m.Key) {
			t.Errorf("sent a message to %q, reply_to was %q", m.Key, replyTo)
		}
		if m.CorrelationID != correlation {
			t.Errorf("sent a reply to %q, want %q", m.CorrelationID, correlation)
		}
		if found := leaks(m, "hunter2"); len(found) > 0 && correlation != "hunter2" && replyTo != "hunter2" && m.Headers["errand-code"] != "unimplemented" {
			t.Errorf("%q in the reply %+v", found, m)
		}
		if kind := m.Headers["errand-reply"]; kind != "started" && kind != "item" {
			last++
		}
	}
	if last > 1 {
		t.Errorf("sent %d last replies, want at most one", last)
	}
}

// FuzzReply: whatever comes in as replies, calls end in time, with what makes sense, leave
// nothing behind, and the client writes to no queue but one for replies.
func FuzzReply(f *testing.F) {
	f.Add("", int64(0), "", "amq.gen-9", "", []byte(`{"text":"a"}`), "", uint8(4), "", int64(0), false)
	f.Add("item", int64(1), "", "amq.gen-9", "", []byte(`1`), "application/json", uint8(4), "end", int64(1), false)
	f.Add("item", int64(1), "", "jobs", "", []byte(`1`), "", uint8(4), "end", int64(2), false)
	f.Add("started", int64(math.MaxInt64), "", "pdf.pages", "", []byte(`1`), "", uint8(4), "item", int64(math.MinInt64), false)
	f.Add("end", int64(-1), "not_found", "amq.gen-9", "", []byte(`{"code":"x","message":"\u0000"}`), "", uint8(0), "", int64(0), false)
	f.Add("nonsense", int64(1), "teapot", "", "c", []byte(`{`), "text/html", uint8(3), "nonsense", int64(1), true)
	f.Fuzz(func(t *testing.T, kind string, seq int64, code, control, correlation string, body []byte, contentType string, types uint8, second string, secondSeq int64, foreign bool) {
		if len(correlation)+len(contentType) > 255 {
			t.Skip("AMQP has no such property")
		}
		synctest.Test(t, func(t *testing.T) {
			fake := newFake()
			fake.declare("jobs")
			servers := []*peer{fake.peer(t, "pdf.render"), fake.peer(t, "pdf.pages")}
			c := newClient(t, fake.conn(), rpc.ClientConfig{})
			for i, server := range servers {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				go func() {
					in := server.receive(t)
					if !foreign {
						correlation = in.CorrelationID
					}
					h := map[string]any{"errand-reply": kind, "errand-seq": number(seq, types), "errand-control": control}
					if code != "" {
						h["errand-code"] = code
					}
					server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: correlation, Body: body, ContentType: contentType, Headers: h})
					h = map[string]any{"errand-reply": second, "errand-seq": number(secondSeq, types>>3), "errand-control": control}
					server.send(t, broker.Message{Key: in.ReplyTo, CorrelationID: correlation, Body: body, ContentType: contentType, Headers: h})
				}()
				var err error
				if i == 0 {
					_, err = render.Call(ctx, c, args{})
				} else {
					_, err = collect(ctx, c, pages, 1)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the call took %v, want at most a second", took)
				}
				if e, ok := errors.AsType[*rpc.Error](err); ok && (e.Code == "" || len(e.Message) > 1024) {
					t.Errorf("got %#v, want a code and at most 1024 bytes of text", e)
				}
				synctest.Wait()
			}
			if got := c.Stats().Waiting; got != 0 {
				t.Errorf("%d calls wait, want none", got)
			}
			for _, e := range fake.sent() {
				if own := e.message.Type == "errand-cancel" || e.message.Type == "errand-credit"; own && !mayReply(e.message.Key) {
					t.Errorf("the client sent %s to %q", e.message.Type, e.message.Key)
				}
			}
		})
	})
}
