// Package studio makes of an uploaded video what its viewers need: formats to choose from,
// thumbnails, and what its header says.
package studio

import (
	"github.com/errandq/errand/event"
	"github.com/errandq/errand/job"
)

// A Video is what the event and all jobs tell: which one. The files are where [Files] says.
type Video struct {
	Name string `json:"name"`
}

// A Format is one of the forms of a video.
type Format struct {
	Video  Video `json:"video"`
	Height int   `json:"height"`
}

// Heights are those of the formats, in pixels.
func Heights() []int { return []int{240, 180, 90} }

// Uploaded tells that a video has come.
var Uploaded = event.Define[Video]("video.uploaded")

// Ingest is the name of the studio's subscription.
const Ingest = "video.ingest"

// The kinds of jobs that an upload becomes. Transcoding is slow, so it has a queue of its own
// and the others don't wait behind it.
var (
	Transcode    = job.Define[Format]("video.transcode", job.Queue("video.transcode"))
	ReadMetadata = job.Define[Video]("video.metadata", job.Queue("video.light"))
	MakeThumbs   = job.Define[Video]("video.thumbnails", job.Queue("video.light"))
	Announce     = job.Define[Video]("video.ready", job.Queue("video.light")) // when all of them are done
)

// steps are the jobs that an upload becomes.
func steps() []event.Step[Video] {
	same := func(v Video) Video { return v }
	all := []event.Step[Video]{event.Job(ReadMetadata, same), event.Job(MakeThumbs, same)}
	for _, height := range Heights() {
		all = append(all, event.Job(Transcode, func(v Video) Format { return Format{v, height} }))
	}
	return all
}

// ready is the job that follows on them.
func ready() event.Step[Video] { return event.Job(Announce, func(v Video) Video { return v }) }
