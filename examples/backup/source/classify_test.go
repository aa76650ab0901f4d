package source

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/errandq/errand/retry"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		errno     syscall.Errno
		want      error
		permanent bool
	}{
		{syscall.EACCES, fs.ErrPermission, true},
		{syscall.EPERM, fs.ErrPermission, true},
		{syscall.ENOENT, ErrGone, false},
		{syscall.ENOTDIR, ErrGone, false},
		{syscall.ENAMETOOLONG, syscall.ENAMETOOLONG, true},
		{syscall.EINVAL, syscall.EINVAL, true},
		{syscall.EIO, syscall.EIO, false},
		{syscall.EMFILE, syscall.EMFILE, false},
		{syscall.ESTALE, syscall.ESTALE, false},
	} {
		t.Run(tc.errno.Error(), func(t *testing.T) {
			t.Parallel()
			err := classify("x", &os.PathError{Op: "open", Path: "x", Err: tc.errno})
			if !errors.Is(err, tc.want) || retry.IsPermanent(err) != tc.permanent {
				t.Errorf("got %v, permanent %v; want %v, %v", err, retry.IsPermanent(err), tc.want, tc.permanent)
			}
			if errors.Is(err, ErrEscapes) {
				t.Errorf("got ErrEscapes from the system's own %v", tc.errno)
			}
		})
	}
}
