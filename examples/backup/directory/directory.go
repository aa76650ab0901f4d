package directory

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
)

// Named returns the absolute path of the directory that place names, by its path or as
// file:///path; ok is false if place is a URL of something else.
func Named(place string) (dir string, ok bool, err error) {
	dir = place
	if strings.Contains(place, "://") {
		u, err := url.Parse(place)
		if err != nil {
			return "", false, fmt.Errorf("directory: store: %w", err)
		}
		if u.Scheme != "file" {
			return "", false, nil
		}
		if u.Host != "" || u.RawQuery != "" || u.Path == "" {
			return "", false, fmt.Errorf("directory: store %s: want file:///an/absolute/path without parameters", place)
		}
		dir = filepath.FromSlash(u.Path)
	}
	if dir == "" {
		return "", false, errors.New("directory: no store is named: give a directory or a URL")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", false, fmt.Errorf("directory: store %s: %w", place, err)
	}
	return dir, true, nil
}

// Open opens dir, which is made if it is not there. The caller closes the bucket.
//
// The driver keeps unfinished files where os.TempDir says: see [Prepare].
func Open(dir string) (*blob.Bucket, error) {
	b, err := fileblob.OpenBucket(dir, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: 0o700, // a copy can be read by whoever may enter, whatever the source's mode
		Metadata:    fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, fmt.Errorf("directory: open store: %w", err)
	}
	return b, nil
}
