package figure

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/secondbit/pastry/internal/experiment"
)

// margin is left free around everything.
const margin vg.Length = 8

// ErrNoPoints is why a figure without any point is not drawn.
var ErrNoPoints = errors.New("has no points")

// paint draws a figure: its title above, below that the legend, which so covers
// no data, and the plot in the room that is left.
func paint(f experiment.Figure, c draw.Canvas) error {
	series := drawable(f.Series)
	if countPoints(series) == 0 {
		return fmt.Errorf("figure %q %w", f.Name, ErrNoPoints)
	}
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	common := shareNames(series)
	styles := looks(series)
	c.Max.Y -= paintTitle(c, f.Title, common)
	if len(series) > 1 {
		c.Max.Y -= paintLegend(c, series, styles)
	}
	paintLabels(c, f, newPlot(f, series, styles))
	return nil
}

// paintLabels draws the plot with the names of its axes: plot.Plot would leave too
// much room for them beside logarithmic axes.
func paintLabels(c draw.Canvas, f experiment.Figure, p *plot.Plot) {
	sty := letters(11, false)
	sty.XAlign = draw.XCenter
	extents := sty.FontExtents()
	inner := draw.Crop(c, extents.Height+3, 0, extents.Height+3, 0)
	p.Draw(inner)
	data := p.DataCanvas(inner)
	c.FillText(sty, vg.Point{X: data.Center().X, Y: c.Min.Y + extents.Descent}, f.X)
	sty.Rotation = math.Pi / 2
	c.FillText(sty, vg.Point{X: c.Min.X + extents.Ascent, Y: data.Center().Y}, f.Y)
}

func countPoints(series []experiment.Series) int {
	n := 0
	for _, s := range series {
		n += len(s.Points)
	}
	return n
}

// newPlot returns the plot of a figure without its title and legend.
func newPlot(f experiment.Figure, series []experiment.Series, styles []look) *plot.Plot {
	var xs, ys []float64
	bars := barGroup{}
	for i, s := range series {
		for _, p := range s.Points {
			xs, ys = append(xs, p.X), append(ys, p.Y)
		}
		if styles[i].bars {
			bars.series, bars.looks = append(bars.series, s), append(bars.looks, styles[i])
		}
	}
	bars.gap = barGap(bars.series, f.LogX)
	bars.x, bars.y = xAxis(xs, f.LogX, bars), yAxis(ys, f.LogY, len(bars.series) > 0)
	p := plot.New()
	dress(p)
	bars.x.apply(&p.X)
	bars.y.apply(&p.Y)
	p.Add(gridOf(f))
	if len(bars.series) > 0 {
		p.Add(bars)
	}
	addCurves(p, series, styles, bars)
	return p
}

// yAxis returns the axis of the values; it begins at zero below bars, and below a
// single value, which has nothing to be compared with.
func yAxis(values []float64, log, bars bool) *axis {
	a := newAxis(values, log)
	if log {
		a.widenLog()
	} else {
		a.widen(bars || slices.Min(values) == slices.Max(values))
	}
	return &a
}

// xAxis returns the axis of the values, with room for the outermost bars.
func xAxis(values []float64, log bool, bars barGroup) *axis {
	a := newAxis(values, log)
	switch {
	case len(bars.series) == 0 && log:
		a.widenLog()
	case len(bars.series) == 0:
		a.pad(0.03)
	case log:
		a.min, a.max = a.min*math.Exp(-bars.gap*0.6), a.max*math.Exp(bars.gap*0.6)
	default:
		a.min, a.max = a.min-bars.gap*0.6, a.max+bars.gap*0.6
	}
	return &a
}

// addCurves adds what is no bar: the literature first, so that ours lies above it,
// and of ours the first on top.
func addCurves(p *plot.Plot, series []experiment.Series, styles []look, axes barGroup) {
	for _, paper := range []bool{true, false} {
		for i, s := range slices.Backward(series) {
			if s.Paper == paper && !styles[i].bars {
				p.Add(curve{look: styles[i], points: inOrder(s.Points), x: axes.x, y: axes.y})
			}
		}
	}
}

// dress sets the letters and lines of the axes.
func dress(p *plot.Plot) {
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		tick := letters(10, false)
		tick.XAlign, tick.YAlign = a.Tick.Label.XAlign, a.Tick.Label.YAlign
		a.Tick.Label = tick
		a.Padding = 0
		a.LineStyle = draw.LineStyle{Color: ink, Width: 0.7}
		a.Tick.LineStyle = a.LineStyle
		a.Tick.Length = 5
	}
}

// gridOf returns the lines behind the data: horizontal ones, and on a logarithmic
// axis vertical ones too.
func gridOf(f experiment.Figure) *plotter.Grid {
	g := plotter.NewGrid()
	line := draw.LineStyle{Color: grid, Width: 0.7}
	g.Horizontal, g.Vertical = line, draw.LineStyle{}
	if f.LogX {
		g.Vertical = line
	}
	return g
}
