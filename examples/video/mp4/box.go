package mp4

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A box is one of the nested pieces that the file consists of, without its own header.
type box struct {
	kind       string
	start, end int64 // in the file
}

// maxBoxes is how many boxes may lie side by side. Real files have a few, but for live
// recordings, which have two a second.
const maxBoxes = 100_000

// walk calls f for each box between start and end.
func walk(r io.ReaderAt, start, end int64, f func(box) error) error {
	for n := 0; start < end; n++ {
		if n == maxBoxes {
			return fmt.Errorf("%w: more than %d boxes in a row", ErrFormat, maxBoxes)
		}
		b, err := readBox(r, start, end)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
		start = b.end
	}
	return nil
}

// readBox reads the header of the box at start, which must not reach beyond end.
func readBox(r io.ReaderAt, start, end int64) (box, error) {
	var h [16]byte
	if end-start < 8 {
		return box{}, fmt.Errorf("%w: %d bytes at %d are no box", ErrFormat, end-start, start)
	}
	if err := readFull(r, h[:8], start); err != nil {
		return box{}, err
	}
	size, header := uint64(binary.BigEndian.Uint32(h[:])), int64(8)
	switch size {
	case 0: // the rest of the file
		size = uint64(end - start)
	case 1: // a large one: the size follows
		header = 16
		if end-start < header {
			return box{}, fmt.Errorf("%w: the box at %d has no size", ErrFormat, start)
		}
		if err := readFull(r, h[8:], start+8); err != nil {
			return box{}, err
		}
		size = binary.BigEndian.Uint64(h[8:])
	}
	if size < uint64(header) || size > uint64(end-start) {
		return box{}, fmt.Errorf("%w: box %q at %d has %d bytes, and there is room for %d", ErrFormat, h[4:8], start, size, end-start)
	}
	return box{string(h[4:8]), start + header, start + int64(size)}, nil
}

// payload reads the beginning of a box that comes in two versions, of different lengths.
func (b box) payload(r io.ReaderAt, version0, version1 int) ([]byte, error) {
	p := make([]byte, max(version0, version1))
	p = p[:min(int64(len(p)), b.end-b.start)]
	if err := readFull(r, p, b.start); err != nil {
		return nil, err
	}
	want := version0
	if len(p) > 0 && p[0] == 1 {
		want = version1
	}
	if len(p) < want || p[0] > 1 {
		return nil, fmt.Errorf("%w: box %q at %d is of a version that is not known, or too short", ErrFormat, b.kind, b.start)
	}
	return p[:want], nil
}

// readFull fills p. An error of the file itself is none about its format.
func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	return fmt.Errorf("mp4: read %d bytes at %d: %w", len(p), at, err)
}
