package studio

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/errandq/errand/event"
	"github.com/errandq/errand/examples/video/format"
	"github.com/errandq/errand/examples/video/sample"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
)

// newStudio has one uploaded video, and keeps what it announces.
func newStudio(t *testing.T, film, poster []byte) (s *Studio, v Video, announced *[]string) {
	t.Helper()
	v, announced = Video{"holiday"}, &[]string{}
	var mu sync.Mutex
	s = &Studio{
		Files: Files(t.TempDir()),
		Maker: format.StandIn{},
		Say:   func(Video, string) {},
		Ready: func(v Video, _ string) {
			mu.Lock()
			defer mu.Unlock()
			*announced = append(*announced, v.Name)
		},
	}
	if err := s.Files.Upload(v, film, poster); err != nil {
		t.Fatal(err)
	}
	return s, v, announced
}

func TestAnnouncesWhatIsComplete(t *testing.T) {
	t.Parallel()
	s, v, announced := newStudio(t, sample.Video, sample.Poster)
	steps := []func() error{
		func() error { return s.readMetadata(t.Context(), v) },
		func() error { return s.makeThumbs(t.Context(), v) },
	}
	for _, height := range Heights() {
		steps = append(steps, func() error { return s.transcode(t.Context(), Format{v, height}) })
	}
	for i, step := range steps {
		if err := s.announce(t.Context(), v); err == nil || len(*announced) > 0 {
			t.Errorf("before step %d: got %v and %q announced, want an error", i, err, *announced)
		}
		for range 2 { // twice does no harm
			if err := step(); err != nil {
				t.Fatalf("step %d: %v", i, err)
			}
		}
	}
	if err := s.announce(t.Context(), v); err != nil || !slices.Equal(*announced, []string{"holiday"}) {
		t.Errorf("got %v and %q announced, want the video", err, *announced)
	}
	dir, err := s.Files.dir(v)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(metadataFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	var got metadata
	want := metadata{float64(sample.Millis) / 1000, sample.Width, sample.Height, sample.Tracks}
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("got metadata %+v, %v, want %+v", got, err, want)
	}
}

// No retry cures a broken upload, and every retry may cure a missing one.
func TestBrokenUploads(t *testing.T) {
	t.Parallel()
	broken, v, _ := newStudio(t, []byte("no film"), []byte("no picture"))
	absent := Video{"absent"}
	for _, c := range []struct {
		name      string
		err       error
		permanent bool
	}{
		{"metadata", broken.readMetadata(t.Context(), v), true},
		{"thumbnails", broken.makeThumbs(t.Context(), v), true},
		{"format", broken.transcode(t.Context(), Format{v, 90}), true},
		{"metadata of an absent film", broken.readMetadata(t.Context(), absent), false},
		{"thumbnails of an absent poster", broken.makeThumbs(t.Context(), absent), false},
		{"format of an absent film", broken.transcode(t.Context(), Format{absent, 90}), false},
	} {
		if c.err == nil || retry.IsPermanent(c.err) != c.permanent {
			t.Errorf("%s: got %v, want an error, permanent: %v", c.name, c.err, c.permanent)
		}
	}
}

// Whoever can enqueue a job names no file outside of the directory.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	s, _, _ := newStudio(t, sample.Video, sample.Poster)
	for _, name := range []string{"", ".", "..", "../x", "/etc", "a/b", "A", "-i", "a b", "a\x00", "a*", strings.Repeat("a", 101)} {
		v := Video{name}
		for job, err := range map[string]error{
			"metadata":   s.readMetadata(t.Context(), v),
			"thumbnails": s.makeThumbs(t.Context(), v),
			"format":     s.transcode(t.Context(), Format{v, 90}),
			"announce":   s.announce(t.Context(), v),
			"upload":     s.Files.Upload(v, nil, nil),
		} {
			if !retry.IsPermanent(err) {
				t.Errorf("%s of %q: got %v, want a permanent error", job, name, err)
			}
		}
	}
}

// The jobs of an event are the same when it is worked again.
func TestStepsMakeTheSameJobs(t *testing.T) {
	t.Parallel()
	made := func(id string) (ids []string) {
		for i, step := range append(steps(), ready()) {
			j := step(event.Event{ID: id}, i, Video{"holiday"})
			if j.Err() != nil {
				t.Error(j.Err())
			}
			ids = append(ids, j.ID)
		}
		return ids
	}
	first := made("e1")
	if again := made("e1"); !slices.Equal(first, again) {
		t.Errorf("got %q, want %q again", again, first)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(append(first, made("e2")...))))); n != 12 {
		t.Errorf("two events make %d different jobs, want 12", n)
	}
	if handler := event.EnqueueGroup(nobody{}, ready(), steps()...); !errors.Is(handler(t.Context(), Video{}), event.ErrNoEvent) {
		t.Error("a handler outside of a worker is no error")
	}
}

type nobody struct{}

// Enqueue implements [job.Enqueuer].
func (nobody) Enqueue(context.Context, ...job.Job) error { return errors.New("nobody is here") }
