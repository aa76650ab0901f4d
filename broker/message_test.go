package broker

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestMessageCheck(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	deep := map[string]any{}
	for range maxHeaderDepth + 1 {
		deep = map[string]any{"deeper": deep}
	}
	circular := map[string]any{}
	circular["self"] = circular
	tests := []struct {
		name    string
		message Message
		want    error
		text    string
	}{
		{"only an ID", Message{ID: "1"}, nil, ""},
		{"body at the limit", Message{ID: "1", Body: make([]byte, 100)}, nil, ""},
		{"names at the limit", Message{ID: long[:255], Key: long[:255], Headers: map[string]any{long[:255]: 1}}, nil, ""},
		{"headers just small enough", Message{ID: "1", Headers: map[string]any{"h": strings.Repeat("x", maxHeaders-20)}}, nil, ""},
		{"expiration at the limit", Message{ID: "1", Expiration: math.MaxUint32 * time.Millisecond}, nil, ""},
		{"expiration over the limit", Message{ID: "1", Expiration: (math.MaxUint32 + 1) * time.Millisecond}, ErrInvalid, "1193h2m47.295s"},
		{"body over the limit", Message{ID: "1", Body: make([]byte, 101)}, ErrTooLarge, "at most 100"},
		{"long ID", Message{ID: long}, ErrInvalid, "ID of 256 bytes"},
		{"long exchange", Message{ID: "1", Exchange: long}, ErrInvalid, "exchange"},
		{"long key", Message{ID: "1", Key: long}, ErrInvalid, "routing key"},
		{"long type", Message{ID: "1", Type: long}, ErrInvalid, "type"},
		{"long content type", Message{ID: "1", ContentType: long}, ErrInvalid, "content type"},
		{"long app ID", Message{ID: "1", AppID: long}, ErrInvalid, "app ID"},
		{"long correlation ID", Message{ID: "1", CorrelationID: long}, ErrInvalid, "correlation ID"},
		{"long reply-to", Message{ID: "1", ReplyTo: long}, ErrInvalid, "reply-to"},
		{"headers over the limit", Message{ID: "1", Headers: map[string]any{"h": strings.Repeat("x", maxHeaders)}}, ErrTooLarge, "headers"},
		{"long header name", Message{ID: "1", Headers: map[string]any{long: 1}}, ErrInvalid, "header name"},
		{"header without a form", Message{ID: "1", Headers: map[string]any{"h": uint64(1)}}, ErrInvalid, `header "h"`},
		{"struct as header", Message{ID: "1", Headers: map[string]any{"h": struct{}{}}}, ErrInvalid, "struct"},
		{"typed slice as header", Message{ID: "1", Headers: map[string]any{"h": []string{"a"}}}, ErrInvalid, "[]string"},
		{"deep headers", Message{ID: "1", Headers: deep}, ErrInvalid, "deeper than"},
		{"circular headers", Message{ID: "1", Headers: circular}, ErrInvalid, "deeper than"},
	}
	for _, test := range tests {
		err := test.message.Check(100)
		if !errors.Is(err, test.want) || err != nil && (!strings.Contains(err.Error(), test.text) || len(err.Error()) > 500) {
			t.Errorf("%s: got %v, want %v with %q", test.name, err, test.want, test.text)
		}
	}
}

// What sizeOf takes, the library can write, and it is no larger than sizeOf says.
func TestSizeOfCoversWhatTheLibraryWrites(t *testing.T) {
	t.Parallel()
	values := []any{nil, true, int8(1), uint8(1), int16(1), uint16(1), int32(1), uint32(1), float32(1), 1, int64(1), float64(1),
		time.Unix(1, 0), "text", []byte("bytes"), amqp.Decimal{}, []any{1, "a", []any{}}, amqp.Table{"a": 1},
		map[string]any{"a": map[string]any{"b": []any{map[string]any{}}}}}
	for _, v := range values {
		headers := map[string]any{"h": v}
		if _, err := sizeOf(headers, 0); err != nil {
			t.Errorf("%T: %v", v, err)
		}
		if err := table(headers).Validate(); err != nil {
			t.Errorf("%T: the library can't write it: %v", v, err)
		}
		if _, err := appendTable(nil, headers); err != nil {
			t.Errorf("%T: can't be written: %v", v, err)
		}
	}
	got, err := sizeOf(map[string]any{"ab": "xyz", "c": []any{int64(1), true}}, 0)
	if want := 5 + (1 + 2 + 5 + 3) + (1 + 1 + 5 + 9 + 2); err != nil || got != want {
		t.Errorf("got %d, %v, want %d", got, err, want)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	when := time.Unix(1, 0)
	tests := []struct {
		name  string
		plain map[string]any
		table amqp.Table
	}{
		{"nil", nil, nil},
		{"flat", map[string]any{"a": "x", "b": int64(1), "t": when}, amqp.Table{"a": "x", "b": int64(1), "t": when}},
		{"map", map[string]any{"m": map[string]any{"n": map[string]any{"x": true}}}, amqp.Table{"m": amqp.Table{"n": amqp.Table{"x": true}}}},
		{"slice", map[string]any{"s": []any{"x", map[string]any{"y": nil}}}, amqp.Table{"s": []any{"x", amqp.Table{"y": nil}}}},
	}
	for _, test := range tests {
		if got := table(test.plain); !reflect.DeepEqual(got, test.table) {
			t.Errorf("%s: table is %#v, want %#v", test.name, got, test.table)
		}
	}
}

// The library writes an int with 32 bits.
func TestTableMakesIntsWide(t *testing.T) {
	t.Parallel()
	const n = 1 << 40
	want := amqp.Table{"a": int64(n), "b": amqp.Table{"c": []any{int64(n)}}}
	for name, in := range map[string]map[string]any{
		"plain":             {"a": n, "b": map[string]any{"c": []any{n}}},
		"the library's own": {"a": int64(n), "b": amqp.Table{"c": []any{n}}},
	} {
		if got := table(in); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, want %#v", name, got, want)
		}
	}
}
