package figure

import (
	"image/color"
	"slices"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/secondbit/pastry/internal/experiment"
)

// palette is that of Okabe and Ito, made for colour-blind people, darkest first
// and without its yellow.
var palette = []color.Color{
	rgb(0x0072b2), rgb(0xd55e00), rgb(0x009e73), rgb(0xcc79a7), rgb(0xe69f00), rgb(0x56b4e9), rgb(0x222222),
}

// greys are those of the literature.
var greys = []color.Color{rgb(0x6e6e6e), rgb(0x9a9a9a), rgb(0x4a4a4a)}

var (
	ink  = rgb(0x222222)
	grid = rgb(0xe3e3e3)
)

var marks = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.BoxGlyph{}, draw.PyramidGlyph{}, diamond{}, draw.CrossGlyph{}, draw.PlusGlyph{}}

var paperMarks = []draw.GlyphDrawer{hollow{draw.CircleGlyph{}}, hollow{draw.BoxGlyph{}}, hollow{draw.PyramidGlyph{}}}

var paperDashes = [][]vg.Length{{5, 3}, {2, 2}, {7, 2, 2, 2}}

func rgb(v uint32) color.Color {
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xff}
}

// look is how a series appears.
type look struct {
	line  draw.LineStyle
	mark  draw.GlyphStyle
	marks bool
	bars  bool
}

// looks returns the look of each series. Those of the same name look alike; those
// of the literature have greys of their own, so that ours keep their colours with
// and without them.
func looks(series []experiment.Series) []look {
	var out []look
	ours, papers := 0, 0
	for i, s := range series {
		var l look
		switch first := sameName(series, i); {
		case first < i:
			l = out[first]
		case s.Paper:
			l = paperLook(papers)
			papers++
		default:
			l = ownLook(ours)
			ours++
		}
		l.marks, l.bars = s.Style == experiment.Line, s.Style == experiment.Bars
		out = append(out, l)
	}
	return out
}

// sameName returns the first series that has the name of series i and is drawn in
// its way, i if there is none before.
func sameName(series []experiment.Series, i int) int {
	return slices.IndexFunc(series, func(s experiment.Series) bool {
		return s.Name == series[i].Name && s.Paper == series[i].Paper && s.Style == series[i].Style
	})
}

// ownLook returns that of our series i. The marks grow, so that those below others
// can be seen.
func ownLook(i int) look {
	c := palette[i%len(palette)]
	l := look{
		line: draw.LineStyle{Color: c, Width: 1.5},
		mark: draw.GlyphStyle{Color: c, Radius: 2.4 + 0.4*vg.Length(i%len(palette)), Shape: marks[i%len(marks)]},
	}
	if i >= len(palette) {
		l.line.Dashes = []vg.Length{6, 2}
	}
	return l
}

func paperLook(i int) look {
	c := greys[i%len(greys)]
	return look{
		line: draw.LineStyle{Color: c, Width: 1.2, Dashes: paperDashes[i%len(paperDashes)]},
		mark: draw.GlyphStyle{Color: c, Radius: 2.6, Shape: paperMarks[i%len(paperMarks)]},
	}
}

// diamond is a filled square on its corner.
type diamond struct{}

func (diamond) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, pt vg.Point) {
	r := sty.Radius * 1.3
	c.FillPolygon(sty.Color, []vg.Point{{X: pt.X - r, Y: pt.Y}, {X: pt.X, Y: pt.Y + r}, {X: pt.X + r, Y: pt.Y}, {X: pt.X, Y: pt.Y - r}})
}

// hollow is a filled shape with white in it.
type hollow struct{ shape draw.GlyphDrawer }

func (h hollow) DrawGlyph(c *draw.Canvas, sty draw.GlyphStyle, pt vg.Point) {
	h.shape.DrawGlyph(c, sty, pt)
	c.SetColor(color.White)
	sty.Color, sty.Radius = color.White, sty.Radius-0.9
	h.shape.DrawGlyph(c, sty, pt)
}

// letters returns a style of text in a size in points.
func letters(size vg.Length, bold bool) text.Style {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return text.Style{Color: ink, Font: f, Handler: plot.DefaultTextHandler}
}
