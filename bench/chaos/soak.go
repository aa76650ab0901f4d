package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/errandq/errand/bench/chaos/ledger"
	"github.com/errandq/errand/bench/chaos/role"
)

// soak looks at what processes and server hold, and whether it grows.
type soak struct {
	h *harness

	mu      sync.Mutex
	usage   map[string]ledger.Usage // the latest of each child
	samples []sample
}

// A sample is what is held at one time. The first child of each role is never killed, so only
// these are summed.
type sample struct {
	at     time.Duration
	client ledger.Usage
	server holdings
}

const (
	sampleEvery = 5 * time.Second
	soakLeast   = 5 * time.Minute // a shorter run says nothing of leaks
)

func newSoak(h *harness) *soak { return &soak{h: h, usage: map[string]ledger.Usage{}} }

// add enters what a child says of itself.
func (s *soak) add(child string, e ledger.Event) {
	if e.What != ledger.Self {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.usage[child] = *e.Usage
}

// start samples until stop.
func (s *soak) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		said := time.Now()
		for role.Sleep(ctx, sampleEvery) == nil {
			v, ok := s.sample(ctx)
			if ok && time.Since(said) >= time.Minute {
				said = time.Now()
				s.h.say("%s", v)
			}
		}
	}()
	return func() { cancel(); <-done }
}

// sample looks once. A server that is down has no sample.
func (s *soak) sample(ctx context.Context) (v sample, ok bool) {
	server, err := s.h.cluster.observe(ctx)
	if err != nil {
		return v, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v = sample{at: time.Since(s.h.began), server: server}
	for name, u := range s.usage {
		if name[len(name)-1] != '1' {
			continue
		}
		v.client.Goroutines += u.Goroutines
		v.client.Files += u.Files
		v.client.RSS += u.RSS
	}
	s.samples = append(s.samples, v)
	return v, true
}

// String is the line of a minute.
func (v sample) String() string {
	return fmt.Sprintf("after %v: clients %d MB, %d goroutines, %d files; server %d MB, %d processes, %d files, %d connections, %d channels, %d queues",
		v.at.Round(time.Second), v.client.RSS>>20, v.client.Goroutines, v.client.Files,
		v.server.Memory>>20, v.server.Processes, v.server.Files, v.server.Connections, v.server.Channels, v.server.Queues)
}

// last looks at the server when all work is done, and has those that work say what their
// goroutines do, for whoever has to explain a trend.
func (s *soak) last(ctx context.Context) {
	if s.h.lasts < soakLeast || role.Sleep(ctx, 2*sampleEvery) != nil {
		return
	}
	for _, c := range append(s.h.of(role.Worker), s.h.of(role.Server)...) { // the others have ended
		if err := c.tell(role.Dump); err != nil {
			s.h.fail(err)
		}
	}
	if v, ok := s.sample(ctx); ok {
		s.h.say("at rest: %s", v)
	}
}

// A trend is a quantity in the second and in the last quarter of a run, by its median: the
// first quarter is for warming up.
type trend struct {
	name          string
	early, late   int
	slack         int // growth that is none
	slackPercents int
}

func (t trend) grows() bool { return t.late > t.early+t.slack+t.early*t.slackPercents/100 }

// trends are those of a run that was long enough.
func (s *soak) trends() (all []trend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.h.lasts < soakLeast || len(s.samples) < 16 {
		return nil
	}
	quarter := len(s.samples) / 4
	early, late := s.samples[quarter:2*quarter], s.samples[len(s.samples)-quarter:]
	for _, q := range []struct {
		name            string
		of              func(sample) int
		slack, percents int
	}{
		{"clients: memory, MB", func(v sample) int { return v.client.RSS >> 20 }, 16, 15},
		{"clients: goroutines", func(v sample) int { return v.client.Goroutines }, 8, 5},
		{"clients: files", func(v sample) int { return v.client.Files }, 4, 5},
		{"server: memory, MB", func(v sample) int { return v.server.Memory >> 20 }, 50, 25},
		{"server: processes", func(v sample) int { return v.server.Processes }, 20, 5},
		{"server: files", func(v sample) int { return v.server.Files }, 10, 5},
		{"server: connections", func(v sample) int { return v.server.Connections }, 2, 5},
		{"server: channels", func(v sample) int { return v.server.Channels }, 4, 5},
		{"server: queues", func(v sample) int { return v.server.Queues }, 2, 5},
	} {
		all = append(all, trend{q.name, medianOf(early, q.of), medianOf(late, q.of), q.slack, q.percents})
	}
	return all
}

func medianOf(samples []sample, of func(sample) int) int {
	values := make([]int, len(samples))
	for i, v := range samples {
		values[i] = of(v)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
