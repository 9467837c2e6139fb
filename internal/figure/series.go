package figure

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/secondbit/pastry/internal/experiment"
)

// curve draws a series as a line, with a mark at each point if its look has marks.
type curve struct {
	look
	points []experiment.Point
	x, y   *axis
}

// Plot implements plot.Plotter.
func (s curve) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	var pts []vg.Point
	for _, v := range s.points {
		pts = append(pts, vg.Point{X: trX(s.x.clamp(v.X)), Y: trY(s.y.clamp(v.Y))})
	}
	line := pts
	if !s.marks {
		line = thin(pts)
	}
	c.StrokeLines(s.line, c.ClipLinesXY(line)...)
	if !s.marks {
		return
	}
	for _, pt := range pts {
		c.DrawGlyphNoClip(s.mark, pt)
	}
}

// thin leaves out points that nobody could tell from the one before.
func thin(pts []vg.Point) []vg.Point {
	const near = 0.2
	var out []vg.Point
	for i, pt := range pts {
		if i > 0 && i < len(pts)-1 {
			last := out[len(out)-1]
			if math.Hypot(float64(pt.X-last.X), float64(pt.Y-last.Y)) < near {
				continue
			}
		}
		out = append(out, pt)
	}
	return out
}

// barGroup draws all series of bars, those with the same X beside each other.
type barGroup struct {
	looks  []look
	series []experiment.Series
	x, y   *axis
	gap    float64 // between neighbouring values of X, on a logarithmic axis of their logarithms
}

// Plot implements plot.Plotter.
func (g barGroup) Plot(c draw.Canvas, p *plot.Plot) {
	trX, trY := p.Transforms(&c)
	space := vg.Length(g.gap/span(g.x)) * (c.Max.X - c.Min.X) * 0.82
	space = min(space, 72)
	each := space / vg.Length(len(g.series))
	floor := c.Min.Y
	if !g.y.log {
		floor = trY(0)
	}
	for i, s := range g.series {
		for _, pt := range s.Points {
			left := trX(g.x.clamp(pt.X)) - space/2 + vg.Length(i)*each
			fillBar(&c, g.looks[i], left+each*0.03, left+each*0.97, floor, trY(g.y.clamp(pt.Y)))
		}
	}
}

// span returns the length of an axis in the unit of barGroup.gap.
func span(a *axis) float64 {
	if a.log {
		return math.Log(a.max / a.min)
	}
	return a.max - a.min
}

// fillBar draws one bar; those of the literature are light with an outline.
func fillBar(c *draw.Canvas, l look, left, right, bottom, top vg.Length) {
	corners := []vg.Point{{X: left, Y: bottom}, {X: left, Y: top}, {X: right, Y: top}, {X: right, Y: bottom}}
	if l.line.Dashes == nil {
		c.FillPolygon(l.line.Color, corners)
		return
	}
	c.FillPolygon(rgb(0xd9d9d9), corners)
	c.StrokeLines(draw.LineStyle{Color: l.line.Color, Width: 0.7}, append(corners, corners[0]))
}

// barGap returns the smallest distance between two values of X at which there are
// bars, in the unit of barGroup.gap; 1 if there is but one.
func barGap(series []experiment.Series, log bool) float64 {
	var xs []float64
	for _, s := range series {
		for _, p := range s.Points {
			if !log {
				xs = append(xs, p.X)
			} else if p.X > 0 {
				xs = append(xs, math.Log(p.X))
			}
		}
	}
	slices.Sort(xs)
	gap := math.Inf(1)
	for i := 1; i < len(xs); i++ {
		if d := xs[i] - xs[i-1]; d > 0 {
			gap = min(gap, d)
		}
	}
	if math.IsInf(gap, 1) {
		return 1
	}
	return gap
}

// inOrder returns the points by their X, as a line visits them.
func inOrder(points []experiment.Point) []experiment.Point {
	return slices.SortedStableFunc(slices.Values(points), func(a, b experiment.Point) int { return cmp.Compare(a.X, b.X) })
}

// drawable returns the series with only those points that have a place, and ours
// before those of the literature.
func drawable(series []experiment.Series) []experiment.Series {
	var ours, papers []experiment.Series
	for _, s := range series {
		s.Points = slices.DeleteFunc(slices.Clone(s.Points), func(p experiment.Point) bool {
			return math.IsNaN(p.X+p.Y) || math.IsInf(p.X, 0) || math.IsInf(p.Y, 0)
		})
		if s.Paper {
			papers = append(papers, s)
		} else {
			ours = append(ours, s)
		}
	}
	return append(ours, papers...)
}
