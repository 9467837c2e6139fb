package records

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

// after returns the key after one, going up.
func after(key ring.ID) ring.ID { return key.Add(ring.FromUint64s(0, 1)) }

// prior returns the key before one, going up.
func prior(key ring.ID) ring.ID { return key.Sub(ring.FromUint64s(0, 1)) }

// wraps reports whether the arc goes over the top of the ring.
func (a Arc) wraps() bool { return a.Last.Less(a.First) }

// arcSet is a set of keys: arcs in ascending order that do not wrap, overlap or
// touch, except that the last may touch the first over the top of the ring. The
// zero value is empty. Sets are never changed in place.
type arcSet []Arc

// newArcSet returns the keys that are in any of the arcs.
func newArcSet(arcs ...Arc) arcSet {
	var flat []Arc
	for _, a := range arcs {
		if a.wraps() {
			flat = append(flat, Arc{First: a.First, Last: WholeRing.Last}, Arc{First: WholeRing.First, Last: a.Last})
		} else {
			flat = append(flat, a)
		}
	}
	slices.SortFunc(flat, func(a, b Arc) int { return a.First.Compare(b.First) })
	set := flat[:0]
	for _, a := range flat {
		last := len(set) - 1
		switch {
		case last < 0 || set[last].Last.Less(prior(a.First)) && !a.First.IsZero():
			set = append(set, a)
		case set[last].Last.Less(a.Last):
			set[last].Last = a.Last
		}
	}
	return arcSet(set)
}

// contains reports whether key is in the set.
func (s arcSet) contains(key ring.ID) bool {
	for _, a := range s {
		if a.Contains(key) {
			return true
		}
	}
	return false
}

// union returns the keys in either set.
func (s arcSet) union(t arcSet) arcSet { return newArcSet(slices.Concat(s, t)...) }

// intersect returns the keys in both sets.
func (s arcSet) intersect(t arcSet) arcSet {
	var both arcSet
	for i, j := 0, 0; i < len(s) && j < len(t); {
		first, last := s[i].First, s[i].Last
		if first.Less(t[j].First) {
			first = t[j].First
		}
		if t[j].Last.Less(last) {
			last = t[j].Last
		}
		if !last.Less(first) {
			both = append(both, Arc{First: first, Last: last})
		}
		if s[i].Last.Less(t[j].Last) {
			i++
		} else {
			j++
		}
	}
	return both
}

// complement returns the keys that are not in the set.
func (s arcSet) complement() arcSet {
	var rest arcSet
	next := ring.ID{}
	for _, a := range s {
		if next.Less(a.First) {
			rest = append(rest, Arc{First: next, Last: prior(a.First)})
		}
		if a.Last == WholeRing.Last {
			return rest
		}
		next = after(a.Last)
	}
	return append(rest, Arc{First: next, Last: WholeRing.Last})
}

// minus returns the keys of s that are not in t.
func (s arcSet) minus(t arcSet) arcSet { return s.intersect(t.complement()) }

// within reports whether all of the set is in t.
func (s arcSet) within(t arcSet) bool { return len(s.minus(t)) == 0 }

// overlaps reports whether the sets have keys in common.
func (s arcSet) overlaps(t arcSet) bool { return len(s.intersect(t)) > 0 }

// arcs returns the set as few arcs as possible: what touches over the top of the
// ring is joined.
func (s arcSet) arcs() []Arc {
	last := len(s) - 1
	if last < 1 || !s[0].First.IsZero() || s[last].Last != WholeRing.Last {
		return slices.Clone(s)
	}
	joined := append([]Arc(nil), s[1:last]...)
	return append(joined, Arc{First: s[last].First, Last: s[0].Last})
}

// compare orders IDs in the arc, going up from its first key.
func (a Arc) compare(x, y ID) int {
	if c := ring.Clockwise(a.First, x.Key).Compare(ring.Clockwise(a.First, y.Key)); c != 0 {
		return c
	}
	return x.Compare(y)
}
