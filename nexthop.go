package pastry

import (
	"math"
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// NextHop returns the contact to which a message for key goes next. It reports
// false when n is the root of key, or knows nobody closer, and must deliver.
//
// If key is within the leaf set's span, the closest leaf or n itself wins, where a
// member that has just announced itself counts as a leaf.
// Otherwise the entry at row SharedPrefixLen(n.ID, key), in digits, is used,
// unless a usable neighbour shares still more digits with key, or lies so close to
// it that its leaf set must span it, and is not much of a detour; failing all
// these, any neighbour that matches as long a prefix as n and is closer, the rare
// case, and at last the closest leaf: a joiner that n granted its place is no
// usable neighbour yet, but may be closer than n to a key beyond it. So a table
// hop lengthens the prefix and every other hop shrinks ring distance.
//
// Contacts for which skip returns true are passed over; skip may be nil.
// NextHop does not allocate or change n. See Rowstron and Druschel (2001),
// section 2.3.
func (n *RawNode) NextHop(key ring.ID, skip func(ring.ID) bool) (Contact, bool) {
	if c := n.nextHop(key, skip); c != nil {
		return *c, true
	}
	return Contact{}, false
}

// nextHop is where the route of every message is decided.
func (n *RawNode) nextHop(key ring.ID, skip func(ring.ID) bool) *Contact {
	if n.state != StateClient && n.leaves.Covers(key) {
		return n.closestLeaf(key, skip)
	}
	b := n.cfg.DigitBits
	shared := ring.SharedPrefixLen(n.self.ID, key, b)
	digits := shared
	c := n.table.Lookup(key, skip)
	if c != nil {
		digits = ring.SharedPrefixLen(c.ID, key, b)
	}
	if p := n.shortcut(key, shared, c, skip); p != nil {
		return p.c
	}
	if p, more := n.known.longest(key, b, digits, skip); p != nil && (c == nil || !n.detour(p, float64(more-digits), c)) {
		return p.c
	}
	if c != nil {
		return c
	}
	if n.state == StateClient { // root of nothing: somebody must take it
		return n.anyClosest(key, skip)
	}
	if p := n.known.closest(key, n.self.ID, b, shared, skip); p != nil {
		return p.c
	}
	return n.leaves.Closest(key, skip) // a joiner with a grant, which is no usable peer yet
}

// closestLeaf returns the leaf closest to key, nil when n itself is closer. A node
// that has said it is active and is being probed for the leaf set counts as one:
// the ring has it already, and may have delivered messages for the key there.
func (n *RawNode) closestLeaf(key ring.ID, skip func(ring.ID) bool) *Contact {
	best, at := n.leaves.Closest(key, skip), n.self.ID
	if best != nil {
		at = best.ID
	}
	for _, p := range n.leafProbes {
		if p.state == StateActive && !p.c.Client && p.heard >= p.probe.begun && ring.Closer(key, p.c.ID, at) &&
			(skip == nil || !skip(p.c.ID)) {
			best, at = p.c, p.c.ID
		}
	}
	return best
}

// shortcut returns the usable peer closest to key, if it shares more digits with it
// than n, is so close that its leaf set must span key, as far as n's own tells, and
// is no detour. From there the next hop is the root. It returns nil if there is no
// such peer.
func (n *RawNode) shortcut(key ring.ID, shared int, entry *Contact, skip func(ring.ID) bool) *peerState {
	p := n.known.nearest(key)
	if p == nil || entry == nil || skip != nil && skip(p.c.ID) || n.detour(p, 0.5, entry) ||
		ring.SharedPrefixLen(p.c.ID, key, n.cfg.DigitBits) <= shared {
		return nil
	}
	down, up := n.leaves.arcs()
	reach := down
	if up.Compare(down) < 0 {
		reach = up
	}
	if ring.Distance(p.c.ID, key).Compare(reach) >= 0 {
		return nil
	}
	return p
}

// detour reports whether a peer that shares more digits with a key than a table
// entry does is too far to go to. By the table, a hop goes about 2^(b/2) times as
// far as the one before it, since that many times fewer nodes to choose from lie
// 2^(b/2) times as far apart in a plane.
func (n *RawNode) detour(p *peerState, more float64, entry *Contact) bool {
	far, ok := n.cfg.Proximity.Distance(p.c, time.Duration(p.rtt.least))
	if !ok || far <= nearEnough {
		return false
	}
	limit := float64(n.distance(entry)) * math.Exp2(float64(n.cfg.DigitBits)*more/2)
	return float64(far) > limit
}

// anyClosest returns the usable peer closest to key, wherever n itself is.
func (n *RawNode) anyClosest(key ring.ID, skip func(ring.ID) bool) *Contact {
	var best *Contact
	for _, p := range n.known {
		if (best == nil || ring.Closer(key, p.c.ID, best.ID)) && (skip == nil || !skip(p.c.ID)) {
			best = p.c
		}
	}
	return best
}

// view returns what n sees of the ring, itself included, and the members whose
// ids these are.
func (n *RawNode) view() (ring.View, []*Contact) {
	all := n.leaves.AppendMembers(make([]*Contact, 0, n.cfg.LeafSetSize+1))
	all = slices.Insert(all, len(all)-len(n.leaves.Larger()), n.self)
	v := ring.View{IDs: make([]ring.ID, len(all)), Whole: n.leaves.Wraps()}
	for i, c := range all {
		v.IDs[i] = c.ID
	}
	return v, all
}

// Replicas appends the k nodes closest to key, self included where it belongs,
// nearest first: the nodes that hold the key's replicas. It reports false, and
// appends nothing, when they lie outside the leaf set, so that n cannot know
// them; ask a node closer to key then.
func (n *RawNode) Replicas(to []*Contact, key ring.ID, k int) ([]*Contact, bool) {
	if n.state != StateActive || !n.leaves.Covers(key) {
		return to, false
	}
	v, all := n.view()
	places, ok := v.AppendReplicas(nil, key, k)
	for _, i := range places {
		to = append(to, all[i])
	}
	return to, ok
}

// Range returns the arc of keys, going up from first to last, both included,
// for which the member with the given id, n itself or a leaf, is among the
// rank+1 closest nodes. It reports false when the leaf set does not show that.
// When the ring has at most rank+1 nodes, the arc is the whole ring and last
// comes right before first.
func (n *RawNode) Range(member ring.ID, rank int) (first, last ring.ID, ok bool) {
	if n.state != StateActive {
		return first, last, false
	}
	v, _ := n.view()
	return v.Range(v.Index(member), rank)
}
