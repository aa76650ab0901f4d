package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/examples/backup/store"
)

// A bench is a source with the file "f", and a store that can be made to fail.
type bench struct {
	*faults
	*store.Store
	root   string
	bucket *blob.Bucket // what the store keeps, without faults
}

// old is long enough ago that a write now is sure to get another time.
var old = time.Date(2001, time.February, 3, 4, 5, 6, 0, time.UTC)

func memory(t *testing.T) *bench { return newBench(t, memblob.OpenBucket(nil)) }

func directory(t *testing.T) (b *bench, dir string) {
	t.Helper()
	dir = t.TempDir()
	bucket, err := fileblob.OpenBucket(dir, &fileblob.Options{Metadata: fileblob.MetadataDontWrite, NoTempDir: true})
	if err != nil {
		t.Fatal(err)
	}
	return newBench(t, bucket), dir
}

func newBench(t *testing.T, bucket *blob.Bucket) *bench {
	t.Helper()
	root, err := source.Root(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{faults: &faults{}, root: root, bucket: bucket}
	b.Store = store.New(faulty(bucket, b.faults))
	b.write(t, "f", "hello")
	t.Cleanup(func() { _ = bucket.Close() })
	return b
}

// write makes a file of the source, last changed at old.
func (b *bench) write(t *testing.T, name, body string) {
	t.Helper()
	path := filepath.Join(b.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	b.touch(t, name, old)
}

func (b *bench) touch(t *testing.T, name string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(filepath.Join(b.root, name), at, at); err != nil {
		t.Fatal(err)
	}
}

// put backs up one file of the source.
func (b *bench) put(ctx context.Context, t *testing.T, name string) (outcome.Result, error) {
	t.Helper()
	item, err := source.Roots{b.root}.Open(b.root, name)
	if err != nil {
		t.Fatal(err)
	}
	defer item.Close()
	return b.Put(ctx, item)
}

// mustPut is put for a file that has to come to want.
func (b *bench) mustPut(t *testing.T, name string, want outcome.Status) {
	t.Helper()
	got, err := b.put(t.Context(), t, name)
	if err != nil || got.Status != want {
		t.Fatalf("put %s: got %v, %v, want %v", name, got.Status, err, want)
	}
}

// keys returns what the store holds under files/.
func (b *bench) keys(t *testing.T) []string {
	t.Helper()
	keys := []string{}
	objects, failure := b.bucket.List(&blob.ListOptions{Prefix: "files/"}).All(t.Context())
	for obj := range objects {
		keys = append(keys, strings.TrimPrefix(obj.Key, "files/"))
	}
	if err := failure(); err != nil {
		t.Fatal(err)
	}
	return keys
}

func (b *bench) body(t *testing.T, name string) string {
	t.Helper()
	body, err := b.bucket.ReadAll(t.Context(), "files/"+name)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
