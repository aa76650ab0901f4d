package broker

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// sizeOf is about the number of bytes that v takes in an AMQP field table, and finds what
// has no form there.
func sizeOf(v any, depth int) (int, error) {
	if depth > maxHeaderDepth {
		return 0, fmt.Errorf("%w: headers nested deeper than %d levels", ErrInvalid, maxHeaderDepth)
	}
	switch v := v.(type) {
	case nil, bool, int8, uint8:
		return 2, nil
	case int16, uint16:
		return 3, nil
	case int32, uint32, float32:
		return 5, nil
	case int, int64, float64, time.Time:
		return 9, nil
	case string:
		return 5 + len(v), nil
	case []byte:
		return 5 + len(v), nil
	case amqp.Decimal:
		return 6, nil
	case []any:
		size := 5
		for _, item := range v {
			n, err := sizeOf(item, depth+1)
			if err != nil {
				return 0, err
			}
			size += n
		}
		return size, nil
	case amqp.Table:
		return sizeOf(map[string]any(v), depth)
	case map[string]any:
		size := 5
		for key, item := range v {
			if len(key) > maxShortString {
				return 0, fmt.Errorf("%w: header name %.40q… of %d bytes, AMQP allows %d", ErrInvalid, key, len(key), maxShortString)
			}
			n, err := sizeOf(item, depth+1)
			if err != nil {
				return 0, fmt.Errorf("header %q: %w", key, err)
			}
			size += 1 + len(key) + n
		}
		return size, nil
	}
	return 0, fmt.Errorf("%w: a %T has no form in an AMQP header", ErrInvalid, v)
}

// Integer reads a header that is an integer. It takes any type that AMQP has for one, because
// every language's client sends another. ok is false if v is none.
func Integer(v any) (n int64, ok bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint8:
		return int64(v), true
	case uint16:
		return int64(v), true
	case uint32:
		return int64(v), true
	}
	return 0, false
}

// table is headers in the library's form: nested maps get its type, and plain ints 64 bits,
// because it would write them with 32.
func table(headers map[string]any) amqp.Table {
	if headers == nil {
		return nil
	}
	t := make(amqp.Table, len(headers))
	for key, v := range headers {
		t[key] = toLibrary(v)
	}
	return t
}

func toLibrary(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		return table(v)
	case map[string]any:
		return table(v)
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = toLibrary(item)
		}
		return list
	case int:
		return int64(v)
	}
	return v
}
