package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
)

// verify reads the object of path back and returns its tag if it has the SHA-256 sum; else
// it takes the object away, so that nobody restores it, and returns an [ErrMismatch].
func (s *Store) verify(ctx context.Context, path, sum string) (tag string, err error) {
	// The tag first: if another worker replaces the object while it is read, the record names
	// one that is no longer there, and the next run copies once more.
	before, err := s.bucket.Attributes(ctx, key(path))
	if err != nil {
		return "", classify(path, err)
	}
	r, err := s.bucket.NewReader(ctx, key(path), nil)
	if err != nil {
		return "", classify(path, err)
	}
	defer r.Close()
	_, got, err := digest(ctx, r)
	if err != nil {
		return "", classify(path, err)
	}
	if got == sum {
		return before.ETag, nil
	}
	return "", s.reject(ctx, path, before.ETag, fmt.Errorf("%w: %s: SHA-256 %s, want %s", ErrMismatch, path, got, sum))
}

// reject deletes an object that is wrong, unless another worker has replaced it meanwhile.
func (s *Store) reject(ctx context.Context, path, tag string, cause error) error {
	now, err := s.bucket.Attributes(ctx, key(path))
	if err != nil || now.ETag != tag {
		return cause
	}
	if err := s.bucket.Delete(ctx, key(path)); err != nil {
		return fmt.Errorf("%w; and it is still there: %w", cause, err)
	}
	return cause
}

// digest reads r to its end and returns its length and its SHA-256 in hex.
func digest(ctx context.Context, r io.Reader) (int64, string, error) {
	h := sha256.New()
	n, err := io.Copy(h, &reader{ctx: ctx, r: r})
	return n, hex.EncodeToString(h.Sum(nil)), err
}
