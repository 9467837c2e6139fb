package pastry

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

// maxReplicas bounds how many members may be named as those of which any may deliver
// a message: as many as the largest leaf set can show around each key in its span.
const maxReplicas = maxLeafSet/2 + 1

// nearestReplica chooses who gets a message that any of the members closest to
// its key may deliver: the one of them that is nearest to the message's origin. It
// returns nil for n itself, and reports false when n does not see them all, or
// none is left to choose; then the message goes on towards the root of its key.
//
// The origin judges by what it has measured, any other node by the network
// coordinates of the origin, which the message carries, and of the members. Where
// these tell nothing, the nearest to n is taken, as a route ends near where it
// began (Rowstron and Druschel 2001, section 3.3). Who was chosen does not choose
// again; it refuses if it sees that it is none of them.
func (n *RawNode) nearestReplica(p *Packet, tried []ring.ID) (hop *Contact, ok bool) {
	m := p.Msg
	if m.Replicas < 2 {
		return nil, false
	}
	if p.Chosen && n.mayDeliver(m) {
		return nil, true
	}
	set, _ := n.Replicas(nil, m.Key, m.Replicas)
	var best *Contact
	var least [2]Time
	for _, c := range set {
		if !n.mayHave(c, p) || slices.Contains(tried, c.ID) {
			continue
		}
		if cost := n.cost(m, c); best == nil || slices.Compare(cost[:], least[:]) < 0 {
			best, least = c, cost
		}
	}
	if best == n.self {
		return nil, true
	}
	return best, best != nil
}

// mayDeliver reports whether n, which was chosen, is one of the members that may
// deliver a message, as far as it can tell, and does not leave. The outermost of them do
// not see all the others, but those that are closer to the key.
func (n *RawNode) mayDeliver(m *Routed) bool {
	closer := 0
	for _, c := range n.leaves.shared() {
		closer += boolToInt(ring.Closer(m.Key, c.ID, n.self.ID))
	}
	return n.state == StateActive && !n.closing && closer < m.Replicas
}

// afterSilence returns who gets a message next when best, the replica it should go to,
// has not acknowledged it in time: the nearest of those not yet tried, nil for n itself.
// When all were tried it stays with the last, which is given more and more time until it
// is found dead.
func (n *RawNode) afterSilence(t *transit, best *Contact) *Contact {
	if other, ok := n.nearestReplica(t.in, t.tried); ok {
		return other
	}
	if t.to != nil && n.leaves.Get(t.to.c.ID) != nil {
		return t.to.c
	}
	return best
}

// mayHave reports whether a message can be handed to a member: not to one that is
// not active, nor back to one that has sent it or passed it on.
func (n *RawNode) mayHave(c *Contact, p *Packet) bool {
	if c == n.self {
		return !n.closing
	}
	ps := n.peers.get(c.ID)
	return ps != nil && ps.usable() && c.ID != p.Msg.OriginID && !slices.Contains(p.Path, c.Peer)
}

// cost returns how far a member is from the origin of a message, farther than
// anything when that cannot be told, and how far it is from n.
func (n *RawNode) cost(m *Routed, c *Contact) [2]Time {
	here := Time(0)
	if c != n.self {
		here = n.distance(c)
	}
	if m.OriginID == n.self.ID {
		return [2]Time{here, here}
	}
	if d, ok := n.cfg.Proximity.Between(m.Coord, c.Coord); ok {
		return [2]Time{Time(d), here}
	}
	return [2]Time{unknownFar, here}
}
