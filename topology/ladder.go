package topology

import (
	"math/bits"
	"strings"
	"time"
)

// The delay ladder. Level L, from 7 to 34, is a topic exchange and a queue whose messages
// all live 2^L milliseconds and then go to the exchange of level L-1. A delayed job's key
// spells its delay in binary, one word a level from the highest down, then its queue:
// where a word is 1 the exchange of that level sends the job through its queue, where it is
// 0 straight on to the next level. So any delay costs one hop for each bit that is set, and
// because all messages of one queue wait equally long, none ever waits behind another.
const (
	minLevel  = 7  // 128 ms: nothing shorter is worth a hop
	delayBits = 28 // as many as a key of 255 bytes can carry before a queue's name
	maxLevel  = minLevel + delayBits - 1
)

// Resolution is the ladder's step: delays are rounded up to its multiples.
const Resolution = (1 << minLevel) * time.Millisecond

// MaxDelay is the longest delay of one trip, about 397 days. A longer one is cut to it, and
// the worker that gets the job too early sends it round again.
const MaxDelay = (1<<delayBits - 1) * Resolution

// Ladder declares the levels that a delay of up to upTo needs, with [Base]. A delay of zero
// or less needs none.
func Ladder(ns Namespace, upTo time.Duration) Topology {
	t := Base(ns)
	top := bits.Len64(steps(upTo)) - 1 + minLevel
	for level := minLevel; level <= top; level++ {
		addLevel(&t, ns, level)
	}
	return t
}

func addLevel(t *Topology, ns Namespace, level int) {
	name, down := ns.Delay(level), ns.Due()
	if level > minLevel {
		down = ns.Delay(level - 1)
	}
	before := strings.Repeat("*.", maxLevel-level) // the words of the levels above
	t.Exchanges = append(t.Exchanges, Exchange{Name: name, Kind: "topic"})
	t.Queues = append(t.Queues, Queue{Name: name, Args: map[string]any{
		"x-queue-type":           "quorum",
		"x-message-ttl":          1 << level,
		"x-delivery-limit":       unlimited, // nobody consumes here; an operator who looks must not lose jobs
		"x-dead-letter-exchange": down,
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow":             "reject-publish",
	}})
	t.Bindings = append(t.Bindings,
		Binding{Source: name, Key: before + "1.#", Destination: name},
		Binding{Source: name, Key: before + "0.#", Destination: down, ToExchange: true},
	)
}

// Path is a delayed job's way through the ladder: publish it to Exchange with Key, and it
// comes to its queue after Delay. The Ladder up to Delay has to be declared.
type Path struct {
	Exchange string
	Key      string
	Delay    time.Duration // what was asked for, rounded up to Resolution, at most MaxDelay
}

// Route returns the path of a job that is to reach queue after delay. A delay of zero or
// less counts as [Resolution].
func Route(ns Namespace, queue string, delay time.Duration) Path {
	n := max(steps(delay), 1)
	top := bits.Len64(n) - 1
	key := make([]byte, 0, 2*delayBits+len(queue))
	for bit := delayBits - 1; bit >= 0; bit-- {
		key = append(key, '0'+byte(n>>bit&1), '.')
	}
	return Path{
		Exchange: ns.Delay(top + minLevel),
		Key:      string(append(key, queue...)),
		Delay:    time.Duration(n) * Resolution,
	}
}

// RoundRetry rounds a retry's delay up to one that the ladder serves in at most three hops,
// because each hop costs RabbitMQ as much as another job. The result is at most a quarter
// longer, plus [Resolution].
func RoundRetry(delay time.Duration) time.Duration {
	const significant = 3
	n := steps(delay)
	if drop := bits.Len64(n) - significant; drop > 0 {
		n = (n + 1<<drop - 1) >> drop << drop
	}
	return min(time.Duration(n)*Resolution, MaxDelay)
}

// steps is delay in units of Resolution, rounded up, at most MaxDelay.
func steps(delay time.Duration) uint64 {
	delay = min(max(delay, 0), MaxDelay)
	return uint64((delay + Resolution - 1) / Resolution)
}
