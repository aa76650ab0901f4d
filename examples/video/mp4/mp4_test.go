package mp4_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/errandq/errand/examples/video/mp4"
	"github.com/errandq/errand/examples/video/sample"
)

func read(file []byte) (mp4.Info, error) { return mp4.Read(bytes.NewReader(file), int64(len(file))) }

func TestRealFile(t *testing.T) {
	t.Parallel()
	got, err := read(sample.Video)
	want := mp4.Info{Duration: sample.Millis * time.Millisecond, Tracks: sample.Tracks, Width: sample.Width, Height: sample.Height}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// box makes a box of what is in it.
func box(kind string, in ...[]byte) []byte {
	content := bytes.Join(in, nil)
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(content)))
	return append(append(b, kind...), content...)
}

// large makes a box with a size of 64 bits.
func large(kind string, in []byte) []byte {
	b := append([]byte{0, 0, 0, 1}, kind...)
	b = binary.BigEndian.AppendUint64(b, uint64(16+len(in)))
	return append(b, in...)
}

// toTheEnd makes the box one that says nothing of its size.
func toTheEnd(b []byte) []byte { return append([]byte{0, 0, 0, 0}, b[4:]...) }

func header0(scale, units uint32) []byte {
	p := make([]byte, 12, 100)
	p = binary.BigEndian.AppendUint32(p, scale)
	return box("mvhd", binary.BigEndian.AppendUint32(p, units), make([]byte, 80))
}

func header1(scale uint32, units uint64) []byte {
	p := make([]byte, 20, 112)
	p[0] = 1
	p = binary.BigEndian.AppendUint32(p, scale)
	return box("mvhd", binary.BigEndian.AppendUint64(p, units), make([]byte, 80))
}

func track(version byte, width, height uint16) []byte {
	p := make([]byte, 76+12*int(version))
	p[0] = version
	p = binary.BigEndian.AppendUint32(p, uint32(width)<<16|0x8000)
	return box("trak", box("junk"), box("tkhd", binary.BigEndian.AppendUint32(p, uint32(height)<<16)))
}

func TestForms(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file []byte
		want mp4.Info
	}{
		"header first":       {append(box("moov", header0(600, 900)), box("mdat", make([]byte, 99))...), mp4.Info{Duration: 1500 * time.Millisecond}},
		"header last":        {append(box("mdat", make([]byte, 99)), box("moov", header0(600, 900))...), mp4.Info{Duration: 1500 * time.Millisecond}},
		"large boxes":        {append(large("mdat", make([]byte, 9)), large("moov", header0(1, 2))...), mp4.Info{Duration: 2 * time.Second}},
		"up to the end":      {toTheEnd(box("moov", header0(1, 2))), mp4.Info{Duration: 2 * time.Second}},
		"version 1":          {box("moov", header1(90_000, 1<<33)), mp4.Info{Duration: 95443717688888}},
		"a rounded duration": {box("moov", header0(3, 1)), mp4.Info{Duration: 333333333}},
		"unknown":            {box("moov", header0(600, math.MaxUint32)), mp4.Info{}},
		"unknown, version 1": {box("moov", header1(600, math.MaxUint64)), mp4.Info{}},
		"tracks": {box("moov", header0(1, 1), track(0, 0, 0), track(1, 1920, 1080), track(0, 320, 240)),
			mp4.Info{Duration: time.Second, Tracks: 3, Width: 1920, Height: 1080}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := read(c.file); err != nil || got != c.want {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestUnsoundFiles(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"empty":              {},
		"text":               []byte("this is no film at all"),
		"no header":          box("mdat", make([]byte, 20)),
		"cut off":            sample.Video[:len(sample.Video)/2],
		"a byte too many":    append(box("moov", header0(1, 1)), 0),
		"no time scale":      box("moov", header0(0, 1)),
		"too long":           box("moov", header1(1, math.MaxUint64-1)),
		"short header":       box("moov", box("mvhd", make([]byte, 19))),
		"short version 1":    box("moov", box("mvhd", []byte{1}, make([]byte, 30))),
		"version 2":          box("moov", box("mvhd", []byte{2}, make([]byte, 99))),
		"empty header":       box("moov", box("mvhd")),
		"larger than parent": box("moov", []byte{0, 0, 1, 0}, []byte("mvhd")),
		"smaller than head":  {0, 0, 0, 7, 'm', 'o', 'o', 'v'},
		"no large size":      {0, 0, 0, 1, 'm', 'o', 'o', 'v'},
		"huge":               append([]byte("\x00\x00\x00\x01moov"), bytes.Repeat([]byte{0xff}, 8)...),
		"too many boxes":     bytes.Repeat(box("free"), 100_001),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := read(file); !errors.Is(err, mp4.ErrFormat) || got != (mp4.Info{}) {
				t.Errorf("got %+v, %v, want an error that wraps ErrFormat", got, err)
			}
		})
	}
}

type brokenDisk struct{}

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

// What the disk does is no fault of the file.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	if _, err := mp4.Read(brokenDisk{}, 100); !errors.Is(err, io.ErrClosedPipe) || errors.Is(err, mp4.ErrFormat) {
		t.Errorf("got %v, want the disk's error", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(sample.Video[:4096])
	f.Add(box("moov", header0(600, 900), track(0, 640, 360)))
	f.Add(append(large("mdat", nil), toTheEnd(box("moov", header1(600, 900), track(1, 640, 360)))...))
	f.Fuzz(func(t *testing.T, file []byte) {
		info, err := read(file)
		if err != nil && (!errors.Is(err, mp4.ErrFormat) || info != (mp4.Info{})) {
			t.Errorf("got %+v, %v, want an error that wraps ErrFormat", info, err)
		}
		if info.Duration < 0 || info.Tracks < 0 || info.Width < 0 || info.Height < 0 {
			t.Errorf("got %+v, want nothing negative", info)
		}
	})
}
