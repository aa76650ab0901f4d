// Package format makes the forms of a video that viewers choose from, by ffmpeg if there is
// one. If there is none, nothing here can decode a film: then the film's poster, in the same
// sizes, stands in for it.
package format

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/errandq/errand/examples/video/picture"
	"github.com/moby/sys/atomicwriter"
)

// ErrUnfit is wrapped by the errors about sources that can't be used, however often one tries.
var ErrUnfit = errors.New("format: unfit")

// A Source is what is uploaded: names of files.
type Source struct{ Film, Poster string }

// A Maker makes one format of a source.
type Maker interface {
	// Make writes the source in the given height to the file that begins with name, and
	// returns the file's whole name. It is there complete, or not at all. Making it again
	// replaces it.
	Make(ctx context.Context, s Source, height int, name string) (file string, err error)
	// String says what is made.
	String() string
}

// Find returns the best maker that there is on this machine.
func Find() Maker {
	if program, err := exec.LookPath("ffmpeg"); err == nil {
		return FFmpeg(program)
	}
	return StandIn{}
}

// FFmpeg is the file name of that program.
type FFmpeg string

// String implements [Maker].
func (f FFmpeg) String() string { return "films by " + string(f) }

// Make implements [Maker].
func (f FFmpeg) Make(ctx context.Context, s Source, height int, name string) (string, error) {
	file := name + ".mp4"
	part, err := newPart(file)
	if err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	defer func() { _ = os.Remove(part) }() // it is there if something went wrong
	cmd := exec.CommandContext(ctx, string(f), "-nostdin", "-hide_banner", "-loglevel", "error", "-y",
		"-i", "file:"+s.Film, "-vf", "scale=-2:"+strconv.Itoa(height), "-movflags", "+faststart", "-f", "mp4", "file:"+part)
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("format: ffmpeg: %w", context.Cause(ctx))
	case err != nil:
		return "", fmt.Errorf("format: ffmpeg: %w: %.300s", err, strings.TrimSpace(string(out)))
	}
	if err := os.Rename(part, file); err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	return file, nil
}

// newPart makes a file of which nobody else knows beside the one that it will be renamed to.
func newPart(file string) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".part-*")
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// StandIn makes pictures of the poster where there is no ffmpeg.
type StandIn struct{}

// String implements [Maker].
func (StandIn) String() string { return "pictures instead of films, because ffmpeg is not in PATH" }

// Make implements [Maker].
func (StandIn) Make(_ context.Context, s Source, height int, name string) (string, error) {
	text, err := os.ReadFile(s.Poster)
	if err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	img, err := picture.Decode(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	small, err := picture.Fit(img, height)
	if err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	file := name + ".jpg"
	if err := atomicwriter.WriteFile(file, small, 0o644); err != nil {
		return "", fmt.Errorf("format: %w", err)
	}
	return file, nil
}
