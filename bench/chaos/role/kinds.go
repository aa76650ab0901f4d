package role

import (
	"time"

	"github.com/errandq/errand/bench/chaos/book"
	"github.com/errandq/errand/job"
)

// A Task is the argument of all jobs.
type Task struct {
	Sent      int64         // when it was made, in Unix nanoseconds
	NotBefore int64         `json:",omitempty"` // likewise
	Takes     time.Duration // how long it is worked on
	Ballast   []byte        `json:",omitempty"`
}

// Names of kinds that others speak of.
const (
	KindLong      = "long"
	KindRefused   = "refused"
	KindSacrifice = "sacrifice"
)

// The queues. Long jobs have one of their own, because before RabbitMQ 4.3 the timeout of
// one takes its neighbours along.
const (
	queuePlain     = "plain"
	queueDelayed   = "delayed"
	queueLong      = "long"
	QueueSacrifice = "sacrifice" // is deleted now and then
)

// Queues are all queues of jobs.
var Queues = []string{queuePlain, queueDelayed, queueLong, QueueSacrifice}

var (
	plain     = job.Define[Task]("plain", job.Queue(queuePlain))
	delayed   = job.Define[Task]("delayed", job.Queue(queueDelayed))
	flaky     = job.Define[Task]("flaky", job.Queue(queuePlain))     // fails, then succeeds
	permanent = job.Define[Task]("permanent", job.Queue(queuePlain)) // says that no retry can help
	exhausted = job.Define[Task]("exhausted", job.Queue(queuePlain)) // fails until nobody tries any more
	sacrifice = job.Define[Task](KindSacrifice, job.Queue(QueueSacrifice))
	long      = job.Define[Task](KindLong, job.Queue(queueLong))
	refused   = job.Define[Task](KindRefused, job.Queue(queuePlain)) // is larger than the server takes
)

// Fates are what is to become of the kinds.
func Fates() map[string]book.Fate {
	return map[string]book.Fate{
		plain.Name():     book.Work,
		delayed.Name():   book.Work,
		flaky.Name():     book.Work,
		long.Name():      book.Work,
		permanent.Name(): book.Die,
		exhausted.Name(): book.Die,
		sacrifice.Name(): book.Risk,
		refused.Name():   book.Refuse,
	}
}
