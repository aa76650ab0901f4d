package worker

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// A worker that dies takes along all jobs that it holds, and RabbitMQ counts that against
// each of them, innocent ones too: it can't know which of them was at fault. If they came
// again together, in the same order, a job that kills its worker would take its neighbours
// to the limit with it. So jobs that have been through this suspectAfter times are not run
// but sent away for a while, each for another, and come back in other company with RabbitMQ's
// count at nothing. An innocent one is done the first time it does not meet the culprit. The
// culprit goes on until the jobs' own count says topology.CrashLimit.
const suspectAfter = 3

// Suspects are away for a random time of up to longestAway, less at first.
const longestAway = 12 * time.Second

// suspect reports whether the job has been handed out too often to be run, and has sent it
// elsewhere then.
func (r *run) suspect() bool {
	handedOut := r.delivery.Deliveries
	if handedOut < suspectAfter || !topology.HasRetries(r.pool.options...) {
		return false
	}
	r.job.Crashes += handedOut
	if r.job.Crashes > topology.CrashLimit {
		r.putAside(job.Crashed, fmt.Errorf("worker: handed out %d times, and never answered: its workers died, lost their connections, or took too long", r.job.Crashes))
		return true
	}
	delay := time.Second + rand.N(min(time.Duration(r.job.Crashes)*time.Second, longestAway-time.Second))
	if r.later(delay, r.job) {
		r.became(Suspected, nil)
		r.pool.log.Warn("job was handed out too often without an answer, and is sent away from its neighbours",
			"kind", r.job.Kind, "job", r.job.ID, "times", r.job.Crashes, "delay", delay)
	}
	return true
}
