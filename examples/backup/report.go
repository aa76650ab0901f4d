package backup

import (
	"time"

	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/topology"
)

// A Report says what one attempt at a File came to. Jobs run at least once, so the same
// report may come twice.
type Report struct {
	Path    string         `json:"path"`
	Status  outcome.Status `json:"status"`
	Bytes   int64          `json:"bytes,omitempty"`  // copied to the store
	Attempt int            `json:"attempt"`          // from 1
	Reason  string         `json:"reason,omitempty"` // why it failed, or a note
}

// ReportsTo is the kind of the reports for one run. Each run has a queue of its own, because
// a shared one would hand a run the reports that another waits for.
func ReportsTo(run string) job.Kind[Report] {
	// Existing: workers must not make it again when the run is over.
	return job.Define[Report]("backup.report", job.Queue(reportQueue(run), topology.Existing()))
}

// ReportQueue declares the queue of a run's reports. RabbitMQ deletes it when nobody has
// listened to it for a quarter of an hour, so a producer that was killed leaves nothing
// behind, and one that is cut off for a while misses nothing.
func ReportQueue(run string) topology.Topology {
	return topology.Topology{Queues: []topology.Queue{{
		Name: reportQueue(run),
		Args: map[string]any{
			"x-queue-type": "quorum",
			"x-expires":    int(15 * time.Minute / time.Millisecond),
		},
	}}}
}

func reportQueue(run string) string { return "backup.reports." + run }
