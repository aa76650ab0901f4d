package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"golang.org/x/sync/errgroup"

	"github.com/errandq/errand/broker"
	backup "github.com/errandq/errand/examples/backup"
	"github.com/errandq/errand/examples/backup/copier"
	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/examples/backup/store"
	"github.com/errandq/errand/examples/backup/tally"
	"github.com/errandq/errand/producer"
	"github.com/errandq/errand/retry"
	"github.com/errandq/errand/worker"
)

const plain = 40 // files in a tree, beside a link that leads out

func tree(t *testing.T) string {
	t.Helper()
	root, err := source.Root(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i := range plain {
		path := filepath.Join(root, fmt.Sprintf("%d/%d/file", i%2, i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(path), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../outside", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	return root
}

// startWorker runs a worker until the returned function is called, or the test ends.
func startWorker(t *testing.T, url string, bucket *blob.Bucket, roots ...string) (w *worker.Worker, stop func()) {
	t.Helper()
	conn, err := broker.Dial(t.Context(), url, broker.Config{})
	if err != nil {
		t.Fatal(err)
	}
	policy := retry.Exponential{Initial: time.Second}
	c := copier.New(copier.Config{
		Roots: roots, Store: store.New(bucket), Reports: producer.New(conn, producer.Config{}), Retry: policy,
	})
	w = worker.New(conn, worker.Config{Concurrency: 2})
	worker.Handle(w, backup.CopyFile, c.Copy, worker.Retry(policy))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-ended, conn.Close()); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return w, stop
}

func load(t *testing.T, path string) tally.Summary {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s tally.Summary
	if err := json.Unmarshal(body, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// A worker whose store is away makes every file be retried; two others then finish the run.
// A second run copies nothing.
func TestRun(t *testing.T) {
	t.Parallel()
	url, root := rabbit.URL(t), tree(t)
	summary := filepath.Join(t.TempDir(), "summary.json")
	args := []string{"-source", root, "-amqp", url, "-summary", summary, "-stall", "1m"}

	away := memblob.OpenBucket(nil)
	if err := away.Close(); err != nil {
		t.Fatal(err)
	}
	lost, stop := startWorker(t, url, away, root)
	first := make(chan error, 1)
	go func() { first <- run(t.Context(), args) }()
	for tick := time.NewTicker(10 * time.Millisecond); lost.Stats().Retried < plain; <-tick.C {
		if t.Context().Err() != nil {
			t.Fatal("the files are not retried")
		}
	}
	stop()

	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	_, stop1 := startWorker(t, url, bucket, root)
	defer stop1()
	_, stop2 := startWorker(t, url, bucket, root)
	defer stop2()
	if err := <-first; !errors.Is(err, errUnwell) {
		t.Errorf("first run: got %v, want errUnwell because of the link", err)
	}
	s := load(t, summary)
	if s.Files != plain+1 || s.Copied != plain || s.Failed != 1 || s.Retried < plain || s.Unreported != 0 {
		t.Errorf("first run: got %+v", s)
	}
	if len(s.Failures) != 1 || s.Failures[0].Path != "link" {
		t.Errorf("first run: got failures %+v, want the link", s.Failures)
	}
	for i := range plain {
		path := fmt.Sprintf("%d/%d/file", i%2, i)
		body, err := bucket.ReadAll(t.Context(), "files/"+path)
		if err != nil || string(body) != filepath.Join(root, path) {
			t.Errorf("%s: got %q, %v", path, body, err)
		}
	}

	if err := os.Remove(filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), args); err != nil {
		t.Errorf("second run: %v", err)
	}
	if s := load(t, summary); s.Files != plain || s.Unchanged != plain || s.CopiedBytes != 0 {
		t.Errorf("second run: got %+v, want all unchanged", s)
	}
}

// Two producers that wait at once each hear of their own files.
func TestRunTwoAtOnce(t *testing.T) {
	t.Parallel()
	url := rabbit.URL(t)
	roots := []string{tree(t), tree(t)}
	bucket := memblob.OpenBucket(nil)
	defer bucket.Close()
	_, stop := startWorker(t, url, bucket, roots...)
	defer stop()
	var group errgroup.Group
	for _, root := range roots {
		summary := filepath.Join(t.TempDir(), "summary.json")
		group.Go(func() error {
			err := run(t.Context(), []string{"-source", root, "-amqp", url, "-summary", summary, "-stall", "1m"})
			if !errors.Is(err, errUnwell) {
				return fmt.Errorf("got %w, want errUnwell", err)
			}
			if s := load(t, summary); s.Files != plain+1 || s.Done != plain || s.Failed != 1 {
				return fmt.Errorf("got %+v", s)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// Without a worker nothing is heard, and the run says so instead of waiting for ever.
func TestRunWithoutWorker(t *testing.T) {
	t.Parallel()
	url, root := rabbit.URL(t), tree(t)
	summary := filepath.Join(t.TempDir(), "summary.json")
	err := run(t.Context(), []string{"-source", root, "-amqp", url, "-summary", summary, "-stall", "100ms"})
	if !errors.Is(err, errStalled) || !errors.Is(err, errUnwell) {
		t.Errorf("got %v, want errStalled and errUnwell", err)
	}
	if s := load(t, summary); s.Unreported != plain+1 || len(s.Missing) != plain+1 {
		t.Errorf("got %+v, want all missing", s)
	}
	if err := run(t.Context(), []string{"-source", root, "-amqp", url}); err != nil {
		t.Errorf("without -wait: %v", err)
	}
}
