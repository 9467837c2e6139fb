package sim

import (
	"context"
	"slices"
	"sort"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// roster is a ring as it was at one moment: who was a member, in the order of
// their ids, and where. What every member's tables were to be follows from it.
type roster struct {
	ctx     context.Context // of Perfect
	s       *Sim
	points  []point
	places  []Place // of points
	finders map[span]finder
}

// span is an interval of a roster's points.
type span struct{ from, to int32 }

func newRoster(ctx context.Context, s *Sim) *roster {
	r := &roster{ctx: ctx, s: s, finders: make(map[span]finder)}
	for _, c := range s.members.chunks {
		r.points = append(r.points, c...)
	}
	r.places = make([]Place, len(r.points))
	for i, p := range r.points {
		r.places[i] = s.nodes[p.node].place
	}
	return r
}

// over reports whether nobody waits any more for who is left to be made.
func (r *roster) over() bool { return r.ctx.Err() != nil }

// known returns whom a member knows whose tables are perfect: its leaves; for
// each entry of its routing table the nearest nodes that qualify, as many as an
// entry holds; and the nearest nodes of all for its neighborhood set.
func (r *roster) known(n *node, cfg *pastry.Config) []pastry.Acquaintance {
	self, _ := slices.BinarySearchFunc(r.points, n.contact.ID, func(p point, id ring.ID) int { return p.id.Compare(id) })
	at := r.leaves(nil, self, cfg.LeafSetSize/2)
	at = r.nearest(at, self, span{0, int32(len(r.points))}, cfg.NeighborhoodSize)
	at = r.table(at, self, cfg.DigitBits)
	slices.Sort(at)
	at = slices.Compact(at)
	known := make([]pastry.Acquaintance, 0, len(at))
	for _, i := range at {
		other := r.s.nodes[r.points[i].node]
		known = append(known, pastry.Acquaintance{
			Contact: other.contact, RTT: r.s.distance(n, other) + r.s.distance(other, n),
		})
	}
	return known
}

// leaves appends the points next to one, half on each side.
func (r *roster) leaves(at []int32, self, half int) []int32 {
	n := len(r.points)
	for k := 1; k <= min(half, n-1); k++ {
		at = append(at, int32((self+k)%n), int32((self-k+n)%n))
	}
	return at
}

// entrySize is how many contacts an entry of the routing table holds.
const entrySize = 3

// table appends the nearest points of every entry.
func (r *roster) table(at []int32, self, b int) []int32 {
	id := r.points[self].id
	for row, same := 0, (span{0, int32(len(r.points))}); same.to-same.from > 1; row++ {
		own, next := id.Digit(row, b), same
		for from := same.from; from < same.to; {
			digit := r.points[from].id.Digit(row, b)
			rest := r.points[from:same.to]
			group := span{from, from + int32(sort.Search(len(rest), func(i int) bool { return rest[i].id.Digit(row, b) > digit }))}
			if digit == own {
				next = group
			} else {
				at = r.nearest(at, self, group, entrySize)
			}
			from = group.to
		}
		same = next
	}
	return at
}

// nearest appends the k points of a group nearest to one.
func (r *roster) nearest(at []int32, self int, group span, k int) []int32 {
	if k <= 0 {
		return at
	}
	f := nearestFew{k: k, found: make([]near, 0, k)}
	r.finder(group).find(&r.places[self], int32(self), &f)
	for _, n := range f.found {
		at = append(at, n.at)
	}
	return at
}

// finder returns the finder of a group, which it keeps if it is worth it.
func (r *roster) finder(group span) finder {
	if x := r.finders[group]; x != nil {
		return x
	}
	if r.s.Latency != nil {
		return arbitrary{r, group}
	}
	x := newFinder(r.s.Topology, r.places, int(group.from), int(group.to))
	if _, scans := x.(list); !scans {
		r.finders[group] = x
	}
	return x
}

// arbitrary looks at every point of a group, under Config.Latency.
type arbitrary struct {
	r     *roster
	group span
}

func (a arbitrary) find(_ *Place, self int32, f *nearestFew) {
	node := func(i int32) *node { return a.r.s.nodes[a.r.points[i].node] }
	for i := a.group.from; i < a.group.to; i++ {
		if i != self {
			f.add(i, a.r.s.distance(node(self), node(i)))
		}
	}
}
