package rpc

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/broker"
)

func TestReadRequest(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_400)
	second := time.UnixMilli(1_800_000_000_000)
	ours := func(m broker.Message) broker.Message {
		m.AppID = appID
		return m
	}
	tests := []struct {
		name     string
		message  broker.Message
		id       string
		deadline time.Time
		credit   int64
		known    bool
	}{
		{"empty", broker.Message{}, "", time.Time{}, 0, false},
		{"foreign", broker.Message{CorrelationID: "c"}, "c", time.Time{}, 0, false},
		{"foreign with an ID", broker.Message{ID: "i", CorrelationID: "c"}, "i", time.Time{}, 0, false},
		{"expiration", broker.Message{Expiration: time.Second}, "", now.Add(time.Second), 0, false},
		{"foreign with a clock of its own", broker.Message{CorrelationID: "c", Expiration: time.Second, Timestamp: second.Add(-time.Hour)}, "c", now.Add(time.Second), 0, false},
		{"ours", ours(broker.Message{ID: "i", CorrelationID: "c", Expiration: time.Second, Timestamp: second}), "i", second.Add(time.Second), 0, true},
		{"that waited", ours(broker.Message{CorrelationID: "c", Expiration: 5 * time.Second, Timestamp: second.Add(-3 * time.Second)}), "c", second.Add(2 * time.Second), 0, true},
		{"whose deadline is over", ours(broker.Message{CorrelationID: "c", Expiration: time.Second, Timestamp: second.Add(-3 * time.Second)}), "c", second.Add(-2 * time.Second), 0, true},
		{"with a clock ahead", ours(broker.Message{CorrelationID: "c", Expiration: time.Second, Timestamp: second.Add(time.Hour)}), "c", now.Add(time.Second), 0, true},
		{"without a timestamp", ours(broker.Message{CorrelationID: "c", Expiration: time.Second}), "c", now.Add(time.Second), 0, true},
		{"without an expiration", ours(broker.Message{CorrelationID: "c", Timestamp: second}), "c", time.Time{}, 0, false},
		{"nothing to name the call by", ours(broker.Message{ID: "i", Expiration: time.Second, Timestamp: second}), "i", now.Add(time.Second), 0, false},
		{"credit", broker.Message{Headers: map[string]any{headerCredit: int16(-3)}}, "", time.Time{}, -3, false},
		{"no number", broker.Message{Headers: map[string]any{headerCredit: 1.5}}, "", time.Time{}, 0, false},
	}
	for _, test := range tests {
		in := readRequest(&test.message, now)
		if in.ID != test.id || !in.deadline.Equal(test.deadline) || in.credit != test.credit || in.known != test.known {
			t.Errorf("%s: got ID %q, deadline %v, credit %d, known %v, want %+v", test.name, in.ID, in.deadline, in.credit, in.known, test)
		}
	}
}

func TestMessageOfARequest(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_400)
	second := now.Truncate(time.Second)
	r := Request{ID: "i", Method: "m", Queue: "q", ContentType: "text/plain", Body: []byte("b"), Headers: map[string]any{"own": "x"}}
	m, err := r.message("1", "reply", now.Add(time.Second), now)
	if err != nil {
		t.Fatal(err)
	}
	if m.Exchange != "" || m.Key != "q" || m.Type != "m" || m.ID != "i" || m.CorrelationID != "1" || m.ReplyTo != "reply" ||
		m.ContentType != "text/plain" || string(m.Body) != "b" || !m.Transient || m.Optional || m.Expiration != 1400*time.Millisecond {
		t.Errorf("got %+v", m)
	}
	if m.AppID != appID || !m.Timestamp.Equal(second) {
		t.Errorf("got app_id %q and timestamp %v, want %q and %v", m.AppID, m.Timestamp, appID, second)
	}
	if in := readRequest(&m, now); !in.known || !in.deadline.Equal(now.Add(time.Second)) {
		t.Errorf("a server reads deadline %v, known %v, want %v", in.deadline, in.known, now.Add(time.Second))
	}
	if len(m.Headers) != 1 || m.Headers["own"] != "x" {
		t.Errorf("got headers %v, want the own one alone", m.Headers)
	}
	m, err = r.message("1", "reply", now.Add(-time.Hour), now)
	if in := readRequest(&m, now); err != nil || !in.known || !in.deadline.Before(now) {
		t.Errorf("sent too late: a server reads deadline %v, known %v, and %v, want one before %v", in.deadline, in.known, err, now)
	}
	r.items = func(context.Context, Response) error { return nil }
	m, err = r.message("1", "reply", now.Add(1000*time.Hour*24), now)
	if err != nil || m.Headers[headerCredit] != int64(window) || m.Expiration != maxExpiration*time.Millisecond {
		t.Errorf("a stream for years: got %+v, %v, want credit %d and the longest expiration", m, err, window)
	}
}

func TestReadReply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		headers map[string]any
		want    reply
	}{
		{"result", nil, reply{}},
		{"somebody's header", map[string]any{"x": "y"}, reply{}},
		{"started", map[string]any{headerReply: replyStarted, headerControl: "amq.gen-1"}, reply{kind: replyStarted, control: "amq.gen-1"}},
		{"control is a job queue", map[string]any{headerReply: replyStarted, headerControl: "jobs"}, reply{kind: replyStarted}},
		{"item", map[string]any{headerReply: replyItem, headerSeq: int64(4)}, reply{kind: replyItem, seq: 4}},
		{"numbers and text exchanged", map[string]any{headerReply: int64(4), headerSeq: "item", headerControl: true}, reply{}},
	}
	for _, test := range tests {
		got := readReply(&broker.Message{Body: []byte("b"), ContentType: "c", Headers: test.headers})
		if got.kind != test.want.kind || got.seq != test.want.seq || got.control != test.want.control || got.err != nil || string(got.response.Body) != "b" || got.response.ContentType != "c" {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
	e := readReply(&broker.Message{Body: []byte(`{"message":"m"}`), Headers: map[string]any{headerCode: "conflict", headerReply: replyStarted}})
	if want, ok := errors.AsType[*Error](e.err); !ok || want.Code != Conflict || want.Message != "m" || e.kind != "" {
		t.Errorf("got %+v, want the error, whatever else it says it is", e)
	}
}

func TestInteger(t *testing.T) {
	t.Parallel()
	for _, v := range []any{int64(7), int32(7), int16(7), int8(7), uint32(7), uint16(7), uint8(7), 7} {
		if got, ok := broker.Integer(v); !ok || got != 7 {
			t.Errorf("%T: got %d, %v, want 7", v, got, ok)
		}
	}
	for _, v := range []any{nil, "7", 7.0, true, []byte{7}, []any{7}} {
		if got, ok := broker.Integer(v); ok {
			t.Errorf("%T: got %d, want no number", v, got)
		}
	}
	if got, _ := broker.Integer(uint32(math.MaxUint32)); got != math.MaxUint32 {
		t.Errorf("got %d, want %d", got, uint32(math.MaxUint32))
	}
}

func TestIsReplyQueue(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"amq.gen-x": true, "amq.rabbitmq.reply-to.x": false, "amq.rabbitmq.reply-to.x.y": false, "errand.reply.x": true,
		"": false, "jobs": false, "amq.gen": false, "amq.rabbitmq.reply-to": false, "errand.replyx": false, "errand.jobs": false,
		"amq.gen-" + strings.Repeat("x", 247): true, "amq.gen-" + strings.Repeat("x", 248): false,
	} {
		if got := isReplyQueue(name); got != want {
			t.Errorf("%.40q: got %v, want %v", name, got, want)
		}
	}
}

func TestCodesAreAClosedSet(t *testing.T) {
	t.Parallel()
	for _, code := range []Code{"", "Internal", "not found", "NOT_FOUND", "ok"} {
		if code.known() {
			t.Errorf("code %q is known", code)
		}
		if got := outward(&Error{code, "m"}); got.Code != Internal || got.Message == "m" {
			t.Errorf("code %q goes out as %+v, want internal without its message", code, got)
		}
	}
}

func TestEnded(t *testing.T) {
	t.Parallel()
	cause := errors.New("bored")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(cause)
	err := ended(ctx)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || err.Error() != "context canceled: bored" {
		t.Errorf("got %v, want context.Canceled and its cause", err)
	}
	ctx, cancel = context.WithCancelCause(context.Background())
	cancel(nil)
	if err := ended(ctx); err != context.Canceled {
		t.Errorf("got %v, want context.Canceled alone", err)
	}
}

// A mute is a channel that sends nothing, and counts how often it should have waited.
type mute struct {
	ctx   context.Context
	waits int
}

func (m *mute) Queue() string            { return "amq.gen-1" }
func (m *mute) Context() context.Context { return m.ctx }

// Send is that of a blocked broker.
func (m *mute) Send(ctx context.Context, _ broker.Message) error {
	if ctx.Err() == nil {
		m.waits++
	}
	<-ctx.Done()
	return broker.ErrBlocked
}

// TestRepliesDoNotWaitForABlockedServer: the replies of all calls come by the same goroutine.
func TestRepliesDoNotWaitForABlockedServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ch := &mute{}
		var cancel context.CancelFunc
		ch.ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		l := newLine(&Client{}, ch)
		began := time.Now()
		for _, kind := range []string{replyStarted, replyItem} {
			m := broker.Message{CorrelationID: "stray", Headers: map[string]any{headerReply: kind, headerControl: "amq.gen-2"}}
			l.deliver(broker.NewDelivery(ch.ctx, "", m, nil))
		}
		if got := time.Since(began); got != 0 || ch.waits != 0 {
			t.Errorf("taking two replies waited %d times, for %v, want never", ch.waits, got)
		}
	})
}
