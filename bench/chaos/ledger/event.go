package ledger

import "time"

// What says what has happened.
type What string

// What happens to a job.
const (
	Try     What = "try"     // Enqueue is about to be called
	Kept    What = "kept"    // it has returned nil
	Unsure  What = "unsure"  // it has returned an error that leaves open whether the job was taken
	Refused What = "refused" // it has returned one that says that the job was not
	Stuck   What = "stuck"   // it has not returned, long after its deadline
	Start   What = "start"   // a handler begins
	Done    What = "done"    // it is about to return nil
	Failed  What = "failed"  // it is about to return an error
	Lost    What = "lost"    // it has heard that its delivery is lost
)

// What happens to a call.
const (
	Call   What = "call"   // it is about to be made
	Right  What = "right"  // the answer is right
	Wrong  What = "wrong"  // it belongs to another call, or to none
	Error  What = "error"  // the call has ended with an error
	Hung   What = "hung"   // it has not ended, long after its deadline
	Answer What = "answer" // a server runs it
)

// Self is what a process says of itself now and then, see [Usage].
const Self What = "self"

// An Event is one line.
type Event struct {
	At      int64  `json:"at"` // Unix nanoseconds; Write sets it
	What    What   `json:"what"`
	ID      string `json:"id,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Sent    int64  `json:"sent,omitempty"`  // when the job or call was made, like At
	Early   bool   `json:"early,omitempty"` // the job was started before its time
	Note    string `json:"note,omitempty"`
	Usage   *Usage `json:"usage,omitempty"`
}

// Usage is what a process holds. What the system does not tell is zero.
type Usage struct {
	Goroutines int `json:"goroutines"`
	Files      int `json:"files"` // open descriptors
	RSS        int `json:"rss"`   // bytes in memory
}

// Time is At as a time.
func (e *Event) Time() time.Time { return time.Unix(0, e.At) }
