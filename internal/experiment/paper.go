package experiment

import (
	"fmt"
	"math"
)

// The figures of Rowstron and Druschel (2001), section 3: b=4, L=16, M=32,
// 200,000 lookups between nodes on a random plane. Those marked "read off" are
// taken from a plot, to within 0.03; the others are stated in the text.
var (
	// paperHops is the mean number of hops, node to node, by the number of nodes:
	// read off figure 4, the last one from the distribution in figure 5.
	paperHops = []Point{{1000, 2.5}, {5000, 2.95}, {10_000, 3.25}, {20_000, 3.5}, {100_000, 3.98}}

	// paperDistribution is the share of lookups by hops at 100,000 nodes, from
	// figure 5.
	paperDistribution = []Point{{1, .0006}, {2, .0156}, {3, .1643}, {4, .6449}, {5, .1745}, {6, 0}}

	// paperStretch is the total route length over the total direct distance by
	// the number of nodes, read off figure 6.
	paperStretch = []Point{{1000, 1.33}, {4000, 1.30}, {10_000, 1.35}, {20_000, 1.365}, {100_000, 1.335}}

	// paperPrefix and paperHeuristic are the shares of lookups among 10,000
	// nodes, b=3 and L=8, that reach the nearest, and one of the two nearest, of
	// five replicas: by prefix routing, and with the paper's heuristic. Figure 8.
	paperPrefix    = []Point{{1, .68}, {2, .87}}
	paperHeuristic = []Point{{1, .76}, {2, .92}}
)

// What the paper found when a tenth of 5,000 nodes fell silent, for lookups of
// keys: mean hops before, after without repair, and after repair; and the remote
// procedure calls spent on repair for each failed node. Section 3.4.
const (
	paperHopsBefore     = 2.73
	paperHopsUnrepaired = 2.96
	paperHopsRepaired   = 2.74
	paperRepairCalls    = 57
)

// paperAt returns the value of a curve at n nodes, linear in the logarithm of n
// between the points, in words. It is empty beyond the ends of the curve.
func paperAt(curve []Point, n int) string {
	x := float64(n)
	for i, p := range curve {
		switch {
		case x == p.X:
			return fmt.Sprintf("%.4g", p.Y)
		case x < p.X && i > 0:
			q := curve[i-1]
			share := math.Log(x/q.X) / math.Log(p.X/q.X)
			return fmt.Sprintf("%.3g, interpolated", q.Y+share*(p.Y-q.Y))
		case x < p.X:
			return ""
		}
	}
	return ""
}

// paperShare returns a share as the paper gives it.
func paperShare(p Point) string { return percent(p.Y) }
