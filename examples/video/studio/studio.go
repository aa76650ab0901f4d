package studio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/examples/video/format"
	"github.com/errandq/errand/examples/video/mp4"
	"github.com/errandq/errand/examples/video/picture"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
	"github.com/moby/sys/atomicwriter"
)

// A Studio works videos. Its jobs may run twice: they write the same files again.
type Studio struct {
	Files Files
	Maker format.Maker
	// Say is called with what has become of a video, by many goroutines at once.
	Say func(v Video, text string)
	// Ready is called for a video of which all is done, by many goroutines at once.
	Ready func(v Video, jobID string)
}

// Register gives w the studio's subscription and jobs, which are enqueued on p. w has to count
// groups.
func (s *Studio) Register(w *worker.Worker, p job.Enqueuer) {
	event.Subscribe(w, Uploaded, event.Durable(Ingest), event.EnqueueGroup(p, ready(), steps()...))
	worker.Handle(w, Transcode, s.transcode, worker.Timeout(10*time.Minute), worker.Retry(retry.Exponential{Initial: time.Second, Attempts: 3}))
	worker.Handle(w, ReadMetadata, s.readMetadata, worker.Timeout(time.Minute))
	worker.Handle(w, MakeThumbs, s.makeThumbs, worker.Timeout(time.Minute))
	worker.Handle(w, Announce, s.announce, worker.Timeout(time.Minute))
}

func (s *Studio) transcode(ctx context.Context, f Format) error {
	dir, err := s.Files.dir(f.Video)
	if err != nil {
		return err
	}
	began := time.Now()
	file, err := s.Maker.Make(ctx, source(dir), f.Height, formatFile(dir, f.Height))
	if errors.Is(err, format.ErrUnfit) {
		return retry.Permanent(err)
	}
	if err != nil {
		return err
	}
	s.Say(f.Video, fmt.Sprintf("%s, in %v", filepath.Base(file), time.Since(began).Round(time.Millisecond)))
	return nil
}

// metadata is what metadata.json says.
type metadata struct {
	Seconds float64 `json:"seconds"`
	Width   int     `json:"width"`
	Height  int     `json:"height"`
	Tracks  int     `json:"tracks"`
}

func (s *Studio) readMetadata(_ context.Context, v Video) error {
	dir, err := s.Files.dir(v)
	if err != nil {
		return err
	}
	info, err := readInfo(source(dir).Film)
	if errors.Is(err, mp4.ErrFormat) {
		return retry.Permanent(err)
	}
	if err != nil {
		return err
	}
	if err := writeJSON(metadataFile(dir), metadata{info.Duration.Seconds(), info.Width, info.Height, info.Tracks}); err != nil {
		return err
	}
	s.Say(v, fmt.Sprintf("metadata: %v, %d x %d", info.Duration, info.Width, info.Height))
	return nil
}

func readInfo(film string) (mp4.Info, error) {
	f, err := os.Open(film)
	if err != nil {
		return mp4.Info{}, fmt.Errorf("studio: %w", err)
	}
	defer f.Close() // it was only read
	stat, err := f.Stat()
	if err != nil {
		return mp4.Info{}, fmt.Errorf("studio: %w", err)
	}
	return mp4.Read(f, stat.Size())
}

// thumbHeights are those of the thumbnails, in pixels.
func thumbHeights() []int { return []int{120, 60, 30} }

func (s *Studio) makeThumbs(_ context.Context, v Video) error {
	dir, err := s.Files.dir(v)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(source(dir).Poster)
	if err != nil {
		return fmt.Errorf("studio: %w", err)
	}
	img, err := picture.Decode(text)
	if err != nil {
		return retry.Permanent(err)
	}
	for _, height := range thumbHeights() {
		small, err := picture.Fit(img, height)
		if err != nil {
			return err
		}
		if err := atomicwriter.WriteFile(thumbFile(dir, height), small, 0o644); err != nil {
			return fmt.Errorf("studio: %w", err)
		}
	}
	s.Say(v, fmt.Sprintf("%d thumbnails", len(thumbHeights())))
	return nil
}

// announce runs when all other jobs of a video are done. It looks, all the same.
func (s *Studio) announce(ctx context.Context, v Video) error {
	missing, err := s.Files.Missing(v)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fmt.Errorf("studio: video %s is said to be done, and has no %s", v.Name, strings.Join(missing, ", "))
	}
	dir, err := s.Files.dir(v)
	if err != nil {
		return err
	}
	j, _ := worker.JobFrom(ctx)
	if err := writeJSON(readyFile(dir), map[string]string{"video": v.Name, "job": j.ID}); err != nil {
		return err
	}
	s.Say(v, "ready")
	s.Ready(v, j.ID)
	return nil
}
