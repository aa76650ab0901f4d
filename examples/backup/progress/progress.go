package progress

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"github.com/errandq/errand/examples/backup/tally"
)

// A Display shows snapshots while it runs. What is written to it meanwhile, log lines say,
// appears above or between them in one piece.
type Display interface {
	io.Writer
	// Run shows snapshots until ctx is done, and the last one then. It is called once.
	Run(ctx context.Context)
}

// New returns a Bar if out is a terminal and Lines if it is not. A terminal that doesn't know
// its size, as on some build servers, gets Lines too: a bar would not show there.
func New(out *os.File, snapshot func() tally.Snapshot) Display {
	width, height, err := term.GetSize(int(out.Fd()))
	if err == nil && width > 0 && height > 0 {
		return NewBar(out, snapshot)
	}
	return &Lines{Out: out, Snapshot: snapshot, Every: 5 * time.Second}
}
