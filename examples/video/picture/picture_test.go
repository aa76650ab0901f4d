package picture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"testing"

	"github.com/errandq/errand/examples/video/picture"
	"github.com/errandq/errand/examples/video/sample"
)

func TestFitRealPicture(t *testing.T) {
	t.Parallel()
	img, err := picture.Decode(sample.Poster)
	if err != nil {
		t.Fatal(err)
	}
	for _, height := range []int{180, 90, 1} {
		file, err := picture.Fit(img, height)
		if err != nil {
			t.Fatal(err)
		}
		got, err := picture.Decode(file)
		if err != nil {
			t.Fatal(err)
		}
		want := image.Pt(height*sample.Width/sample.Height, height)
		if size := got.Bounds().Size(); size != want {
			t.Errorf("height %d: got %v, want %v", height, size, want)
		}
	}
}

// What was left is left, and what was red is red.
func TestFitKeepsThePicture(t *testing.T) {
	t.Parallel()
	img := image.NewNRGBA(image.Rect(-100, -100, 100, 100)) // not at the origin
	for x := -100; x < 100; x++ {
		for y := -100; y < 100; y++ {
			c := color.NRGBA{0, 0, 255, 255}
			if x < 0 {
				c = color.NRGBA{255, 0, 0, 255}
			}
			img.Set(x, y, c)
		}
	}
	file, err := picture.Fit(img, 20)
	if err != nil {
		t.Fatal(err)
	}
	got, err := picture.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		x, y      int
		red, blue bool
	}{{2, 2, true, false}, {2, 17, true, false}, {17, 2, false, true}, {17, 17, false, true}} {
		r, _, b, _ := got.At(c.x, c.y).RGBA()
		if (r > 0xc000) != c.red || (b > 0xc000) != c.blue {
			t.Errorf("at %d, %d: got red %#x and blue %#x, want red %v and blue %v", c.x, c.y, r, b, c.red, c.blue)
		}
	}
}

// claim changes the width that a PNG says it has.
func claim(t *testing.T, width uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	binary.BigEndian.PutUint32(file[16:], width)
	binary.BigEndian.PutUint32(file[20:], width)
	binary.BigEndian.PutUint32(file[29:], crc32.ChecksumIEEE(file[12:29]))
	return file
}

func TestUnfit(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"empty":   nil,
		"a film":  sample.Video,
		"cut off": sample.Poster[:len(sample.Poster)/2],
		"a bomb":  claim(t, 30_000),
	} {
		if img, err := picture.Decode(file); !errors.Is(err, picture.ErrUnfit) || img != nil {
			t.Errorf("%s: got %v, want an error that wraps ErrUnfit", name, err)
		}
	}
}
