package contest

import (
	"math"
	"time"
)

// A Kind is what is done, with numbers left open.
type Kind string

// The kinds of work.
const (
	Enqueue Kind = "enqueue" // callers that each wait until their job is confirmed
	Batch   Kind = "batch"   // one caller with many jobs at hand
	Consume Kind = "consume" // a full queue is worked off
	Through Kind = "through" // enqueued as by Batch and worked meanwhile
	Waiting Kind = "waiting" // enqueued as by Enqueue and worked meanwhile
	Paced   Kind = "paced"   // so many jobs a second, worked meanwhile
	Delayed Kind = "delayed" // so many jobs a second that are due later
	Mixed   Kind = "mixed"   // as Consume, jobs of many kinds
	Hops    Kind = "hops"    // as Delayed, through several queues of errand's ladder
	Ladder  Kind = "ladder"  // jobs that are due at different times later, all enqueued at once
	Hold    Kind = "hold"    // jobs that are all running at once
	Calls   Kind = "calls"   // requests and responses
	Direct  Kind = "direct"  // calls by direct reply-to
)

// A Work is what contenders are asked to do.
type Work struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`

	Jobs     int           `json:"jobs,omitempty"`
	Span     time.Duration `json:"span,omitempty"`     // how long, where the number of jobs is not given
	Callers  int           `json:"callers,omitempty"`  // how many wait at once, one job each
	Window   int           `json:"window,omitempty"`   // unconfirmed jobs of Batch at most, where the contender counts them
	Group    int           `json:"group,omitempty"`    // jobs in one call of Batch, where the contender takes many
	Prefetch int           `json:"prefetch,omitempty"` // jobs that the worker holds
	Handlers int           `json:"handlers,omitempty"` // handlers that run at once; 0: what suits the contender best
	Rate     int           `json:"rate,omitempty"`     // jobs a second
	Delay    time.Duration `json:"delay,omitempty"`    // after which a job is due
	Size     int           `json:"size"`               // bytes of JSON

	Workers int           `json:"workers,omitempty"` // worker processes' worth of consumers, with a connection each
	Queues  int           `json:"queues,omitempty"`  // over which the jobs are spread
	Kinds   int           `json:"kinds,omitempty"`   // of jobs, in turn
	Spread  time.Duration `json:"spread,omitempty"`  // a job is due after Delay and up to Spread more

	// Often says how many samples are made in each round, where single ones are short and far
	// apart.
	Often int `json:"often,omitempty"`
}

// oneHop is a delay that takes errand's jobs through one queue of the ladder. All contenders
// get the same.
const oneHop = 1024 * time.Millisecond

// pacing is how many callers enqueue at a given rate: enough that a slow confirm doesn't make
// the next job late.
const pacing = 32

// Works is what is measured.
func Works() []Work {
	works := []Work{
		{Name: "enqueue, one caller", Kind: Enqueue, Jobs: 2000, Callers: 1},
		{Name: "enqueue, batch", Kind: Batch, Jobs: 30000},
		{Name: "enqueue, 64 callers", Kind: Enqueue, Jobs: 20000, Callers: 64},
		{Name: "work off a queue, prefetch 100", Kind: Consume, Jobs: 30000, Prefetch: 100},
		{Name: "work off a queue, prefetch 1000", Kind: Consume, Jobs: 50000, Prefetch: 1000},
		{Name: "end to end, batch", Kind: Through, Jobs: 20000, Prefetch: 100},
		{Name: "end to end, 64 callers", Kind: Waiting, Jobs: 20000, Callers: 64, Prefetch: 100, Handlers: 100},
		{Name: "latency at 1,000/s", Kind: Paced, Jobs: 2000, Rate: 1000, Callers: pacing, Prefetch: 100, Handlers: 100, Often: 3},
		{Name: "one hop of delay, 200/s", Kind: Delayed, Jobs: 400, Rate: 200, Callers: pacing, Prefetch: 100, Handlers: 100, Delay: oneHop},
		{Name: "one hop of delay, 1,000/s", Kind: Delayed, Jobs: 2000, Rate: 1000, Callers: pacing, Prefetch: 100, Handlers: 100, Delay: oneHop},
	}
	for _, k := range []struct {
		kind Kind
		name string
	}{{Calls, "calls"}, {Direct, "calls, direct reply-to"}} {
		works = append(works,
			Work{Name: k.name + ", one caller", Kind: k.kind, Span: 2 * time.Second, Callers: 1},
			Work{Name: k.name + ", 16 callers", Kind: k.kind, Span: 2 * time.Second, Callers: 16},
			Work{Name: k.name + ", 128 callers", Kind: k.kind, Span: 2 * time.Second, Callers: 128},
		)
	}
	for i := range works {
		works[i] = works[i].withDefaults()
	}
	return works
}

// CallSlots is how many calls a server works at once, and its prefetch.
const CallSlots = 128

func (w Work) withDefaults() Work {
	if w.Size == 0 {
		w.Size = 256
	}
	if w.Window == 0 {
		w.Window = 1000
	}
	if w.Group == 0 {
		w.Group = 10000
	}
	if w.Often == 0 {
		w.Often = 1
	}
	if w.Prefetch == 0 {
		w.Prefetch = CallSlots
	}
	w.Workers, w.Queues, w.Kinds = max(w.Workers, 1), max(w.Queues, 1), max(w.Kinds, 1)
	return w
}

// short is the same with few jobs, to see whether it works at all.
func (w Work) short() Work {
	w.Jobs = min(w.Jobs, 320)
	w.Spread = min(w.Spread, time.Second)
	if w.Kind == Hold {
		w.Prefetch, w.Handlers = w.Jobs, w.Jobs
	}
	w.Span = min(w.Span, 100*time.Millisecond)
	w.Often = 1
	if w.Rate > 0 {
		w.Jobs = min(w.Jobs, 100)
	}
	return w
}

// long is the same with ten times the jobs: a profile has a hundred samples a second.
func (w Work) long() Work {
	if w.Rate == 0 {
		w.Jobs *= 10
	}
	w.Span *= 5
	return w
}

// share is the same with that part of the jobs.
func (w Work) share(part float64) Work {
	if part > 0 {
		w.Jobs = int(math.Ceil(float64(w.Jobs) * part))
	}
	return w
}
