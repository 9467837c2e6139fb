package sim

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// near is a node and how far it is from another, one way.
type near struct {
	at   int32 // index into the places that are searched
	away time.Duration
}

func (a near) compare(b near) int {
	return cmp.Or(cmp.Compare(a.away, b.away), cmp.Compare(a.at, b.at))
}

// nearestFew collects the k nearest of those it is shown, nearest first; of two
// equally far the one with the smaller index.
type nearestFew struct {
	k     int
	found []near
}

func (f *nearestFew) add(at int32, away time.Duration) {
	n := near{at, away}
	if len(f.found) == f.k {
		if n.compare(f.found[f.k-1]) >= 0 {
			return
		}
		f.found = f.found[:f.k-1]
	}
	i, _ := slices.BinarySearchFunc(f.found, n, near.compare)
	f.found = slices.Insert(f.found, i, n)
}

// beyond reports whether nobody that is at least so far can be among the k
// nearest.
func (f *nearestFew) beyond(away time.Duration) bool {
	return len(f.found) == f.k && away > f.found[f.k-1].away
}

// finder finds the nearest among a fixed set of places.
type finder interface {
	// find shows f places such that the nearest to p are among them. It leaves
	// out the place with index self.
	find(p *Place, self int32, f *nearestFew)
}

// scanned is the number of places up to which all are looked at.
const scanned = 48

// newFinder returns a finder among places[from:to] under a topology.
func newFinder(t Topology, places []Place, from, to int) finder {
	l := list{t, places, from, to}
	if to-from <= scanned {
		return l
	}
	switch t := t.(type) {
	case spatial:
		return newTree(t, places, from, to)
	case *matrix:
		return newSites(t, places, from, to)
	}
	return l
}

// list looks at every place, under any topology.
type list struct {
	t        Topology
	places   []Place
	from, to int
}

func (l list) find(p *Place, self int32, f *nearestFew) {
	for i := l.from; i < l.to; i++ {
		if int32(i) != self {
			f.add(int32(i), l.t.Delay(p, &l.places[i]))
		}
	}
}

// spatial is a topology in which the delay between two nodes is a growing
// function of the straight distance of their points in space, and of their
// access links.
type spatial interface {
	Topology
	// reach returns the delay over a distance between access links with the
	// given sum. It may be off by a nanosecond.
	reach(distance float64, access time.Duration) time.Duration
}

// tree is a k-d tree: each branch halves the places below it across the longest
// side of the box they lie in.
type tree struct {
	t        spatial
	places   []Place
	order    []int32 // indices of places; a branch is an interval of it
	branches []branch
}

// branch bounds the places below it. The two below branch i are 2i+1 and 2i+2.
type branch struct {
	low, high [3]float64
	access    time.Duration // the least
}

// bunch is the number of places that are not divided further.
const bunch = 12

func newTree(t spatial, places []Place, from, to int) *tree {
	x := &tree{t: t, places: places, order: make([]int32, 0, to-from)}
	for i := from; i < to; i++ {
		x.order = append(x.order, int32(i))
	}
	x.build(0, 0, len(x.order))
	return x
}

func (p *Place) along(axis int) float64 { return [3]float64{p.X, p.Y, p.Z}[axis] }

// build makes branch i of the places that order[from:to] names.
func (x *tree) build(i, from, to int) {
	for len(x.branches) <= i {
		x.branches = append(x.branches, branch{})
	}
	b := x.bound(x.order[from:to])
	x.branches[i] = b
	if to-from <= bunch {
		return
	}
	axis := 0
	for k := range 3 {
		if b.high[k]-b.low[k] > b.high[axis]-b.low[axis] {
			axis = k
		}
	}
	x.halve(x.order[from:to], axis)
	half := (from + to) / 2
	x.build(2*i+1, from, half)
	x.build(2*i+2, half, to)
}

func (x *tree) bound(order []int32) branch {
	b := branch{access: math.MaxInt64}
	for k := range 3 {
		b.low[k], b.high[k] = math.Inf(1), math.Inf(-1)
	}
	for _, i := range order {
		p := &x.places[i]
		for k, v := range [3]float64{p.X, p.Y, p.Z} {
			b.low[k], b.high[k] = min(b.low[k], v), max(b.high[k], v)
		}
		b.access = min(b.access, p.Access)
	}
	return b
}

// halve reorders so that no place in the first half lies beyond one in the
// second. It is Hoare's selection.
func (x *tree) halve(order []int32, axis int) {
	at := func(i int) float64 { return x.places[order[i]].along(axis) }
	middle := len(order) / 2
	for low, high := 0, len(order)-1; low < high; {
		pivot := at((low + high) / 2)
		i, j := low, high
		for i <= j {
			for at(i) < pivot {
				i++
			}
			for at(j) > pivot {
				j--
			}
			if i <= j {
				order[i], order[j] = order[j], order[i]
				i++
				j--
			}
		}
		switch {
		case middle <= j:
			high = j
		case middle >= i:
			low = i
		default:
			return
		}
	}
}

func (x *tree) find(p *Place, self int32, f *nearestFew) { x.search(0, 0, len(x.order), p, self, f) }

func (x *tree) search(i, from, to int, p *Place, self int32, f *nearestFew) {
	if to-from <= bunch {
		for _, at := range x.order[from:to] {
			if at != self {
				f.add(at, x.t.Delay(p, &x.places[at]))
			}
		}
		return
	}
	half := (from + to) / 2
	first, second := 2*i+1, 2*i+2
	d1, d2 := x.least(first, p), x.least(second, p)
	if d1 <= d2 {
		if !f.beyond(d1) {
			x.search(first, from, half, p, self, f)
		}
		if !f.beyond(d2) {
			x.search(second, half, to, p, self, f)
		}
		return
	}
	if !f.beyond(d2) {
		x.search(second, half, to, p, self, f)
	}
	if !f.beyond(d1) {
		x.search(first, from, half, p, self, f)
	}
}

// least returns a delay that nobody below a branch is nearer to p than.
func (x *tree) least(i int, p *Place) time.Duration {
	const slack = 10 * time.Nanosecond // for what rounding may do
	b := &x.branches[i]
	sum := 0.0
	for k, v := range [3]float64{p.X, p.Y, p.Z} {
		d := max(b.low[k]-v, v-b.high[k], 0)
		sum += d * d
	}
	return x.t.reach(math.Sqrt(sum), p.Access+b.access) - slack
}

// sites finds the nearest under a matrix: those with the fastest access links of
// each site.
type sites struct {
	m      *matrix
	places []Place
	at     [][]int32 // by site, the fastest first
}

func newSites(m *matrix, places []Place, from, to int) *sites {
	x := &sites{m: m, places: places, at: make([][]int32, len(m.sites))}
	for i := from; i < to; i++ {
		s := places[i].Site
		x.at[s] = append(x.at[s], int32(i))
	}
	for _, at := range x.at {
		slices.SortStableFunc(at, func(a, b int32) int { return cmp.Compare(places[a].Access, places[b].Access) })
	}
	return x
}

func (x *sites) find(p *Place, self int32, f *nearestFew) {
	for _, at := range x.at {
		for _, i := range at {
			away := x.m.Delay(p, &x.places[i])
			if f.beyond(away) {
				break
			}
			if i != self {
				f.add(i, away)
			}
		}
	}
}
