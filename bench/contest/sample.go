package contest

import (
	"fmt"
	"time"
)

// A Sample is one round of one contender at one work. What could not be measured is 0.
type Sample struct {
	Jobs      int     `json:"jobs"`
	Rate      float64 `json:"rate"`       // jobs a second
	CPU       float64 `json:"cpu"`        // of the client, user and system, microseconds a job
	ServerCPU float64 `json:"server_cpu"` // of the server, microseconds a job
	PeerCPU   float64 `json:"peer_cpu"`   // of the process that answers calls, microseconds a call
	Bytes     float64 `json:"bytes"`      // allocated by the client, a job
	Allocs    float64 `json:"allocs"`     // allocations of the client, a job
	PeakRSS   float64 `json:"peak_rss"`   // of the client, MiB

	Held float64 `json:"held,omitempty"` // memory of jobs that are running, MiB for 1,000 of them
	Hops float64 `json:"hops,omitempty"` // queues of errand's ladder that a delayed job goes through, on average

	// Times are in milliseconds: from enqueueing to the handler, of a call, or how much later
	// than due a delayed job came.
	Times *Times `json:"times,omitempty"`
}

// Times are quantiles.
type Times struct {
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// check returns an error if the sample can't be what was asked for.
func (s Sample) check(w Work) error {
	jobs := w.Jobs
	if w.isDelayed() {
		jobs++ // the one that declares
	}
	switch {
	case jobs > 0 && s.Jobs != jobs:
		return fmt.Errorf("%d jobs were done, want %d", s.Jobs, jobs)
	case s.Jobs == 0, !(s.Rate > 0), !(s.CPU > 0), !(s.Bytes > 0), !(s.Allocs > 0):
		return fmt.Errorf("something was not measured: %+v", s)
	case timed(w) && !s.Times.ordered():
		return fmt.Errorf("times are missing, or not in order: %+v", s.Times)
	}
	return nil
}

// ordered reports whether there are times, and greater quantiles are not smaller.
func (t *Times) ordered() bool {
	return t != nil && t.Min <= t.P50 && t.P50 <= t.P99 && t.P99 <= t.P999 && t.P999 <= t.Max
}

// An assignment is what the parent tells the child.
type assignment struct {
	Contender string `json:"contender"`
	Work      Work   `json:"work"`
	URL       string `json:"url"`
	ServerPID int    `json:"server_pid"`
	Short     bool   `json:"short"` // see whether it works: look whether enqueued jobs are there, and don't wait for quiet
	Serve     bool   `json:"serve"` // answer calls, instead of measuring
	Profiles  string `json:"profiles,omitempty"`
}

// patience is how long one sample may take.
const patience = 5 * time.Minute
