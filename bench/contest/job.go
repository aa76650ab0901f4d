package contest

import (
	"fmt"
	"strings"
	"time"
)

// Args are the arguments of the measured job.
type Args struct {
	Number int64  `json:"number"` // from firstNumber on
	Sent   int64  `json:"sent"`   // nanoseconds of the child's clock
	Note   string `json:"note"`   // as long as the job's size asks for
}

// Numbers and times have the same number of digits always, so that all jobs are equally long.
const (
	firstNumber = 1_000_000_000
	firstSent   = 1_000_000_000_000_000_000
)

// empty is how long the JSON is without a note.
var empty = len(fmt.Sprintf(`{"number":%d,"sent":%d,"note":""}`, firstNumber, firstSent))

// note fills a job up to size bytes of JSON.
func note(size int) string { return strings.Repeat("x", max(size-empty, 0)) }

// A clock counts the nanoseconds since it began, and does not jump.
type clock struct{ began time.Time }

func (c clock) now() int64                     { return firstSent + int64(time.Since(c.began)) }
func (c clock) since(sent int64) time.Duration { return time.Duration(c.now() - sent) }
