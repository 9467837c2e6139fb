package pastry

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

// LeafSet holds the L nodes nearest to self on the ring: L/2 on the smaller
// side, going down from self, and L/2 on the larger side, going up. Everything
// that must be exact rests on it: who is root of a key, and where its replicas
// lie. In a ring of at most L/2+1 nodes both sides hold all others. See Rowstron
// and Druschel (2001), section 2.2.
//
// A LeafSet only orders what it is given; who may enter is decided by RawNode.
type LeafSet struct {
	self    ring.ID
	half    int        // L/2, members a side
	smaller []*Contact // nearest first
	larger  []*Contact // nearest first
	down    []ring.ID  // how far the members of smaller are from self
	up      []ring.ID  // and those of larger
	version uint64     // grows with every change
	all     []*Contact // what shared returned last, nil when a member has changed since
}

// NewLeafSet returns an empty leaf set of size l, an even number of at least 2.
func NewLeafSet(self ring.ID, l int) *LeafSet {
	return &LeafSet{self: self, half: l / 2}
}

// walk returns how far id is from self, going up the ring or down.
func (l *LeafSet) walk(up bool, id ring.ID) ring.ID {
	if up {
		return ring.Clockwise(l.self, id)
	}
	return ring.Clockwise(id, l.self)
}

func (l *LeafSet) side(up bool) []*Contact {
	if up {
		return l.larger
	}
	return l.smaller
}

// search finds the place of id on a side, and whether it is there.
func (l *LeafSet) search(up bool, id ring.ID) (int, bool) {
	ways, way := l.down, l.walk(up, id)
	if up {
		ways = l.up
	}
	for i, w := range ways { // few, and next to each other in memory
		if c := w.Compare(way); c >= 0 {
			return i, c == 0
		}
	}
	return len(ways), false
}

// Wants reports whether Insert would change the membership for this id.
func (l *LeafSet) Wants(id ring.ID) bool {
	return id != l.self && (l.wantsOn(false, id) || l.wantsOn(true, id))
}

func (l *LeafSet) wantsOn(up bool, id ring.ID) bool { return l.wantsBehind(up, id, 0) }

// wantsBehind is wantsOn when so many others, not members, are nearer.
func (l *LeafSet) wantsBehind(up bool, id ring.ID, others int) bool {
	i, found := l.search(up, id)
	return !found && i+others < l.half && l.follows(up, id)
}

// follows reports whether id, which is not on a side, can be there. On one that is not
// short it can. Who came after the last of a short side is not known: a leaf from below
// that took a place freed above would make the set seem to span the ring, with nobody
// where most of its nodes are. So the two sides are kept apart until Meet.
func (l *LeafSet) follows(up bool, id ring.ID) bool {
	side, other := l.side(up), l.side(!up)
	if !l.short(up) {
		return true
	}
	if i, _ := l.search(up, id); i < len(side) {
		return true // it lies before members of this side
	}
	i, found := l.search(!up, id)
	switch {
	case len(side) == 0: // somebody must be there
		return !found || i == len(other)-1
	case len(other) == 0: // it is for that side
		return false
	case i < len(other): // it lies among the members of that side
		return false
	case len(other) == l.half: // it lies between the sides, and there is no room on that one
		return true
	}
	nearer := l.walk(up, id).Compare(l.walk(!up, id))
	return nearer < 0 || nearer == 0 && up
}

// Insert takes c into each side on which it is among the L/2 nearest and follows,
// putting out whom it displaces, and reports whether the membership changed. A member
// that is inserted again has its contact replaced.
func (l *LeafSet) Insert(c *Contact) bool {
	if c.ID == l.self {
		return false
	}
	l.Replace(c)
	down, up := l.wantsOn(false, c.ID), l.wantsOn(true, c.ID)
	if down {
		l.smaller, l.down = l.insertOn(false, l.down, c)
	}
	if up {
		l.larger, l.up = l.insertOn(true, l.up, c)
	}
	if down || up {
		l.changed(l.Wraps())
	}
	return down || up
}

// changed notes that the membership has, and that the set goes all the way round or not.
func (l *LeafSet) changed(whole bool) {
	if whole {
		l.fill()
	}
	l.version++
	l.all = nil
}

// insertOn puts c, which is not on a side and among the nearest, in its place.
func (l *LeafSet) insertOn(up bool, ways []ring.ID, c *Contact) ([]*Contact, []ring.ID) {
	side := l.side(up)
	i, _ := l.search(up, c.ID)
	if last := l.half - 1; len(side) == l.half {
		side, ways = side[:last], ways[:last]
	}
	return slices.Insert(side, i, c), slices.Insert(ways, i, l.walk(up, c.ID))
}

// Replace replaces the contact of a member.
func (l *LeafSet) Replace(c *Contact) {
	for _, up := range [2]bool{false, true} {
		if i, ok := l.search(up, c.ID); ok && l.side(up)[i] != c {
			l.side(up)[i], l.all = c, nil
		}
	}
}

// passes reports whether a node would name id if id were in its leaf set: it lies between
// the first and the last whom the node names, going up the ring, or between one of these
// and the node itself. A set that goes all the way round has its ends next to the node.
func passes(by ring.ID, named []*Contact, id ring.ID) bool {
	first, last := named[0].ID, named[len(named)-1].ID
	if ring.Clockwise(first, id).Compare(ring.Clockwise(first, last)) < 0 {
		return true
	}
	larger, way := nearWay(by, first)
	if larger && ring.Clockwise(by, id).Compare(way) < 0 {
		return true
	}
	larger, way = nearWay(by, last)
	return !larger && ring.Clockwise(id, by).Compare(way) < 0
}

// fill puts members of one side on the other, the nearest first, as long as there is
// room. Of a set that goes all the way round nobody else can be there.
func (l *LeafSet) fill() {
	for i := len(l.larger) - 1; i >= 0 && len(l.smaller) < l.half; i-- {
		if _, found := l.search(false, l.larger[i].ID); !found {
			l.smaller, l.down = l.insertOn(false, l.down, l.larger[i])
		}
	}
	for i := len(l.smaller) - 1; i >= 0 && len(l.larger) < l.half; i-- {
		if _, found := l.search(true, l.smaller[i].ID); !found {
			l.larger, l.up = l.insertOn(true, l.up, l.smaller[i])
		}
	}
}

// Meet takes in what another node sees of the ring: its leaf set, going up. If the last
// members of both sides are neighbours there, the set has lost what made it shorter than
// the ring, and goes all the way round. It reports whether the membership changed.
func (l *LeafSet) Meet(by *Contact, sees []*Contact) bool {
	if len(l.smaller) == 0 || len(l.larger) == 0 || len(sees) == 0 || !l.short(false) && !l.short(true) {
		return false
	}
	lower, upper := l.larger[len(l.larger)-1].ID, l.smaller[len(l.smaller)-1].ID
	bottom := sees[0].ID
	from, to := ring.Clockwise(bottom, lower), ring.Clockwise(bottom, upper)
	var seesLower, seesUpper bool
	for _, c := range append(slices.Clip(sees), by) {
		switch at := ring.Clockwise(bottom, c.ID); {
		case at == from:
			seesLower = true
		case at == to:
			seesUpper = true
		case from.Compare(at) < 0 && at.Compare(to) < 0:
			return false
		}
	}
	if !seesLower || !seesUpper || from.Compare(to) >= 0 { // the last are the two ends of what is seen
		return false
	}
	l.changed(true)
	return true
}

// Remove takes the node out of both sides and reports whether it was there.
func (l *LeafSet) Remove(id ring.ID) bool {
	whole := l.Wraps()
	i, smaller := l.search(false, id)
	k, larger := l.search(true, id)
	if smaller {
		l.smaller, l.down = slices.Delete(l.smaller, i, i+1), slices.Delete(l.down, i, i+1)
	}
	if larger {
		l.larger, l.up = slices.Delete(l.larger, k, k+1), slices.Delete(l.up, k, k+1)
	}
	if !smaller && !larger {
		return false
	}
	l.changed(whole)
	return true
}

// Get returns the member with this id, nil if there is none.
func (l *LeafSet) Get(id ring.ID) *Contact {
	for _, up := range [2]bool{false, true} {
		if i, ok := l.search(up, id); ok {
			return l.side(up)[i]
		}
	}
	return nil
}

// Left returns the immediate neighbour on the smaller side, nil if there is none.
func (l *LeafSet) Left() *Contact { return first(l.smaller) }

// Right returns the immediate neighbour on the larger side, nil if there is none.
func (l *LeafSet) Right() *Contact { return first(l.larger) }

// isRight reports whether the node is the immediate neighbour on the larger side.
func (l *LeafSet) isRight(id ring.ID) bool {
	right := l.Right()
	return right != nil && right.ID == id
}

// beside reports whether the node is an immediate neighbour.
func (l *LeafSet) beside(id ring.ID) bool {
	left, right := l.Left(), l.Right()
	return left != nil && left.ID == id || right != nil && right.ID == id
}

func first(side []*Contact) *Contact {
	if len(side) == 0 {
		return nil
	}
	return side[0]
}

// Smaller returns the smaller side, nearest first. The caller must not change it.
func (l *LeafSet) Smaller() []*Contact { return l.smaller }

// Larger returns the larger side, nearest first. The caller must not change it.
func (l *LeafSet) Larger() []*Contact { return l.larger }

// AppendMembers appends every member once, going up the ring from the farthest
// on the smaller side to the farthest on the larger one, self left out.
func (l *LeafSet) AppendMembers(to []*Contact) []*Contact {
	for i := len(l.smaller) - 1; i >= 0; i-- {
		if _, both := l.search(true, l.smaller[i].ID); !both {
			to = append(to, l.smaller[i])
		}
	}
	return append(to, l.larger...)
}

// shared returns the members as AppendMembers appends them. The result is the
// same slice until the set changes, and must not be changed by anybody.
func (l *LeafSet) shared() []*Contact {
	if l.all == nil {
		l.all = slices.Clip(l.AppendMembers(make([]*Contact, 0, len(l.smaller)+len(l.larger))))
	}
	return l.all
}

// arcs returns how far the set reaches down and up from self.
func (l *LeafSet) arcs() (down, up ring.ID) {
	if n := len(l.smaller); n > 0 {
		down = ring.Clockwise(l.smaller[n-1].ID, l.self)
	}
	if n := len(l.larger); n > 0 {
		up = ring.Clockwise(l.self, l.larger[n-1].ID)
	}
	return down, up
}

// Wraps reports whether the two sides meet at the far side of the ring, so that
// the set spans all of it. An empty set spans the ring of one node; a set that
// has lost a whole side does not know what is there.
func (l *LeafSet) Wraps() bool {
	if len(l.smaller) == 0 || len(l.larger) == 0 {
		return len(l.smaller) == len(l.larger)
	}
	down, up := l.arcs()
	return down.Add(up).Compare(down) < 0 // overflow: more than once round
}

// short reports whether a side has lost members of whose successors nothing is known.
func (l *LeafSet) short(up bool) bool { return len(l.side(up)) < l.half && !l.Wraps() }

// overlap returns a digest of the nodes, self included, that both this one and its
// immediate neighbour on a side have in sight if both sets are true and of one
// size: all but the last on the other side. It is never 0.
func (l *LeafSet) overlap(up bool) uint64 {
	d := lowHalf(l.self)
	if l.Wraps() {
		for _, c := range l.shared() {
			d ^= lowHalf(c.ID)
		}
		return max(d, 1)
	}
	for _, c := range l.side(up) {
		d ^= lowHalf(c.ID)
	}
	other := l.side(!up)
	for _, c := range other[:min(len(other), l.half-1)] {
		d ^= lowHalf(c.ID)
	}
	return max(d, 1)
}

// Covers reports whether key lies within the span of the set, so that the root
// of key is self or a member as far as self can know.
func (l *LeafSet) Covers(key ring.ID) bool {
	if key == l.self || l.Wraps() {
		return true
	}
	down, up := l.arcs()
	return ring.Clockwise(l.self, key).Compare(up) <= 0 || ring.Clockwise(key, l.self).Compare(down) <= 0
}

// Closest returns the member closest to key, or nil when self is closer than
// each. Members for which skip returns true are passed over; skip may be nil.
// Ties go to the smaller id, see ring.CompareDistance.
func (l *LeafSet) Closest(key ring.ID, skip func(ring.ID) bool) *Contact {
	var best *Contact
	at := l.self
	for _, side := range [2][]*Contact{l.smaller, l.larger} {
		for _, c := range side {
			if ring.Closer(key, c.ID, at) && (skip == nil || !skip(c.ID)) {
				best, at = c, c.ID
			}
		}
	}
	return best
}

// EstimateSize estimates the number of nodes in the ring, self included, from
// the density of the set: exact when the set wraps.
func (l *LeafSet) EstimateSize() float64 {
	if l.Wraps() {
		return float64(len(l.shared()) + 1)
	}
	down, up := l.arcs()
	hi, _ := down.Add(up).Uint64s()
	return float64(len(l.smaller)+len(l.larger)) / (float64(hi) / (1 << 64))
}

// sortByDistance orders contacts by ring distance to key, nearest first.
func sortByDistance(cs []*Contact, key ring.ID) {
	slices.SortFunc(cs, func(a, b *Contact) int { return ring.CompareDistance(key, a.ID, b.ID) })
}
