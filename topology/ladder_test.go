package topology_test

import (
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/errandq/errand/topology"
)

// walk follows a message through declared topic exchanges and TTL queues as RabbitMQ
// would, and returns the queues where it ends, and after how long.
func walk(t *testing.T, top topology.Topology, exchange, key string) (ends []string, after time.Duration) {
	t.Helper()
	queues := map[string]topology.Queue{}
	for _, q := range top.Queues {
		queues[q.Name] = q
	}
	for hops := 0; exchange != ""; hops++ {
		if hops > 100 {
			t.Fatalf("message with key %q goes in circles at %s", key, exchange)
		}
		matched := route(top, exchange, key)
		exchange = ""
		for _, b := range matched {
			q, ttl := queues[b.Destination], 0
			if !b.ToExchange {
				ttl, _ = q.Args["x-message-ttl"].(int)
			}
			switch {
			case b.ToExchange:
				exchange = b.Destination
			case ttl > 0:
				after += time.Duration(ttl) * time.Millisecond
				exchange = q.Args["x-dead-letter-exchange"].(string)
			default:
				ends = append(ends, b.Destination)
			}
		}
		if len(matched) > 1 && exchange != "" {
			t.Fatalf("key %q matches %d bindings inside the ladder: %v", key, len(matched), matched)
		}
	}
	return ends, after
}

func route(top topology.Topology, exchange, key string) (matched []topology.Binding) {
	for _, b := range top.Bindings {
		if b.Source == exchange && topicMatch(strings.Split(b.Key, "."), strings.Split(key, ".")) {
			matched = append(matched, b)
		}
	}
	return matched
}

// topicMatch is AMQP's rule: * is one word, # any number of words.
func topicMatch(pattern, key []string) bool {
	if len(pattern) == 0 {
		return len(key) == 0
	}
	if pattern[0] == "#" {
		for i := 0; i <= len(key); i++ {
			if topicMatch(pattern[1:], key[i:]) {
				return true
			}
		}
		return false
	}
	return len(key) > 0 && (pattern[0] == "*" || pattern[0] == key[0]) && topicMatch(pattern[1:], key[1:])
}

func TestRouteTakesExactlyItsDelayAndReachesOnlyItsQueue(t *testing.T) {
	t.Parallel()
	queues := []string{"pdf", "a.b.c", "0.1", "1", "pdf.dead", ".", "x" + strings.Repeat(".1", 60)}
	var all []topology.Topology
	for _, q := range queues {
		all = append(all, topology.Work("", q))
	}
	all = append(all, topology.Ladder("", topology.MaxDelay))
	top := topology.Join(all...)

	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		// Spread over all magnitudes, not only the largest.
		delay := time.Duration(rnd.Int64N(int64(topology.MaxDelay)>>rnd.IntN(40) + 1))
		queue := queues[i%len(queues)]
		p := topology.Route("", queue, delay)
		if p.Delay < delay || p.Delay >= delay+topology.Resolution+time.Nanosecond {
			t.Fatalf("Route(%q, %v) takes %v: want it rounded up to a multiple of %v", queue, delay, p.Delay, topology.Resolution)
		}
		ends, after := walk(t, top, p.Exchange, p.Key)
		if len(ends) != 1 || ends[0] != queue {
			t.Fatalf("Route(%q, %v) with key %q ends in %q", queue, delay, p.Key, ends)
		}
		if after != p.Delay {
			t.Fatalf("Route(%q, %v): waits %v in queues, path says %v", queue, delay, after, p.Delay)
		}
	}
}

func TestLadderUpToADelayCarriesIt(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{1, time.Millisecond, 128 * time.Millisecond, 129 * time.Millisecond,
		time.Second, time.Minute, time.Hour, 24 * time.Hour, topology.MaxDelay, topology.MaxDelay + 1} {
		top := topology.Join(topology.Work("ns", "q"), topology.Ladder("ns", delay))
		p := topology.Route("ns", "q", delay)
		ends, after := walk(t, top, p.Exchange, p.Key)
		if len(ends) != 1 || ends[0] != "q" || after != p.Delay {
			t.Errorf("delay %v: ends in %q after %v, want q after %v", delay, ends, after, p.Delay)
		}
	}
	if got := topology.Ladder("", 0); len(got.Queues) != 1 {
		t.Errorf("Ladder up to 0 declares levels:\n%s", got)
	}
}

func TestMaxDelayIsCut(t *testing.T) {
	t.Parallel()
	p := topology.Route("", "q", 1<<62)
	if p.Delay != topology.MaxDelay {
		t.Errorf("got %v, want MaxDelay %v", p.Delay, topology.MaxDelay)
	}
	if len(p.Key) > 255 || len(topology.Route("", strings.Repeat("q", topology.MaxQueueName), 1).Key) > 255 {
		t.Error("a key is longer than AMQP's 255 bytes")
	}
}

func TestRoundRetry(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		delay := time.Duration(rnd.Int64N(int64(topology.MaxDelay) >> rnd.IntN(40)))
		got := topology.RoundRetry(delay)
		if got < delay || got > delay+delay/4+topology.Resolution {
			t.Fatalf("RoundRetry(%v) = %v: want at most a quarter longer", delay, got)
		}
		if hops := bits.OnesCount64(uint64(got / topology.Resolution)); hops > 3 && got != topology.MaxDelay {
			t.Fatalf("RoundRetry(%v) = %v takes %d hops", delay, got, hops)
		}
	}
	for _, powerOfTwo := range []time.Duration{time.Second, 2 * time.Second, 64 * time.Second} {
		got := topology.RoundRetry(powerOfTwo) / topology.Resolution
		if bits.OnesCount64(uint64(got)) != 1 {
			t.Errorf("RoundRetry(%v) = %v steps: want one hop", powerOfTwo, got)
		}
	}
}
