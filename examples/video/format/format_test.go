package format_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/errandq/errand/examples/video/format"
	"github.com/errandq/errand/examples/video/mp4"
	"github.com/errandq/errand/examples/video/picture"
	"github.com/errandq/errand/examples/video/sample"
)

// upload writes files into a new directory.
func upload(t *testing.T, film, poster []byte) (s format.Source, dir string) {
	t.Helper()
	dir = t.TempDir()
	s = format.Source{Film: filepath.Join(dir, "film"), Poster: filepath.Join(dir, "poster")}
	if err := errors.Join(os.WriteFile(s.Film, film, 0o600), os.WriteFile(s.Poster, poster, 0o600)); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// files are the names in dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func ffmpeg(t *testing.T) format.FFmpeg {
	t.Helper()
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skipf("ffmpeg is not installed, so it is not tested here: %v", err)
	}
	return format.FFmpeg(program)
}

func TestFFmpeg(t *testing.T) {
	t.Parallel()
	f := ffmpeg(t)
	s, dir := upload(t, sample.Video, sample.Poster)
	for range 2 {
		file, err := f.Make(t.Context(), s, 90, filepath.Join(dir, "90p"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		info, err := mp4.Read(bytes.NewReader(text), int64(len(text)))
		if err != nil || info.Height != 90 || info.Width != 160 || info.Duration.Seconds() < 3.4 || info.Duration.Seconds() > 3.7 {
			t.Errorf("got %+v, %v, want the film in 160 x 90", info, err)
		}
	}
	if got := files(t, dir); len(got) != 3 {
		t.Errorf("got the files %q, want film, poster and 90p.mp4", got)
	}
}

func TestFFmpegFails(t *testing.T) {
	t.Parallel()
	f := ffmpeg(t)
	s, dir := upload(t, []byte("no film"), nil)
	if file, err := f.Make(t.Context(), s, 90, filepath.Join(dir, "90p")); err == nil {
		t.Errorf("got %s of what is no film, want an error", file)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Make(ctx, s, 90, filepath.Join(dir, "90p")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that of the context", err)
	}
	if got := files(t, dir); len(got) != 2 {
		t.Errorf("got the files %q, want nothing new", got)
	}
}

func TestStandIn(t *testing.T) {
	t.Parallel()
	s, dir := upload(t, nil, sample.Poster)
	file, err := format.StandIn{}.Make(t.Context(), s, 90, filepath.Join(dir, "90p"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	img, err := picture.Decode(text)
	if err != nil || img.Bounds().Dy() != 90 {
		t.Errorf("got %v, %v, want a picture of height 90", img, err)
	}
}

func TestStandInFails(t *testing.T) {
	t.Parallel()
	s, dir := upload(t, nil, []byte("no picture"))
	if _, err := (format.StandIn{}).Make(t.Context(), s, 90, filepath.Join(dir, "90p")); !errors.Is(err, format.ErrUnfit) {
		t.Errorf("got %v, want an error that wraps ErrUnfit", err)
	}
	s.Poster = filepath.Join(dir, "missing")
	if _, err := (format.StandIn{}).Make(t.Context(), s, 90, filepath.Join(dir, "90p")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want an error that wraps os.ErrNotExist", err)
	}
}
