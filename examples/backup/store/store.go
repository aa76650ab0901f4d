package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/errandq/errand/examples/backup/outcome"
	"github.com/errandq/errand/examples/backup/source"
	"github.com/errandq/errand/retry"
)

// ErrMismatch is returned when the store gives back other bytes than it was given.
// Another attempt may help.
var ErrMismatch = errors.New("store: read back other bytes than were written")

// A Store keeps copies in one bucket. It is safe for concurrent use, also by several
// processes; of two that put the same path at once, one may have to try again.
type Store struct {
	bucket *blob.Bucket
}

// New returns a Store that keeps its copies in bucket, which stays the caller's to close.
func New(bucket *blob.Bucket) *Store { return &Store{bucket: bucket} }

// Put makes the store hold item, and says how it came to. It leaves the store alone if it
// holds the item already: same size, same time of last change, and the very object that was
// verified then. A file of the same size but another time is compared by its SHA-256.
//
// It returns [source.ErrChanged] and [ErrMismatch], wrapped, and errors of the source and of
// the bucket. They are worth another attempt, unless marked with retry.Permanent: a name
// that the bucket can't hold. When ctx is cancelled the copy is given up.
func (s *Store) Put(ctx context.Context, item *source.Item) (outcome.Result, error) {
	switch {
	case item.IsLink():
		return s.putLink(ctx, item)
	case !item.IsRegular():
		return outcome.Result{Status: outcome.Skipped, Note: "no file: " + what(item.Info.Mode())}, nil
	}
	held, err := s.holds(ctx, item)
	if err != nil || held {
		return outcome.Result{Status: outcome.Unchanged}, err
	}
	sum, err := s.upload(ctx, item)
	if err != nil {
		return outcome.Result{}, err
	}
	tag, err := s.verify(ctx, item.Path, sum)
	if err != nil {
		return outcome.Result{}, err
	}
	if err := s.writeRecord(ctx, recordOf(item, sum, tag)); err != nil {
		return outcome.Result{}, err
	}
	return outcome.Result{Status: outcome.Copied, Bytes: item.Info.Size()}, nil
}

func (s *Store) putLink(ctx context.Context, item *source.Item) (outcome.Result, error) {
	old, err := s.readRecord(ctx, item.Path)
	if err != nil {
		return outcome.Result{}, err
	}
	if old.Link == item.Target {
		return outcome.Result{Status: outcome.Unchanged}, nil
	}
	r := Record{Path: item.Path, Link: item.Target, ModTime: item.Info.ModTime().UTC()}
	if err := s.writeRecord(ctx, r); err != nil {
		return outcome.Result{}, err
	}
	return outcome.Result{Status: outcome.Linked, Note: "link to " + item.Target}, nil
}

// holds reports whether the record and the object of a file fit it.
func (s *Store) holds(ctx context.Context, item *source.Item) (bool, error) {
	old, err := s.readRecord(ctx, item.Path)
	if err != nil {
		return false, err
	}
	if old.SHA256 == "" || old.Size != item.Info.Size() {
		return false, nil
	}
	now, err := s.bucket.Attributes(ctx, key(item.Path))
	if gcerrors.Code(err) == gcerrors.NotFound {
		return false, nil
	}
	if err != nil {
		return false, classify(item.Path, err)
	}
	if now.Size != old.Size || now.ETag != old.ETag {
		return false, nil // somebody else has written it since
	}
	if old.ModTime.Equal(item.Info.ModTime()) {
		return true, nil
	}
	return s.touched(ctx, item, old)
}

// touched reports whether a file with another time than recorded has the bytes recorded. If
// so the record gets the time, because reading is cheap but not free.
func (s *Store) touched(ctx context.Context, item *source.Item, old Record) (bool, error) {
	n, sum, err := digest(ctx, item)
	if err != nil {
		return false, err
	}
	if err := item.Unchanged(n); err != nil {
		return false, err
	}
	if sum != old.SHA256 {
		return false, item.Rewind()
	}
	return true, s.writeRecord(ctx, recordOf(item, sum, old.ETag))
}

// classify says of an error of the bucket about path what can be done about it. A name that
// the bucket can't hold will not get better; anything else may: full, forbidden, away.
func classify(path string, err error) error {
	err = fmt.Errorf("store: %s: %w", path, err)
	switch {
	case gcerrors.Code(err) == gcerrors.InvalidArgument, errors.Is(err, syscall.ENAMETOOLONG):
		return retry.Permanent(fmt.Errorf("%w: rename the file", err))
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist):
		// Objects in a directory are files: what was a directory once can't be a file now.
		return retry.Permanent(fmt.Errorf("%w: move the older copy out of the store", err))
	}
	return err
}

func what(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return m.Type().String()
}

func recordOf(item *source.Item, sum, tag string) Record {
	return Record{
		Path:    item.Path,
		Size:    item.Info.Size(),
		ModTime: item.Info.ModTime().UTC().Round(0),
		Mode:    item.Info.Mode(),
		SHA256:  sum,
		ETag:    tag,
	}
}
