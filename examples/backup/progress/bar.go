package progress

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/errandq/errand/examples/backup/tally"
)

// refresh is how often the bar moves.
const refresh = 200 * time.Millisecond

// A Bar draws one bar over the bytes of all files, with counters beside it.
type Bar struct {
	screen   *mpb.Progress
	snapshot func() tally.Snapshot
}

// NewBar returns a Bar that draws on out, which it takes for a terminal. Run has to be called.
func NewBar(out io.Writer, snapshot func() tally.Snapshot) *Bar {
	return &Bar{
		screen:   mpb.New(mpb.WithOutput(out), mpb.ForceTTY(), mpb.WithAutoRefresh(), mpb.WithRefreshRate(refresh)),
		snapshot: snapshot,
	}
}

// Write implements [io.Writer].
func (b *Bar) Write(p []byte) (int, error) { return b.screen.Write(p) }

// Run implements [Display].
func (b *Bar) Run(ctx context.Context) {
	bar := b.screen.AddBar(0, // grows while the tree is walked
		mpb.PrependDecorators(b.text(files)),
		mpb.AppendDecorators(b.text(speed)),
	)
	tick := time.NewTicker(refresh)
	defer tick.Stop()
	for ctx.Err() == nil {
		now := b.snapshot()
		bar.SetTotal(max(now.Bytes, 1), false) // a total of zero would be taken for an unknown one
		bar.SetCurrent(now.Settled)
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	b.finish(bar)
}

// finish draws the last snapshot and leaves it on the screen: a full bar if nothing is
// missing, else one that stands where it stopped.
func (b *Bar) finish(bar *mpb.Bar) {
	now := b.snapshot()
	bar.SetCurrent(now.Settled)
	if now.Done+now.Failed == now.Files {
		bar.SetTotal(max(now.Bytes, 1), true)
	} else {
		bar.Abort(false)
	}
	b.screen.Wait()
}

func (b *Bar) text(f func(tally.Snapshot) string) decor.Decorator {
	return decor.Any(func(decor.Statistics) string { return f(b.snapshot()) })
}

func files(s tally.Snapshot) string {
	return fmt.Sprintf("%d/%d done, %d failed, %d retried ", s.Done, s.Files, s.Failed, s.Retried)
}

func speed(s tally.Snapshot) string {
	return fmt.Sprintf(" %s of %s, %s, ETA %s", size(s.Settled), size(s.Bytes), rate(s), eta(s))
}
