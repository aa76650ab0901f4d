package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"time"

	"gocloud.dev/gcerrors"
)

// A Record says what the store holds of one path. It is written as JSON.
type Record struct {
	Path    string      `json:"path"`
	Size    int64       `json:"size"`             // bytes
	ModTime time.Time   `json:"mod_time"`         // of the source
	Mode    fs.FileMode `json:"mode"`             // of the source
	SHA256  string      `json:"sha256,omitempty"` // of the bytes, in hex; empty for a link
	ETag    string      `json:"etag,omitempty"`   // of the object that was verified
	Link    string      `json:"link,omitempty"`   // what a symbolic link points to; else empty
}

// maxRecord bounds what is read of a record: far more than a path and a link's target take.
const maxRecord = 64 << 10

// readRecord returns the zero Record if there is none, or none that can be read: either way
// nothing is known of the path.
func (s *Store) readRecord(ctx context.Context, path string) (Record, error) {
	var rec Record
	r, err := s.bucket.NewReader(ctx, recordKey(path), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return rec, nil
	}
	if err != nil {
		return rec, classify(path, err)
	}
	defer r.Close()
	body, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return rec, classify(path, err)
	}
	if json.Unmarshal(body, &rec) != nil || rec.Path != path {
		return Record{}, nil
	}
	return rec, nil
}

func (s *Store) writeRecord(ctx context.Context, rec Record) error {
	body, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("store: record of %s: %w", rec.Path, err)
	}
	if err := s.bucket.WriteAll(ctx, recordKey(rec.Path), body, nil); err != nil {
		return classify(rec.Path, err)
	}
	return nil
}

// recordKey hashes the path, because a path with a suffix could be too long for a directory,
// or be another file's directory. Two levels keep a directory of a million records usable.
func recordKey(path string) string {
	sum := sha256.Sum256([]byte(path))
	name := hex.EncodeToString(sum[:])
	return "records/" + name[:2] + "/" + name[2:] + ".json"
}
