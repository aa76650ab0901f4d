// Package sample is a video to try things with: 3.5 seconds of a flight into the Mandelbrot
// set and a tone, as MP4, and a picture of it. Both were made by ffmpeg's own generators.
package sample

import _ "embed" // the files

// What the sample is.
const (
	Width    = 640
	Height   = 360
	Tracks   = 2
	Millis   = 3500 // its duration
	Filename = "sample.mp4"
)

// Video is the MP4 file. It must not be written to.
//
//go:embed sample.mp4
var Video []byte

// Poster is a picture of it, as JPEG. It must not be written to.
//
//go:embed poster.jpg
var Poster []byte
