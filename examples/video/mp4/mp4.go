// Package mp4 reads what the header of an MP4 or MOV file says of the film.
package mp4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// ErrFormat is wrapped by the errors about files that are not what they should be.
var ErrFormat = errors.New("mp4: not a sound MP4 or MOV file")

// Info is what a header says.
type Info struct {
	Duration      time.Duration // zero if the header does not say, as in a live recording
	Tracks        int
	Width, Height int // of the largest picture track; zero if there is none
}

// Read reads the header of a file of the given size, wherever in the file it stands. It reads
// no films, only the boxes around them.
func Read(r io.ReaderAt, size int64) (Info, error) {
	var info Info
	found := false
	err := walk(r, 0, size, func(b box) error {
		if b.kind != "moov" {
			return nil
		}
		found = true
		return walk(r, b.start, b.end, func(b box) error { return info.inMovie(r, b) })
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: it has no moov box", ErrFormat)
	}
	if err != nil {
		return Info{}, err
	}
	return info, nil
}

func (i *Info) inMovie(r io.ReaderAt, b box) error {
	switch b.kind {
	case "mvhd":
		return i.readHeader(r, b)
	case "trak":
		i.Tracks++
		return walk(r, b.start, b.end, func(b box) error {
			if b.kind != "tkhd" {
				return nil
			}
			return i.readTrack(r, b)
		})
	}
	return nil
}

// readHeader reads the time scale and, in units of it, the duration.
func (i *Info) readHeader(r io.ReaderAt, b box) error {
	p, err := b.payload(r, 20, 32)
	if err != nil {
		return err
	}
	scale, units := binary.BigEndian.Uint32(p[12:]), uint64(binary.BigEndian.Uint32(p[16:]))
	unknown := uint64(math.MaxUint32)
	if p[0] == 1 {
		scale, units = binary.BigEndian.Uint32(p[20:]), binary.BigEndian.Uint64(p[24:])
		unknown = math.MaxUint64
	}
	if units == unknown {
		return nil
	}
	if scale == 0 {
		return fmt.Errorf("%w: its time scale is zero", ErrFormat)
	}
	seconds, rest := units/uint64(scale), units%uint64(scale)
	if seconds >= uint64(math.MaxInt64/time.Second) {
		return fmt.Errorf("%w: it lasts %d seconds", ErrFormat, seconds)
	}
	i.Duration = time.Duration(seconds)*time.Second + time.Duration(rest*uint64(time.Second)/uint64(scale))
	return nil
}

// readTrack reads the size of the picture, which is zero in other tracks.
func (i *Info) readTrack(r io.ReaderAt, b box) error {
	p, err := b.payload(r, 84, 96)
	if err != nil {
		return err
	}
	size := p[len(p)-8:] // two numbers with 16 binary places after the point
	w, h := int(binary.BigEndian.Uint16(size)), int(binary.BigEndian.Uint16(size[4:]))
	if w*h > i.Width*i.Height {
		i.Width, i.Height = w, h
	}
	return nil
}
