package progress

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/errandq/errand/examples/backup/tally"
)

var half = tally.Snapshot{
	Files: 10, Done: 4, Failed: 1, Retried: 2,
	Bytes: 2_000_000_000, Settled: 1_000_000_000, Copied: 500_000_000,
	Elapsed: 10 * time.Second,
}

func TestLine(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		snap tally.Snapshot
		want string
	}{
		{"zero", tally.Snapshot{}, "0 of 0 files done, 0 failed, 0 retried, 0 B of 0 B, 0.0 MB/s, ETA 0s"},
		{"nothing known", tally.Snapshot{Files: 1, Bytes: 999}, "0 of 1 files done, 0 failed, 0 retried, 0 B of 999 B, 0.0 MB/s, ETA unknown"},
		{"half", half, "4 of 10 files done, 1 failed, 2 retried, 1.0 GB of 2.0 GB, 50.0 MB/s, ETA 10s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := Line(tc.snap); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB",
		2 << 30: "2.1 GB", 1<<63 - 1: "9.2 EB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestLinesRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now atomic.Pointer[tally.Snapshot]
		now.Store(&tally.Snapshot{Files: 1})
		var out bytes.Buffer
		l := &Lines{Out: &out, Snapshot: func() tally.Snapshot { return *now.Load() }, Every: 5 * time.Second}
		ctx, cancel := context.WithCancel(t.Context())
		go l.Run(ctx)
		time.Sleep(time.Minute) // twelve ticks, one of them with news
		if _, err := l.Write([]byte("log line\n")); err != nil {
			t.Error(err)
		}
		now.Store(&tally.Snapshot{Files: 1, Done: 1})
		cancel()
		synctest.Wait()
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(got) != 3 || !strings.HasPrefix(got[0], "0 of 1") || got[1] != "log line" || !strings.HasPrefix(got[2], "1 of 1") {
			t.Errorf("got %q, want the first state, the log line, the last state", got)
		}
		if strings.ContainsAny(out.String(), "\r\x1b") {
			t.Error("control characters in plain lines")
		}
	})
}
