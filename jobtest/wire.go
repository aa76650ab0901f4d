package jobtest

import (
	"bytes"
	"time"

	"github.com/errandq/errand/broker"
)

// wired is a copy of m as it comes out of AMQP at the other end: times are in seconds, an
// expiration in milliseconds, and integers of no certain width have 64 bits.
func wired(m broker.Message) broker.Message {
	m.Optional = false
	if !m.Timestamp.IsZero() {
		m.Timestamp = time.Unix(m.Timestamp.Unix(), 0)
	}
	if m.Expiration = max(m.Expiration, 0); m.Expiration > 0 {
		m.Expiration = max(m.Expiration.Truncate(time.Millisecond), time.Millisecond)
	}
	m.Body = bytes.Clone(m.Body)
	if m.Headers != nil {
		m.Headers = wiredValue(m.Headers).(map[string]any)
	}
	return m
}

func wiredValue(v any) any {
	switch v := v.(type) {
	case int:
		return int64(v)
	case time.Time:
		return time.Unix(v.Unix(), 0)
	case []byte:
		return bytes.Clone(v)
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = wiredValue(item)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, item := range v {
			all[name] = wiredValue(item)
		}
		return all
	}
	return v
}
