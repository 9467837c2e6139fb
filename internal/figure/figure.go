package figure

import (
	"bytes"
	"errors"
	"os"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/secondbit/pastry/internal/experiment"
)

// The size of a figure: 640 by 420 pixels of a browser. A PNG has twice as many
// in each direction.
const (
	width  = 640 * vg.Inch / 96
	height = 420 * vg.Inch / 96
	pngDPI = 192
)

// SVG returns the figure as an SVG document: the same bytes for the same figure.
func SVG(f experiment.Figure) ([]byte, error) {
	c := vgsvg.New(width, height)
	if err := paint(f, draw.New(c)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, err
	}
	return withFallbackFonts(b.Bytes()), nil
}

// withFallbackFonts names fonts of the same widths for those who lack the first.
func withFallbackFonts(svg []byte) []byte {
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Sans;"),
		[]byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))
}

// PNG returns the figure as a PNG image: the same bytes for the same figure.
func PNG(f experiment.Figure) ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(pngDPI))
	if err := paint(f, draw.New(c)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: c}).WriteTo(&b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Write draws the figure into two files, whose names are base with .svg and .png.
func Write(base string, f experiment.Figure) error {
	svg, svgErr := SVG(f)
	png, pngErr := PNG(f)
	if err := errors.Join(svgErr, pngErr); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(base+".svg", svg, 0o644), os.WriteFile(base+".png", png, 0o644))
}
