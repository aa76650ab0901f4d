package drivers

import (
	"context"
	"fmt"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/memblob"   // mem://
	_ "gocloud.dev/blob/s3blob"    // s3://

	"github.com/errandq/errand/examples/backup/directory"
)

// Open opens the bucket that place names: a directory, which is made if it is not there, or
// a URL: file:///dir, s3://bucket, gs://bucket, azblob://container, mem://. A cloud's URL
// may have the parameters of its driver (s3://b?region=eu-central-1&prefix=laptop/), and
// takes credentials from where that cloud's own tools take them. The caller closes it.
//
// Opening a cloud's bucket does not reach out to it: whether it is there shows later.
func Open(ctx context.Context, place string) (*blob.Bucket, error) {
	dir, ok, err := directory.Named(place)
	if err != nil {
		return nil, err
	}
	if ok {
		return directory.Open(dir)
	}
	b, err := blob.OpenBucket(ctx, place)
	if err != nil {
		return nil, fmt.Errorf("drivers: open store: %w", err)
	}
	return b, nil
}
