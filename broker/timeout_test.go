package broker

import (
	"reflect"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func TestAtLeast(t *testing.T) {
	t.Parallel()
	tests := []struct {
		version      string
		major, minor int
		want         bool
	}{
		{"3.12.14", 3, 12, true},
		{"3.12.14", 3, 13, false},
		{"3.12.14", 4, 0, false},
		{"4.0.0", 3, 12, true},
		{"4.3.0-rc.1", 4, 3, true},
		{"4.10.0", 4, 3, true},
		{"10.0", 4, 3, true},
		{"", 3, 12, false},
		{"4", 3, 12, false},
		{"four.three", 3, 12, false},
		{"4.x.1", 3, 12, false},
	}
	for _, test := range tests {
		if got := atLeast(test.version, test.major, test.minor); got != test.want {
			t.Errorf("%q at least %d.%d: got %v, want %v", test.version, test.major, test.minor, got, test.want)
		}
	}
}

func TestTimeoutArgs(t *testing.T) {
	t.Parallel()
	hour := amqp.Table{"x-consumer-timeout": int64(61 * 60 * 1000)}
	least := amqp.Table{"x-consumer-timeout": int64(30 * 60 * 1000)}
	tests := []struct {
		version string
		maxTime time.Duration
		want    amqp.Table
	}{
		{"4.3.0", time.Hour, hour},
		{"4.3.0", time.Minute, least},
		{"4.3.0", 0, nil},
		{"4.2.1", time.Hour, nil},
		{"", time.Hour, nil},
	}
	for _, test := range tests {
		if got := timeoutArgs(test.version, test.maxTime); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q, %v: got %v, want %v", test.version, test.maxTime, got, test.want)
		}
	}
}

func TestTimeoutAdvice(t *testing.T) {
	t.Parallel()
	const pdf = `rabbitmqctl set_policy -p '/' --apply-to queues 'errand-timeout-pdf' '^pdf$' '{"consumer-timeout":3660000}'`
	const odd = `rabbitmqctl set_policy -p 'my'\''s' --apply-to queues 'errand-timeout-a.b+it'\''s' '^a\.b\+it'\''s$' '{"consumer-timeout":3660000}'`
	tests := []struct {
		name, version, vhost, queue string
		maxTime                     time.Duration
		want                        string
	}{
		{"fits", "3.13.7", "/", "pdf", 29 * time.Minute, ""},
		{"no limit asked for", "3.13.7", "/", "pdf", 0, ""},
		{"the consumer asks by itself", "4.3.0", "/", "pdf", time.Hour, ""},
		{"policy", "3.12.0", "/", "pdf", time.Hour, pdf},
		{"policy on 4.2", "4.2.9", "/", "pdf", time.Hour, pdf},
		{"names are quoted", "4.2.9", "my's", "a.b+it's", time.Hour, odd},
		{"before policies", "3.11.9", "/", "pdf", time.Hour, "set in rabbitmq.conf: consumer_timeout = 3660000"},
	}
	for _, test := range tests {
		if got := timeoutAdvice(test.version, test.vhost, test.queue, test.maxTime); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
