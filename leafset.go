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

// follows reports whether id can be next on a side that has lost members: whoever is
// a member on the other side, and nearer than id going this way, must be on this side
// first. Otherwise a leaf from below that took a place freed above would make the set
// seem to go all the way round.
func (l *LeafSet) follows(up bool, id ring.ID) bool {
	if len(l.side(up)) == l.half {
		return true
	}
	way := l.walk(up, id)
	for _, c := range l.side(!up) {
		if w := l.walk(up, c.ID); w.Compare(way) < 0 {
			if _, here := l.search(up, c.ID); !here {
				return false
			}
		}
	}
	return true
}

// Insert takes c into each side on which it is among the L/2 nearest, putting
// out whom it displaces, and reports whether the membership changed. Where members of
// the other side come before c, it is not taken: that side has lost members, and who
// took their places is not known. A member that is inserted again has its contact
// replaced.
func (l *LeafSet) Insert(c *Contact) bool {
	if c.ID == l.self {
		return false
	}
	var a, b bool
	l.smaller, l.down, a = l.insertOn(false, l.down, c)
	l.larger, l.up, b = l.insertOn(true, l.up, c)
	if a || b {
		if l.Wraps() {
			l.fill()
		}
		l.version++
		l.all = nil
	}
	return a || b
}

// Replace replaces the contact of a member.
func (l *LeafSet) Replace(c *Contact) {
	for _, up := range [2]bool{false, true} {
		if i, ok := l.search(up, c.ID); ok {
			l.side(up)[i], l.all = c, nil
		}
	}
}

// fill puts members of one side on the other, the nearest first, as long as there is
// room. Of a set that goes all the way round nobody else can be there.
func (l *LeafSet) fill() {
	for i := len(l.larger) - 1; i >= 0; i-- {
		l.smaller, l.down, _ = l.insertOn(false, l.down, l.larger[i])
	}
	for i := len(l.smaller) - 1; i >= 0; i-- {
		l.larger, l.up, _ = l.insertOn(true, l.up, l.smaller[i])
	}
}

func (l *LeafSet) insertOn(up bool, ways []ring.ID, c *Contact) ([]*Contact, []ring.ID, bool) {
	side := l.side(up)
	i, found := l.search(up, c.ID)
	if found {
		if side[i] != c {
			side[i], l.all = c, nil
		}
		return side, ways, false
	}
	if i >= l.half || !l.follows(up, c.ID) {
		return side, ways, false
	}
	if last := l.half - 1; len(side) == l.half {
		side, ways = side[:last], ways[:last]
	}
	return slices.Insert(side, i, c), slices.Insert(ways, i, l.walk(up, c.ID)), true
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
	if whole {
		l.fill()
	}
	l.version++
	l.all = nil
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
