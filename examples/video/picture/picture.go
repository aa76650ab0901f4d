// Package picture makes small pictures of large ones.
package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	_ "image/png" // a form that Decode reads

	"golang.org/x/image/draw"
)

// ErrUnfit is wrapped by the errors about pictures that can't be used, however often one tries.
var ErrUnfit = errors.New("picture: unfit")

// maxPixels bounds the memory that a picture takes: a few bytes of a file can claim any size.
const maxPixels = 50_000_000

// Decode reads a JPEG or PNG.
func Decode(file []byte) (image.Image, error) {
	c, form, err := image.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxPixels/c.Height {
		return nil, fmt.Errorf("%w: a %s of %d x %d pixels", ErrUnfit, form, c.Width, c.Height)
	}
	img, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnfit, err)
	}
	return img, nil
}

// Fit returns img in the given height, at least a pixel, and the width that goes with it, as
// JPEG.
func Fit(img image.Image, height int) ([]byte, error) {
	from := img.Bounds()
	width := max(1, from.Dx()*height/from.Dy())
	to := image.NewRGBA(image.Rect(0, 0, width, max(1, height)))
	draw.CatmullRom.Scale(to, to.Bounds(), img, from, draw.Src, nil)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, to, &jpeg.Options{Quality: 85}); err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return b.Bytes(), nil
}
