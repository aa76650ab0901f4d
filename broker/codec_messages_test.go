package broker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// fieldValues are the values of headers that Message and its limits allow.
var fieldValues = []any{
	nil, true, false, "", "text", "a\x00b\xff", strings.Repeat("x", 60_000),
	int8(0), int8(127), int8(-128), uint8(0), uint8(255), int16(32767), int16(-32768), uint16(1), uint16(65535),
	int32(math.MaxInt32), int32(math.MinInt32), uint32(1), uint32(math.MaxUint32), int64(math.MaxInt64), int64(math.MinInt64),
	0, 1, -1, 1 << 40, math.MinInt,
	float32(1.5), float32(math.Inf(-1)), float32(math.NaN()), math.SmallestNonzeroFloat32,
	2.5, math.Inf(1), math.NaN(), math.Copysign(0, -1), math.MaxFloat64,
	[]byte(nil), []byte{}, []byte{0, 0xce, 255},
	time.Time{}, time.Unix(0, 0), time.Unix(-1, 5), time.Unix(-2, 700_000_000), time.Date(1815, 12, 10, 1, 2, 3, 999, time.FixedZone("", 3600)), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
	amqp.Decimal{}, amqp.Decimal{Scale: 255, Value: -7},
	[]any{}, []any(nil), []any{nil}, []any{1, "a", []any{int8(1), []any{}}, map[string]any{"x": []byte{1}}, false},
	map[string]any{}, map[string]any{"": nil}, map[string]any{"a": map[string]any{"b": map[string]any{"c": []any{map[string]any{}, 7}}}, "d": uint8(9)},
	amqp.Table{}, amqp.Table{"t": amqp.Table{"n": 5}, "m": map[string]any{"k": true}},
}

// sole reports whether no map in v has two entries, so that there is only one way to write it.
func sole(v any) bool {
	switch v := v.(type) {
	case amqp.Table:
		return sole(map[string]any(v))
	case map[string]any:
		for _, item := range v {
			return len(v) == 1 && sole(item)
		}
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !sole(item) })
	}
	return true
}

// combination has a property for each bit that is set.
func combination(set int) (m Message) {
	for i, give := range []func(){
		func() { m.ContentType = "application/json" },
		func() { m.Headers = map[string]any{"a header": "its value"} },
		func() { m.Transient = true },
		func() { m.Priority = 9 },
		func() { m.CorrelationID = "correlation" },
		func() { m.ReplyTo = "reply to" },
		func() { m.Expiration = time.Minute },
		func() { m.ID = "an ID" },
		func() { m.Timestamp = time.Unix(1_700_000_000, 0) },
		func() { m.Type = "a type" },
		func() { m.AppID = "an app" },
	} {
		if set>>i&1 == 1 {
			give()
		}
	}
	return m
}

const combinations = 1 << 11

// named have all that is a short string, as long as that may be, in one of them each.
func named() (ms []Message) {
	for i := range 9 {
		m := Message{ID: "id", Headers: map[string]any{}}
		long := strings.Repeat("é", 127) + "x"
		if i == 8 {
			m.Headers[long] = long
		} else {
			*[]*string{&m.Exchange, &m.Key, &m.ID, &m.Type, &m.ContentType, &m.AppID, &m.CorrelationID, &m.ReplyTo}[i] = long
		}
		ms = append(ms, m)
	}
	return ms
}

// shapes are messages of all kinds, with fractions of seconds and milliseconds.
func shapes() (ms []Message) {
	for set := range combinations {
		ms = append(ms, combination(set))
	}
	for _, v := range fieldValues {
		ms = append(ms, Message{ID: "id", Headers: map[string]any{"h": v}}, Message{Headers: map[string]any{"deep": []any{map[string]any{"h": []any{v, v}}}}})
	}
	all := map[string]any{}
	for i, v := range fieldValues {
		all[fmt.Sprint(i)] = v
	}
	ms = append(ms, Message{Headers: all, Type: "after them"}, Message{Headers: map[string]any{}, Type: "none"}, Message{Exchange: "x", Key: "k", Optional: true})
	for p := range 256 {
		ms = append(ms, Message{Key: "k", Priority: uint8(p)})
	}
	for _, d := range []time.Duration{1, time.Millisecond - 1, time.Millisecond, time.Millisecond + 1, 1500 * time.Microsecond, time.Hour, math.MaxUint32 * time.Millisecond, -1, -time.Hour} {
		ms = append(ms, Message{Expiration: d, ID: "expires"})
	}
	for _, v := range fieldValues {
		if v, ok := v.(time.Time); ok {
			ms = append(ms, Message{Timestamp: v, Type: "t"})
		}
	}
	return append(ms, named()...)
}

// bodies are messages of all sizes that matter to frames of that size.
func bodies(maxFrame int) (ms []Message) {
	random := rand.NewChaCha8([32]byte{1})
	one := maxFrame - frameOverhead
	for _, n := range []int{0, 1, one - 1, one, one + 1, maxFrame, 2 * one, 3*one + 5} {
		body := make([]byte, n)
		random.Read(body) //nolint:errcheck // it never fails
		ms = append(ms, Message{ID: fmt.Sprint(n), Body: body})
	}
	return ms
}
