package records

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

// members tells who holds what, as far as a member sees the ring.
type members struct {
	view     ring.View
	self     int // the member's own place in the view, -1 if it has none
	replicas int
}

// newMembers takes the view of a member, or of one that no longer is, which then
// does not count itself.
func newMembers(v ring.View, self ring.ID, member bool, replicas int) members {
	m := members{view: ring.View{IDs: slices.Clone(v.IDs), Whole: v.Whole}, replicas: replicas}
	m.self = m.view.Index(self)
	if !member && m.self >= 0 {
		m.view.IDs = slices.Delete(m.view.IDs, m.self, m.self+1)
		m.self = -1
	}
	return m
}

// equal reports whether both are the same view of the same member.
func (m members) equal(o members) bool {
	return m.self == o.self && m.view.Whole == o.view.Whole && slices.Equal(m.view.IDs, o.view.IDs)
}

// few reports whether every member holds every record.
func (m members) few() bool { return m.view.Whole && len(m.view.IDs) <= m.replicas }

// member returns the one so many places on, which may lie over the top of a whole
// ring.
func (m members) member(place int) (ring.ID, bool) {
	n := len(m.view.IDs)
	if m.view.Whole && n > 0 {
		place = (place%n + n) % n
	}
	if place < 0 || place >= n {
		return ring.ID{}, false
	}
	return m.view.IDs[place], true
}

// halfway returns the last key, going up from a member to another, that is
// closer to the first.
func halfway(a, b ring.ID) ring.ID {
	key := a.Add(ring.Clockwise(a, b).Half())
	if key != a && ring.Closer(key, b, a) {
		key = prior(key)
	}
	return key
}

// span returns the arc of keys from the first one of which the member at place
// upper is a replica up to the last one of which that at place lower is. It
// reports false when the view does not show it.
func (m members) span(upper, lower int) (Arc, bool) {
	u, ok1 := m.member(upper)
	below, ok2 := m.member(upper - m.replicas)
	l, ok3 := m.member(lower)
	above, ok4 := m.member(lower + m.replicas)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Arc{}, false
	}
	return Arc{First: after(halfway(below, u)), Last: halfway(l, above)}, true
}

// own returns the keys of which the member itself is a replica. It reports false
// when the view does not show that.
func (m members) own() (arcSet, bool) {
	if m.self < 0 {
		return nil, false
	}
	return m.held(m.self)
}

// held returns the keys of which the member at a place is a replica.
func (m members) held(place int) (arcSet, bool) {
	if m.few() {
		return arcSet{WholeRing}, true
	}
	a, ok := m.span(place, place)
	return newArcSet(a), ok
}

// shared returns the keys of which both the member itself and that at another
// place are replicas, none if the view does not show them. In a small ring that
// can be two arcs. In a part of a ring, one end of the other's range suffices.
func (m members) shared(place int) arcSet {
	switch {
	case m.self < 0 || place == m.self:
		return nil
	case m.view.Whole:
		mine, _ := m.own()
		theirs, _ := m.held(place)
		return mine.intersect(theirs)
	}
	upper, lower := max(place, m.self), min(place, m.self)
	if upper-lower >= m.replicas {
		return nil
	}
	a, ok := m.span(upper, lower)
	if !ok {
		return nil
	}
	return newArcSet(a)
}

// replicasOf returns the replicas of a key, going up the ring, and the arc
// around it in which the view shows that all keys have the same. It reports
// false when the view does not show them.
func (m members) replicasOf(key ring.ID) ([]ring.ID, Arc, bool) {
	var buf [32]int
	places, ok := m.view.AppendReplicas(buf[:0], key, m.replicas)
	if !ok {
		return nil, Arc{}, false
	}
	if m.few() {
		return slices.Clone(m.view.IDs), WholeRing, true
	}
	lowest := m.lowest(places)
	set := make([]ring.ID, m.replicas)
	for i := range set {
		set[i], _ = m.member(lowest + i)
	}
	return set, m.window(lowest), true
}

// lowest returns the place from which the others of consecutive places lead up.
func (m members) lowest(places []int) int {
	if !m.view.Whole {
		return slices.Min(places)
	}
	n := len(m.view.IDs)
	i := slices.IndexFunc(places, func(p int) bool { return !slices.Contains(places, (p+n-1)%n) })
	return places[i]
}

// window returns the keys whose replicas are the members from a place on. Where
// the next one on a side is out of sight, the view shows that only of keys from
// which the last one on that side is as far away as any.
func (m members) window(lowest int) Arc {
	low, _ := m.member(lowest)
	high, _ := m.member(lowest + m.replicas - 1)
	width := ring.Clockwise(low, high)
	a := Arc{First: high.Sub(width.Half()), Last: low.Add(width.Half())}
	if below, ok := m.member(lowest - 1); ok {
		a.First = after(halfway(below, high))
	}
	if above, ok := m.member(lowest + m.replicas); ok {
		a.Last = halfway(low, above)
	}
	return a
}

// mayBeAmong reports whether the member itself may be among the k closest to
// key: whether the view shows fewer than k that are closer.
func (m members) mayBeAmong(key ring.ID, k int) bool {
	if m.self < 0 {
		return false
	}
	self, closer := m.view.IDs[m.self], 0
	for _, id := range m.view.IDs {
		if ring.Closer(key, id, self) {
			closer++
		}
	}
	return closer < k
}
