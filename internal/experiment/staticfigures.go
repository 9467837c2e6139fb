package experiment

import "fmt"

// reportsOf returns those reports that are of type R.
func reportsOf[R Report](reports []Report) []R {
	var rs []R
	for _, r := range reports {
		if r, ok := r.(R); ok {
			rs = append(rs, r)
		}
	}
	return rs
}

// sweep draws a curve over the number of nodes for all reports with the same name.
// One of a single size is a point.
func sweep[R Report](reports []R, name func(R) string, y func(R) float64) []Series {
	var g group
	for _, r := range reports {
		g.add(name(r), Point{float64(r.Head().Nodes), y(r)})
	}
	return g.curves()
}

// sizes returns how many different numbers of nodes the reports have.
func sizes[R Report](reports []R) int {
	seen := make(map[int]bool)
	for _, r := range reports {
		seen[r.Head().Nodes] = true
	}
	return len(seen)
}

// settings returns a function that names what a ring is like apart from its size, and
// in what else the runs differ, but for the parameters in shown.
func settings(reports []Report, shown ...string) func(h *Header) string {
	own := apart(reports, append(shown, "nodes", "topology", "bits", "leafset", "perfect")...)
	return func(h *Header) string {
		return fmt.Sprintf("%s, b=%d, L=%d, %s%s", h.Topology, h.DigitBits, h.LeafSet, h.Built, own(h))
	}
}

// kind names the lookups of a report.
func (r *HopsReport) kind() string {
	kind := "node to node"
	if r.Target == "keys" {
		kind = "node to key"
	}
	if !r.Coordinates {
		kind += ", without coordinates"
	}
	return kind
}

func hopsFigures(reports []Report) []Figure {
	rs := reportsOf[*HopsReport](reports)
	if len(rs) == 0 {
		return nil
	}
	setting := settings(reports, "keys", "coordinates", "lookups")
	name := func(r *HopsReport) string { return r.kind() + ", " + setting(r.Head()) }
	figures := []Figure{distributionFigure(rs, name), lengthsFigure(rs, name)}
	if sizes(rs) < 2 {
		return figures
	}
	return append(figures,
		Figure{Name: "hops-nodes", Title: "Mean hops by the size of the ring", X: "nodes", Y: "mean hops", LogX: true,
			Series: append(sweep(rs, name, func(r *HopsReport) float64 { return r.MeanHops }), paperSeries(paperHops, "node to node, read off figure 4"))},
		Figure{Name: "stretch-nodes", Title: "Route length over direct distance by the size of the ring", X: "nodes", Y: "route length / direct distance", LogX: true,
			Series: append(sweep(rs, name, func(r *HopsReport) float64 { return r.Stretch }), paperSeries(paperStretch, "read off figure 6"))},
	)
}

// paperSeries returns a curve of Rowstron and Druschel.
func paperSeries(points []Point, what string) Series {
	return Series{Name: "Rowstron and Druschel (2001), " + what, Points: points, Paper: true}
}

func distributionFigure(rs []*HopsReport, name func(*HopsReport) string) Figure {
	f := Figure{Name: "hops-distribution", Title: "Lookups by hops", X: "hops", Y: "share of lookups"}
	for _, r := range rs {
		s := Series{Name: fmt.Sprintf("%d nodes, %s", r.Nodes, name(r)), Style: Bars}
		for hops, y := range r.Distribution {
			s.Points = append(s.Points, Point{float64(hops), y})
		}
		f.Series = append(f.Series, s)
	}
	paper := paperSeries(paperDistribution, "node to node, 100,000 nodes")
	paper.Style = Bars
	f.Series = append(f.Series, paper)
	return f
}

// leastShare is the share of the lookups that must have a link for its mean to be shown.
const leastShare = 0.001

func sum(xs []float64) (total float64) {
	for _, x := range xs {
		total += x
	}
	return total
}

// lengthsFigure shows how long the first link of a route is, the second and so on.
func lengthsFigure(rs []*HopsReport, name func(*HopsReport) string) Figure {
	f := Figure{Name: "hop-lengths", Title: "Delay of the links of a route, first to last", X: "link", Y: "mean delay (ms)"}
	for _, r := range rs {
		s := Series{Name: fmt.Sprintf("%d nodes, %s", r.Nodes, name(r))}
		for i, y := range r.HopLengths {
			if longer := sum(r.Distribution[min(i+1, len(r.Distribution)):]); longer >= leastShare {
				s.Points = append(s.Points, Point{float64(i + 1), y})
			}
		}
		f.Series = append(f.Series, s)
	}
	return f
}

func replicasFigures(reports []Report) []Figure {
	rs := reportsOf[*ReplicasReport](reports)
	if len(rs) == 0 {
		return nil
	}
	setting := settings(reports, "replicas", "lookups")
	f := Figure{Name: "replicas-nearest", Title: "Lookups answered by one of the n nearest replicas", X: "n", Y: "share of lookups"}
	for _, r := range rs {
		for _, w := range r.Ways {
			s := Series{Name: fmt.Sprintf("%s, %d nodes, k=%d, %s", w.Way, r.Nodes, r.Replicas, setting(r.Head()))}
			for i, y := range w.Nearest {
				s.Points = append(s.Points, Point{float64(i + 1), y})
			}
			f.Series = append(f.Series, s)
		}
	}
	f.Series = append(f.Series,
		paperSeries(paperPrefix, "prefix routing, 10,000 nodes, k=5"),
		paperSeries(paperHeuristic, "with its heuristic, 10,000 nodes, k=5"))
	return []Figure{f}
}

func failuresFigures(reports []Report) []Figure {
	rs := reportsOf[*FailuresReport](reports)
	if len(rs) == 0 {
		return nil
	}
	setting := settings(reports, "fail")
	hops := Figure{Name: "failures-hops", Title: "Mean hops when many nodes fall silent", X: "1: before it, 2: right after it, 3: after repair", Y: "mean hops"}
	delay := Figure{Name: "failures-delay", Title: "Delay of lookups sent at the moment of a silent failure of many nodes", X: "share of lookups", Y: "delay until delivery (ms)", LogY: true}
	for _, r := range rs {
		name := fmt.Sprintf("%s of %d nodes, %s", percent(r.Fail), r.Nodes, setting(r.Head()))
		hops.Series = append(hops.Series, Series{Name: name, Style: Bars,
			Points: []Point{{1, r.HopsBefore}, {2, r.HopsUnrepaired}, {3, r.HopsRepaired}}})
		delay.Series = append(delay.Series,
			Series{Name: "before, " + name, Style: Step, Points: quantiles(r.DelaysBefore)},
			Series{Name: "unrepaired, " + name, Style: Step, Points: quantiles(r.DelaysUnrepaired)},
			Series{Name: "repaired, " + name, Style: Step, Points: quantiles(r.DelaysRepaired)})
	}
	paper := paperSeries([]Point{{1, paperHopsBefore}, {2, paperHopsUnrepaired}, {3, paperHopsRepaired}}, "10 % of 5,000 nodes")
	paper.Style = Bars
	hops.Series = append(hops.Series, paper)
	return []Figure{hops, delay}
}

func skewFigures(reports []Report) []Figure {
	rs := reportsOf[*SkewReport](reports)
	if len(rs) == 0 {
		return nil
	}
	setting := settings(reports, "zipf")
	var figures []Figure
	for _, part := range []struct {
		name, title string
		of          func(l *Load) []float64
	}{
		{"skew-roots", "Lookups answered by the most loaded nodes", func(l *Load) []float64 { return l.RootCurve }},
		{"skew-relays", "Lookups relayed by the most loaded nodes", func(l *Load) []float64 { return l.RelayCurve }},
	} {
		f := Figure{Name: part.name, Title: part.title, X: "share of nodes, most loaded first", Y: "share of load"}
		for _, r := range rs {
			about := fmt.Sprintf("%d nodes, %s", r.Nodes, setting(r.Head()))
			f.Series = append(f.Series,
				Series{Name: fmt.Sprintf("Zipf %g, %s", r.Zipf, about), Style: Step, Points: quantiles(part.of(&r.Skewed))},
				Series{Name: "uniform keys, " + about, Style: Step, Points: quantiles(part.of(&r.Uniform))})
		}
		figures = append(figures, f)
	}
	return figures
}

// quantiles draws values at equal steps of a share from 0 to 1.
func quantiles(ys []float64) []Point {
	var points []Point
	for i, y := range ys {
		points = append(points, Point{over(float64(i), float64(len(ys)-1)), y})
	}
	return points
}
