package copier_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/errandq/errand/broker"
	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/copier"
	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/examples/backup/store"
	"github.com/errandq/errand/job"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

// A recorder keeps the reports that are enqueued.
type recorder struct {
	mu      sync.Mutex
	reports []backup.Report
	err     error // returned instead
}

func (r *recorder) Enqueue(ctx context.Context, jobs ...job.Job) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := errors.Join(ctx.Err(), r.err); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := j.Err(); err != nil {
			return err
		}
		report, err := backup.ReportsTo("r").Decode(j)
		if err != nil || j.Queue != "backup.reports.r" {
			return fmt.Errorf("queue %q: %v", j.Queue, err)
		}
		r.reports = append(r.reports, report)
	}
	return nil
}

// setup returns a copier over a source with one of everything, and what it reports.
func setup(t *testing.T, policy retry.Policy) (c *copier.Copier, root string, rec *recorder, closeStore func()) {
	t.Helper()
	root, err := source.Root(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"inside": "file", "outside": "/etc/hostname"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	bucket := memblob.OpenBucket(nil)
	closeStore = func() { _ = bucket.Close() }
	t.Cleanup(closeStore)
	rec = &recorder{}
	c = copier.New(copier.Config{Roots: source.Roots{root}, Store: store.New(bucket), Reports: rec, Retry: policy})
	return c, root, rec, closeStore
}

func TestCopyReports(t *testing.T) {
	t.Parallel()
	c, root, rec, _ := setup(t, retry.Exponential{})
	for _, tc := range []struct {
		name, source, path string
		want               outcome.Status
		bytes              int64
		permanent          bool
	}{
		{"file", root, "file", outcome.Copied, 5, false},
		{"again", root, "file", outcome.Unchanged, 0, false},
		{"link", root, "inside", outcome.Linked, 0, false},
		{"gone", root, "nothing", outcome.Gone, 0, false},
		{"link outside", root, "outside", outcome.Failed, 0, true},
		{"path outside", root, "../file", outcome.Failed, 0, true},
		{"other root", "/etc", "hostname", outcome.Failed, 0, true},
	} {
		rec.reports = nil
		err := c.Copy(t.Context(), backup.File{Run: "r", Source: tc.source, Path: tc.path})
		if retry.IsPermanent(err) != tc.permanent || (err == nil) != tc.want.Well() {
			t.Errorf("%s: got %v, want it permanent: %v", tc.name, err, tc.permanent)
		}
		if len(rec.reports) != 1 {
			t.Errorf("%s: got %d reports, want 1", tc.name, len(rec.reports))
			continue
		}
		got := rec.reports[0]
		if got.Status != tc.want || got.Bytes != tc.bytes || got.Path != tc.path || got.Attempt != 1 {
			t.Errorf("%s: got %+v, want %s, %d bytes", tc.name, got, tc.want, tc.bytes)
		}
		if tc.want == outcome.Failed && got.Reason != err.Error() {
			t.Errorf("%s: got reason %q, want %q", tc.name, got.Reason, err)
		}
	}
}

// A store that is away is tried again until the policy gives up.
func TestCopyStoreAway(t *testing.T) {
	t.Parallel()
	for want, policy := range map[outcome.Status]retry.Policy{
		outcome.Retrying: retry.Exponential{},
		outcome.Failed:   retry.Never,
	} {
		c, root, rec, closeStore := setup(t, policy)
		closeStore()
		err := c.Copy(t.Context(), backup.File{Run: "r", Source: root, Path: "file"})
		if err == nil || retry.IsPermanent(err) {
			t.Errorf("got %v, want an error worth another attempt", err)
		}
		if len(rec.reports) != 1 || rec.reports[0].Status != want {
			t.Errorf("got %+v, want %s", rec.reports, want)
		}
	}
}

// An attempt that ran out of time is reported all the same; one that goes on elsewhere isn't.
func TestCopyWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	for cause, reports := range map[error]int{worker.ErrTimeout: 1, worker.ErrShutdown: 0, worker.ErrDeliveryLost: 0} {
		c, root, rec, _ := setup(t, retry.Exponential{})
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		err := c.Copy(ctx, backup.File{Run: "r", Source: root, Path: "file"})
		if err == nil || len(rec.reports) != reports {
			t.Errorf("%v: got %v and %d reports, want %d", cause, err, len(rec.reports), reports)
		}
	}
}

// A copy that could not be reported is not done: the next attempt makes up for it.
func TestCopyUnreported(t *testing.T) {
	t.Parallel()
	c, root, rec, _ := setup(t, retry.Exponential{})
	rec.err = errors.New("broker away")
	f := backup.File{Run: "r", Source: root, Path: "file"}
	if err := c.Copy(t.Context(), f); !errors.Is(err, rec.err) || retry.IsPermanent(err) {
		t.Errorf("got %v, want %v, worth another attempt", err, rec.err)
	}
	outside := backup.File{Run: "r", Source: root, Path: "outside"}
	if err := c.Copy(t.Context(), outside); !errors.Is(err, source.ErrEscapes) || !retry.IsPermanent(err) {
		t.Errorf("got %v, want the failure itself, for good", err)
	}
	rec.err = nil
	if err := c.Copy(t.Context(), f); err != nil || len(rec.reports) != 1 || rec.reports[0].Status != outcome.Unchanged {
		t.Errorf("got %v, %+v, want unchanged", err, rec.reports)
	}
}

// Nobody waits, or nobody any more: there is nothing to report.
func TestCopyWithoutRun(t *testing.T) {
	t.Parallel()
	c, root, rec, _ := setup(t, retry.Exponential{})
	rec.err = fmt.Errorf("publish: %w", broker.ErrUnroutable)
	if err := c.Copy(t.Context(), backup.File{Run: "over", Source: root, Path: "file"}); err != nil {
		t.Errorf("got %v, want no error: the producer is gone", err)
	}
	rec.err = nil
	if err := c.Copy(t.Context(), backup.File{Source: root, Path: "file"}); err != nil || len(rec.reports) != 0 {
		t.Errorf("got %v and reports %+v, want none", err, rec.reports)
	}
}
