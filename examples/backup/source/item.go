package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/errandq/errand/retry"
)

// ErrChanged is returned for a file that is written to while it is read. Another attempt helps.
var ErrChanged = errors.New("source: file changed while it was read")

// An Item is one thing below a root, as it was when it was opened.
// Reading it reads a file's bytes; a link and a special file have none.
// It is not safe for concurrent use.
type Item struct {
	Path   string      // below its root, slash-separated
	Info   fs.FileInfo // of the item itself, not of what a link points to
	Target string      // what a link points to, as it is written there

	file *os.File // nil unless it is a regular file
	left int64    // that Read may still return: one byte more than the size
}

// IsLink reports whether the item is a symbolic link. It is never followed.
func (i *Item) IsLink() bool { return i.Info.Mode().Type() == fs.ModeSymlink }

// IsRegular reports whether the item has bytes to back up.
func (i *Item) IsRegular() bool { return i.Info.Mode().IsRegular() }

// Read implements [io.Reader]. It ends one byte behind the size that the file had when it was
// opened: enough to tell that it grows, and an end even if it grows as fast as it is read.
func (i *Item) Read(p []byte) (int, error) {
	if i.left == 0 {
		return 0, io.EOF
	}
	n, err := i.file.Read(p[:min(int64(len(p)), i.left)])
	i.left -= int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("source: %w", err)
	}
	return n, err
}

// Rewind makes the next Read start at the beginning.
func (i *Item) Rewind() error {
	if i.file == nil {
		return nil
	}
	if _, err := i.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	i.left = i.Info.Size() + 1
	return nil
}

// Unchanged returns an [ErrChanged] unless the file still has the size and the time of its
// last change that it had when it was opened, and read, the number of bytes that came out
// of it, is that size.
func (i *Item) Unchanged(read int64) error {
	if i.file == nil {
		return nil
	}
	now, err := i.file.Stat()
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if read != i.Info.Size() || now.Size() != i.Info.Size() || !now.ModTime().Equal(i.Info.ModTime()) {
		return fmt.Errorf("%w: %s: %d bytes at first, %d read, %d at last", ErrChanged, i.Path, i.Info.Size(), read, now.Size())
	}
	return nil
}

// Close closes the file.
func (i *Item) Close() error {
	if i.file == nil {
		return nil
	}
	return i.file.Close()
}

func open(root *os.Root, name string) (*Item, error) {
	if name == "." || path.Clean(name) != name || !filepath.IsLocal(filepath.FromSlash(name)) {
		return nil, retry.Permanent(fmt.Errorf("%w: %q is not a clean relative path", ErrEscapes, name))
	}
	info, err := root.Lstat(name)
	if err != nil {
		return nil, classify(name, err)
	}
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		return openLink(root, name, info)
	case 0:
		return openFile(root, name, info)
	}
	return &Item{Path: name, Info: info}, nil
}

func openFile(root *os.Root, name string, info fs.FileInfo) (*Item, error) {
	// Non-blocking, because a pipe that has taken the file's place since would block for ever.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, classify(name, err)
	}
	now, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("source: %w", err), f.Close())
	}
	if !os.SameFile(info, now) {
		return nil, errors.Join(fmt.Errorf("%w: %s was replaced", ErrChanged, name), f.Close())
	}
	return &Item{Path: name, Info: now, file: f, left: now.Size() + 1}, nil
}

func openLink(root *os.Root, name string, info fs.FileInfo) (*Item, error) {
	target, err := root.Readlink(name)
	if err != nil {
		return nil, classify(name, err)
	}
	// Following it within the root is only a question to the system: does it lead out?
	// A link to nothing, or round in a circle, is backed up as what it is.
	if _, err := root.Stat(name); escapes(err) {
		return nil, retry.Permanent(fmt.Errorf(
			"%w: the link %q points to %q, which is not backed up with it: back it up by itself, or delete the link", ErrEscapes, name, target))
	}
	return &Item{Path: name, Info: info, Target: target}, nil
}
