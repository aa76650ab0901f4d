package studio

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/errandq/errand/examples/video/format"
	"github.com/errandq/errand/retry"
	"github.com/moby/sys/atomicwriter"
)

// Files is the directory in which each video has one of its own. All workers share it.
type Files string

// dir is where a video's files are. A name that could lead elsewhere is an error that no retry
// can cure.
func (f Files) dir(v Video) (string, error) {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,99}$`).MatchString(v.Name) {
		return "", retry.Permanent(fmt.Errorf("studio: %.120q can't be the name of a video", v.Name))
	}
	return filepath.Join(string(f), v.Name), nil
}

// Upload stores a new video.
func (f Files) Upload(v Video, film, poster []byte) error {
	dir, err := f.dir(v)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("studio: upload: %w", err)
	}
	s := source(dir)
	if err := atomicwriter.WriteFile(s.Film, film, 0o644); err != nil {
		return fmt.Errorf("studio: upload: %w", err)
	}
	if err := atomicwriter.WriteFile(s.Poster, poster, 0o644); err != nil {
		return fmt.Errorf("studio: upload: %w", err)
	}
	return nil
}

// The files of a video, each written by one kind of job.
func source(dir string) format.Source {
	return format.Source{Film: filepath.Join(dir, "film.mp4"), Poster: filepath.Join(dir, "poster.jpg")}
}
func metadataFile(dir string) string { return filepath.Join(dir, "metadata.json") }
func readyFile(dir string) string    { return filepath.Join(dir, "ready.json") }
func formatFile(dir string, height int) string { // without its ending
	return filepath.Join(dir, strconv.Itoa(height)+"p")
}
func thumbFile(dir string, height int) string {
	return filepath.Join(dir, "thumb-"+strconv.Itoa(height)+".jpg")
}

// writeJSON writes v for people and programs. The file is there complete, or not at all.
func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("studio: %w", err)
	}
	if err := atomicwriter.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("studio: %w", err)
	}
	return nil
}

// Missing are the files that a video that is ready should have and has not.
func (f Files) Missing(v Video) ([]string, error) {
	dir, err := f.dir(v)
	if err != nil {
		return nil, err
	}
	want := []string{metadataFile(dir)}
	for _, height := range thumbHeights() {
		want = append(want, thumbFile(dir, height))
	}
	for _, height := range Heights() {
		want = append(want, formatFile(dir, height)+".*")
	}
	var missing []string
	for _, pattern := range want {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fmt.Errorf("studio: %w", err)
		}
		if len(found) == 0 {
			missing = append(missing, filepath.Base(pattern))
		}
	}
	return missing, nil
}
