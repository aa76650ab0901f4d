package backup

import "github.com/errandq/errand/job"

// A File is one file to back up.
type File struct {
	// Run names the producer's run that waits to hear of the file. Empty: nobody waits.
	Run string `json:"run,omitempty"`
	// Source is the absolute path of the directory that is backed up.
	Source string `json:"source"`
	// Path is the file's, below Source and slash-separated.
	Path string `json:"path"`
}

// CopyFile copies a file to the worker's store.
var CopyFile = job.Define[File]("backup.copy", job.Queue("backup"))
