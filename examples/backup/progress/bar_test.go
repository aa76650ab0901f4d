package progress

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/errandq/errand/examples/backup/tally"
)

// A screen is a writer that can be looked at while it is written to.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
	seen chan struct{} // closed when want has been written
	want string
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := strings.Contains(s.text.String(), s.want)
	s.text.Write(p)
	if !had && strings.Contains(s.text.String(), s.want) {
		close(s.seen)
	}
	return len(p), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestBarRun(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]tally.Snapshot{
		"finished":    {Files: 10, Done: 9, Failed: 1, Bytes: 2e9, Settled: 2e9, Copied: 2e9, Elapsed: 20 * time.Second},
		"interrupted": {Files: 10, Done: 5, Failed: 1, Bytes: 2e9, Settled: 1.1e9, Copied: 1e9, Elapsed: 20 * time.Second},
		"empty files": {Files: 2, Done: 2, Elapsed: time.Second},
		"no files":    {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			now := half
			out := &screen{seen: make(chan struct{}), want: "4/10 done, 1 failed, 2 retried"}
			bar := NewBar(out, func() tally.Snapshot {
				mu.Lock()
				defer mu.Unlock()
				return now
			})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				bar.Run(ctx)
			}()
			<-out.seen
			if _, err := bar.Write([]byte("log line\n")); err != nil {
				t.Error(err)
			}
			mu.Lock()
			now = last
			mu.Unlock()
			cancel()
			<-ended
			got := out.String()
			for _, want := range []string{"50.0 MB/s", "ETA 10s", "log line\n", files(last), speed(last)} {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
		})
	}
}

func TestNewOnAFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, ok := New(f, nil).(*Lines); !ok {
		t.Error("a file is no terminal and wants lines")
	}
}
