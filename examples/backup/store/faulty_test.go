package store_test

import (
	"context"
	"sync"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"
)

// faults is what goes wrong with a faulty bucket. Nil functions do nothing.
type faults struct {
	fail    func(op, key string) error // before "attributes", "read", "open", "close", "delete"
	onWrite func(key string, p []byte) // sees, and may spoil, what is written
	onRead  func(key string, p []byte) // sees, and may spoil, what is read

	mu     sync.Mutex
	writes []string // keys of the objects that were written, in order
}

// written returns and forgets what was written.
func (f *faults) written() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.writes
	f.writes = nil
	return w
}

func (f *faults) before(op, key string) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(op, key)
}

// faulty returns a bucket that passes everything on to inner, but for f.
func faulty(inner *blob.Bucket, f *faults) *blob.Bucket {
	return blob.NewBucket(&faultyDriver{inner: inner, f: f})
}

type faultyDriver struct {
	driver.Bucket // nil: what the store doesn't use
	inner         *blob.Bucket
	f             *faults
}

func (d *faultyDriver) ErrorCode(err error) gcerrors.ErrorCode { return gcerrors.Code(err) }
func (d *faultyDriver) ErrorAs(error, any) bool                { return false }
func (d *faultyDriver) Close() error                           { return d.inner.Close() }

func (d *faultyDriver) Attributes(ctx context.Context, key string) (*driver.Attributes, error) {
	if err := d.f.before("attributes", key); err != nil {
		return nil, err
	}
	a, err := d.inner.Attributes(ctx, key)
	if err != nil {
		return nil, err
	}
	return &driver.Attributes{ContentType: a.ContentType, ModTime: a.ModTime, Size: a.Size, ETag: a.ETag}, nil
}

func (d *faultyDriver) Delete(ctx context.Context, key string, _ *driver.DeleteOptions) error {
	if err := d.f.before("delete", key); err != nil {
		return err
	}
	return d.inner.Delete(ctx, key)
}

func (d *faultyDriver) NewRangeReader(ctx context.Context, key string, offset, length int64, _ *driver.ReaderOptions) (driver.Reader, error) {
	if err := d.f.before("read", key); err != nil {
		return nil, err
	}
	r, err := d.inner.NewRangeReader(ctx, key, offset, length, nil)
	if err != nil {
		return nil, err
	}
	return &faultyReader{Reader: r, key: key, f: d.f}, nil
}

func (d *faultyDriver) NewTypedWriter(ctx context.Context, key, contentType string, _ *driver.WriterOptions) (driver.Writer, error) {
	if err := d.f.before("open", key); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w, err := d.inner.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType})
	if err != nil {
		cancel()
		return nil, err
	}
	return &faultyWriter{Writer: w, ctx: ctx, cancel: cancel, key: key, f: d.f}, nil
}

type faultyReader struct {
	*blob.Reader
	key string
	f   *faults
}

func (r *faultyReader) Attributes() *driver.ReaderAttributes {
	return &driver.ReaderAttributes{ContentType: r.ContentType(), ModTime: r.ModTime(), Size: r.Size()}
}

func (r *faultyReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 && r.f.onRead != nil {
		r.f.onRead(r.key, p[:n])
	}
	return n, err
}

type faultyWriter struct {
	*blob.Writer
	ctx    context.Context
	cancel func()
	key    string
	f      *faults
}

func (w *faultyWriter) Write(p []byte) (int, error) {
	if w.f.onWrite != nil {
		p = append([]byte(nil), p...) // a writer must not change the caller's bytes
		w.f.onWrite(w.key, p)
	}
	return w.Writer.Write(p)
}

func (w *faultyWriter) Close() error {
	defer w.cancel()
	if err := w.f.before("close", w.key); err != nil {
		w.cancel()
		_ = w.Writer.Close() // says that it was cancelled
		return err
	}
	if w.ctx.Err() == nil {
		w.f.mu.Lock()
		w.f.writes = append(w.f.writes, w.key)
		w.f.mu.Unlock()
	}
	return w.Writer.Close()
}
