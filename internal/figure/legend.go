package figure

import (
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/secondbit/pastry/internal/experiment"
)

// shareNames takes the end that the names of all our series have in common, such as
// "b=4, L=16", off them and returns it.
func shareNames(series []experiment.Series) string {
	var ours []*experiment.Series
	for i := range series {
		if !series[i].Paper {
			ours = append(ours, &series[i])
		}
	}
	if len(ours) < 2 {
		return ""
	}
	const separator = ", "
	common := strings.Split(ours[0].Name, separator)[1:]
	for _, s := range ours[1:] {
		common = commonEnd(common, strings.Split(s.Name, separator)[1:])
	}
	end := strings.Join(common, separator)
	if end == "" {
		return ""
	}
	for _, s := range ours {
		s.Name = strings.TrimSuffix(s.Name, separator+end)
	}
	return end
}

// commonEnd returns the longest end of both.
func commonEnd(a, b []string) []string {
	n := 0
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return a[len(a)-n:]
}

// paintTitle writes the title at the top and what the series have in common below
// it, and returns the height it took.
func paintTitle(c draw.Canvas, title, common string) vg.Length {
	whole := c.Max.Y
	for _, part := range []struct {
		text string
		sty  text.Style
	}{{title, letters(12, true)}, {common, letters(10, false)}} {
		c.Max.Y -= paintLines(c, part.sty, wrap(part.sty, part.text, c.Max.X-c.Min.X))
	}
	return whole - c.Max.Y + 3
}

func paintLines(c draw.Canvas, sty text.Style, lines []string) vg.Length {
	extents := sty.FontExtents()
	y := c.Max.Y
	for _, line := range lines {
		c.FillText(sty, vg.Point{X: c.Min.X, Y: y - extents.Ascent}, line)
		y -= extents.Height * 1.1
	}
	return c.Max.Y - y
}

// wrap breaks words into lines of at most the width.
func wrap(sty text.Style, words string, width vg.Length) []string {
	var lines []string
	for _, word := range strings.Fields(words) {
		last := len(lines) - 1
		if last >= 0 && sty.Width(lines[last]+" "+word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// paintLegend names the series, from left to right in as many lines as it takes,
// and returns the height it took.
func paintLegend(c draw.Canvas, series []experiment.Series, styles []look) vg.Length {
	const sample, gap, space, line = 24, 5, 16, 14
	sty := letters(10, false)
	x, y := c.Min.X, c.Max.Y-line/2
	for i, s := range series {
		if sameName(series, i) < i {
			continue
		}
		need := sample + gap + sty.Width(s.Name)
		if x > c.Min.X && x+need > c.Max.X {
			x, y = c.Min.X, y-line
		}
		paintSample(c, styles[i], x, y, sample)
		for k, part := range wrap(sty, s.Name, c.Max.X-x-sample-gap) {
			if k > 0 {
				y -= line
			}
			c.FillText(sty, vg.Point{X: x + sample + gap, Y: y - sty.FontExtents().Ascent*0.36}, part)
		}
		x += need + space // beyond the edge after a name of several lines
	}
	return c.Max.Y - y + line/2 + 4
}

// paintSample draws a piece of a series.
func paintSample(c draw.Canvas, l look, x, y, length vg.Length) {
	if l.bars {
		fillBar(&c, l, x+length*0.3, x+length*0.8, y-4, y+4)
		return
	}
	c.StrokeLine2(l.line, x, y, x+length, y)
	if l.marks {
		c.DrawGlyphNoClip(l.mark, vg.Point{X: x + length/2, Y: y})
	}
}
