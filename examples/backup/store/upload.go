package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"gocloud.dev/blob"

	"github.com/errandq/errand/examples/backup/source"
)

// upload streams item into its object and returns the SHA-256, in hex, of the bytes that
// went there. If it returns an error the object is as it was before.
func (s *Store) upload(ctx context.Context, item *source.Item) (string, error) {
	// A writer whose context is done when it closes makes nothing visible.
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	var disk *os.File
	w, err := s.bucket.NewWriter(ctx, key(item.Path), &blob.WriterOptions{
		ContentType: "application/octet-stream", // known from the start, so that the object is opened at once
		BufferSize:  partSize(item.Info.Size()),
		BeforeWrite: func(as func(any) bool) error {
			as(&disk)
			return nil
		},
	})
	if err != nil {
		return "", classify(item.Path, err)
	}
	sum, err := stream(ctx, w, item)
	if err == nil && disk != nil {
		err = disk.Sync() // else a power cut could leave the name without the bytes
	}
	if err != nil {
		giveUp()
		_ = w.Close() // says only that it was given up
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", classify(item.Path, err)
	}
	return sum, nil
}

// stream copies item to w and makes sure that it stood still meanwhile.
func stream(ctx context.Context, w io.Writer, item *source.Item) (sum string, err error) {
	h, in := sha256.New(), &reader{ctx: ctx, r: item}
	n, err := io.Copy(w, io.TeeReader(in, h))
	switch {
	case in.err != nil:
		return "", in.err
	case err != nil:
		return "", classify(item.Path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), item.Unchanged(n)
}

// partSize is how much an object store is sent at once. Zero leaves it to the driver, whose
// parts of 5 MiB or more suffice for 40 GiB; a larger file needs larger ones, because S3
// takes at most 10 000 parts.
func partSize(size int64) int {
	const enough, parts = 40 << 30, 8000
	if size <= enough {
		return 0
	}
	return int(size / parts)
}

// A reader stops when its context is done: a large file is not read to its end for nothing.
type reader struct {
	ctx context.Context
	r   io.Reader
	err error // why reading, as opposed to writing, has stopped; nil at the end
}

func (r *reader) Read(p []byte) (n int, err error) {
	if r.ctx.Err() != nil {
		r.err = context.Cause(r.ctx)
		return 0, r.err
	}
	if n, err = r.r.Read(p); err != io.EOF {
		r.err = err
	}
	return n, err
}
