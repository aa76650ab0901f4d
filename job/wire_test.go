package job_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/errandq/errand/broker"
	"github.com/errandq/errand/job"
)

// form is a message as a person would write it down.
func form(m broker.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "type          %s\n", m.Type)
	fmt.Fprintf(&b, "message_id    %s\n", m.ID)
	fmt.Fprintf(&b, "content_type  %s\n", m.ContentType)
	fmt.Fprintf(&b, "delivery_mode %d\n", map[bool]int{false: 2, true: 1}[m.Transient])
	fmt.Fprintf(&b, "timestamp     %s\n", m.Timestamp.UTC().Format(time.RFC3339Nano))
	fmt.Fprintf(&b, "app_id        %q\n", m.AppID)
	fmt.Fprintf(&b, "priority      %d\n", m.Priority)
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		fmt.Fprintf(&b, "header        %s = %T %v\n", name, m.Headers[name], m.Headers[name])
	}
	fmt.Fprintf(&b, "body          %s\n", m.Body)
	return b.String()
}

func TestWireForm(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1767323045678)
	fresh := job.Define[order]("order.ship").New(order{ID: "42"}, job.ID("019b7c8e-0000-7000-8000-000000000000"))
	fresh.CreatedAt = time.Unix(1767323045, 0)
	full := fresh
	full.AppID, full.Priority, full.Attempt = "shop", 9, 3
	full.NotBefore, full.ExpiresAt = at.Add(time.Hour), at.Add(2*time.Hour)
	full.Headers = map[string]any{"tenant": "blue", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	retried := fresh
	retried.Attempt, retried.Failure = 2, &job.Failure{Error: "connection refused", At: at}
	dead := full
	dead.Failure = &job.Failure{Error: "no such order", At: at, Reason: job.Permanent}
	for name, j := range map[string]job.Job{"fresh": fresh, "full": full, "retried": retried, "dead": dead} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, form(j.Message()))
		})
	}
}

// A source of random jobs, of which the same seed makes the same.
type source struct{ *rand.Rand }

func (s source) text(atMost int) string {
	var b strings.Builder
	for range s.IntN(atMost + 1) {
		b.WriteRune([]rune("aZ09 .-/\n\"äß€𝄞�\x00")[s.IntN(16)])
	}
	return b.String()
}

func (s source) bytes() []byte { return []byte(s.text(100)) }

// moment is a time that the wire can carry, or none.
func (s source) moment() time.Time {
	if s.IntN(2) == 0 {
		return time.Time{}
	}
	return time.UnixMilli(s.Int64N(253402300799999 + 1))
}

func (s source) headers() map[string]any {
	var h map[string]any
	for range s.IntN(4) {
		if h == nil {
			h = map[string]any{}
		}
		values := []any{s.text(10), s.Int64(), int32(s.Uint32()), true, s.Float64(), s.bytes(), nil,
			[]any{s.text(3), int64(7)}, map[string]any{s.text(3): s.text(3)}, time.Unix(s.Int64N(1<<32), 0)}
		h["h"+s.text(10)] = values[s.IntN(len(values))]
	}
	return h
}

func (s source) job() job.Job {
	j := job.Job{
		ID:          s.text(20),
		Kind:        "k" + s.text(20),
		ContentType: s.text(10),
		Body:        s.bytes(),
		Headers:     s.headers(),
		Priority:    uint8(s.Uint32()),
		AppID:       s.text(5),
		Attempt:     1 + s.IntN(1<<s.IntN(31)),
		NotBefore:   s.moment(),
		ExpiresAt:   s.moment(),
		CreatedAt:   time.Unix(s.Int64N(1<<33), 0),
	}
	if s.IntN(4) == 0 { // a copy of an event
		j.Exchange, j.Key = "x"+s.text(10), s.text(10)
	}
	if s.IntN(4) == 0 {
		j.Group = &job.Membership{Size: 1 + s.IntN(1<<30), Then: job.Job{ID: "g" + s.text(10), Kind: "t", Body: []byte("x" + s.text(9)), Headers: s.headers(), Attempt: 1, Queue: "q"}}
		j.Group.ID = j.Group.Then.ID
	}
	if s.IntN(2) == 0 {
		j.Failure = &job.Failure{Error: s.text(200), At: s.moment(), Reason: job.Reason(s.text(5))}
	}
	return j
}

func TestParseIsTheReverseOfMessage(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5000) {
		want := source{rand.New(rand.NewPCG(seed, 0))}.job()
		got, err := job.Parse(want.On("q").Message())
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: got\n%+v\nwant\n%+v", seed, got, want)
		}
	}
}

func TestParseOfAForeignMessage(t *testing.T) {
	t.Parallel()
	got, err := job.Parse(broker.Message{Type: "ship", Body: []byte(`{}`)})
	want := job.Job{Kind: "ship", Body: []byte(`{}`), Attempt: 1}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestParseTakesAnyIntegerType(t *testing.T) {
	t.Parallel()
	for _, v := range []any{int(3), int8(3), int16(3), int32(3), int64(3), uint8(3), uint16(3), uint32(3)} {
		j, err := job.Parse(broker.Message{Type: "ship", Headers: map[string]any{"errand-attempt": v}})
		if err != nil || j.Attempt != 3 {
			t.Errorf("%T: attempt %d, %v, want 3", v, j.Attempt, err)
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		kind  string
		value any    // of the header named like the test
		want  string // what the error names
	}{
		{"", "", nil, "no type"},
		{"errand-attempt", "ship", "2", "want an integer"},
		{"errand-attempt", "ship", 2.0, "want an integer"},
		{"errand-attempt", "ship", []any{int64(2)}, "want an integer"},
		{"errand-attempt", "ship", int64(0), "want 1 to"},
		{"errand-attempt", "ship", int64(-1), "want 1 to"},
		{"errand-attempt", "ship", int64(1 << 62), "want 1 to"},
		{"errand-not-before", "ship", true, "want an integer"},
		{"errand-not-before", "ship", int64(-1), "want milliseconds"},
		{"errand-expires-at", "ship", int64(1 << 62), "want milliseconds"},
		{"errand-error", "ship", int64(1), "want a string"},
	}
	for _, test := range tests {
		m := broker.Message{ID: "j", Type: test.kind, Headers: map[string]any{test.name: test.value, "tenant": "blue"}, Body: []byte("body")}
		j, err := job.Parse(m)
		if !errors.Is(err, job.ErrMalformed) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s %v: got %v, want ErrMalformed with %q", test.name, test.value, err, test.want)
		}
		if j.ID != "j" || string(j.Body) != "body" || j.Headers["tenant"] != "blue" || j.Attempt != 1 {
			t.Errorf("%s %v: got %+v, want what could be read", test.name, test.value, j)
		}
	}
}

func TestHeadersThatAreNotCarriedOn(t *testing.T) {
	t.Parallel()
	reserved := []string{"errand-attempt", "errand-whatever", "x-death", "x-delivery-count", "x-acquired-count",
		"x-first-death-exchange", "x-first-death-queue", "x-first-death-reason", "x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"}
	in := map[string]any{"tenant": "blue", "x-deathly": "mine", "traceparent": "00-1-2-01"}
	want := maps.Clone(in)
	for _, name := range reserved {
		in[name] = int64(1)
	}
	before := maps.Clone(in)
	j, err := job.Parse(broker.Message{Type: "ship", Headers: in})
	if err != nil || !maps.Equal(j.Headers, want) || !maps.Equal(j.Message().Headers, want) {
		t.Errorf("headers are %v (%v), want %v", j.Headers, err, want)
	}
	if !maps.Equal(in, before) {
		t.Errorf("Parse changed the message's headers: %v, were %v", in, before)
	}
	if j, err := job.Parse(broker.Message{Type: "ship", Headers: map[string]any{"x-death": int64(1)}}); err != nil || j.Headers != nil {
		t.Errorf("headers are %v (%v), want nil", j.Headers, err)
	}
}

func TestFailureWithoutATimeStaysReadable(t *testing.T) {
	t.Parallel()
	j, err := job.Parse(broker.Message{Type: "ship", Headers: map[string]any{"errand-error": []byte("by hand")}})
	if err != nil || j.Failure == nil || j.Failure.Error != "by hand" || !j.Failure.At.IsZero() {
		t.Fatalf("got %+v, %v, want a failure without a time", j.Failure, err)
	}
	if again, err := job.Parse(j.Message()); err != nil || !reflect.DeepEqual(again, j) {
		t.Errorf("its own message parses to %+v, %v, want the same job", again.Failure, err)
	}
}

func TestErrorTextIsCut(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       string
	}{
		{"short", "disk is full", "disk is full"},
		{"just as long", strings.Repeat("x", job.MaxError), strings.Repeat("x", job.MaxError)},
		{"longer", strings.Repeat("x", job.MaxError+1), strings.Repeat("x", job.MaxError)},
		{"inside of a character", strings.Repeat("x", job.MaxError-1) + "€", strings.Repeat("x", job.MaxError-1)},
		{"of wide characters", strings.Repeat("𝄞", job.MaxError), strings.Repeat("𝄞", job.MaxError/4)},
		{"not UTF-8", "a\xff\xfeb", "a\ufffdb"},
	}
	for _, test := range tests {
		j := job.Job{Kind: "ship", Failure: &job.Failure{Error: test.text}}
		got, _ := j.Message().Headers["errand-error"].(string)
		if got != test.want || !utf8.ValidString(got) {
			t.Errorf("%s: got %d bytes %.60q, want %d", test.name, len(got), got, len(test.want))
		}
		long := broker.Message{Type: "ship", Headers: map[string]any{"errand-error": test.text}}
		if j, err := job.Parse(long); err != nil || j.Failure.Error != test.want {
			t.Errorf("%s: parsed as %+v, %v, want it cut as well", test.name, j.Failure, err)
		}
	}
}

// FuzzParse: whatever comes in, Parse does not panic, and what it returns is a job that can
// be sent on and comes back the same.
func FuzzParse(f *testing.F) {
	f.Add("ship", "019b7c8e", []byte(`{}`), uint8(0), int64(2), int64(1767323045678), int64(0), "disk is full", "permanent", "tenant")
	f.Add("", "", []byte{}, uint8(1), int64(-1), int64(-1), int64(1<<62), "\xff\xfe", "", "errand-attempt")
	f.Add("ship", "", []byte(nil), uint8(2), int64(1<<40), int64(253402300799999), int64(253402300800000), strings.Repeat("€", 400), "x", "x-death")
	f.Add("ship", "j", []byte("{}"), uint8(0), int64(2), int64(0), int64(0), "x", "", "errand-exchange")
	f.Add("ship", "j", []byte("{}"), uint8(0), int64(2), int64(0), int64(0), "g", "", "errand-group")
	f.Add("\x00", "j", []byte("{"), uint8(3), int64(1), int64(0), int64(1), "", "", "x-last-death-queue")
	f.Fuzz(func(t *testing.T, kind, id string, body []byte, types uint8, attempt, before, after int64, text, reason, name string) {
		m := broker.Message{Type: kind, ID: id, Body: body, Headers: map[string]any{
			name:                text,
			"errand-attempt":    disguise(attempt, types),
			"errand-not-before": disguise(before, types>>2),
			"errand-expires-at": disguise(after, types>>4),
			"errand-reason":     reason,
		}}
		if types&1 == 0 {
			m.Headers["errand-error"] = []byte(text)
		}
		if types&2 == 0 {
			m.Headers["errand-failed-at"] = disguise(after, types>>6)
		}
		j, err := job.Parse(m)
		if err != nil && !errors.Is(err, job.ErrMalformed) {
			t.Errorf("error %v does not wrap ErrMalformed", err)
		}
		checkSane(t, j)
		if j.Kind != kind || j.ID != id || !bytes.Equal(j.Body, body) {
			t.Errorf("got %+v, want kind %q, ID %q and body %q", j, kind, id, body)
		}
		again, errAgain := job.Parse(j.On("q").Message())
		if (errAgain != nil) != (kind == "") || !reflect.DeepEqual(again, j) {
			t.Errorf("its own message parses to\n%+v, %v, want\n%+v", again, errAgain, j)
		}
	})
}

// disguise is n in one of the types that a header may have.
func disguise(n int64, as uint8) any {
	switch as & 3 {
	case 0:
		return n
	case 1:
		return int32(n)
	case 2:
		return uint8(n)
	default:
		return fmt.Sprint(n)
	}
}

func checkSane(t *testing.T, j job.Job) {
	t.Helper()
	if j.Attempt < 1 || j.Attempt > 1<<30 {
		t.Errorf("attempt is %d", j.Attempt)
	}
	times := []time.Time{j.NotBefore, j.ExpiresAt}
	if j.Failure != nil {
		times = append(times, j.Failure.At)
		if len(j.Failure.Error) > job.MaxError || !utf8.ValidString(j.Failure.Error) {
			t.Errorf("error text is %q", j.Failure.Error)
		}
	}
	for _, at := range times {
		if y := at.UTC().Year(); !at.IsZero() && (y < 1970 || y > 9999) {
			t.Errorf("a time is %v", at)
		}
	}
	for name := range j.Headers {
		if strings.HasPrefix(name, "errand-") || name == "x-death" {
			t.Errorf("reserved header %q is carried on", name)
		}
	}
}
