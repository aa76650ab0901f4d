package invoice

import (
	_ "embed"
	"strings"
	"unicode"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// The fonts are read only; everybody who parses them shares these bytes.
var (
	//go:embed font/DejaVuSans.ttf
	regularFont []byte
	//go:embed font/DejaVuSans-Bold.ttf
	boldFont []byte
)

// normalise returns s as it is printed: composed (an e and a combining accent become é, because the PDF writer places one glyph a
// character), without the invisible characters, which would show as boxes: formatting characters, and the CR of web forms' line ends.
func normalise(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, norm.NFC.String(s))
}

// unprintable returns the first character of s that an invoice cannot show and the reason; the reason is empty when all can be shown.
func unprintable(s string) (r rune, why string) {
	// Parsing reads the font's directory, not its glyphs: it costs microseconds, and spares us a cache that lives as long as the
	// process.
	font, err := sfnt.Parse(regularFont)
	if err != nil {
		return 0, "and the embedded font does not parse: " + err.Error()
	}
	var buffer sfnt.Buffer
	for _, r := range s {
		properties, _ := bidi.LookupRune(r)
		class := properties.Class()
		glyph, err := font.GlyphIndex(&buffer, r)
		switch {
		case r == unicode.ReplacementChar:
			return r, "which stands for bytes that are not UTF-8"
		case unicode.IsControl(r):
			return r, "a control character"
		case class == bidi.R || class == bidi.AL:
			return r, "which is written from right to left; invoices are set from left to right only"
		case unicode.IsMark(r):
			return r, "an accent that cannot be composed with the letter before it"
		case r > 0xFFFF:
			return r, "which is beyond the Basic Multilingual Plane; the PDF writer cannot encode it"
		case err != nil || glyph == 0:
			return r, "for which the font (DejaVu Sans) has no glyph"
		}
	}
	return 0, ""
}
