package pastry

import "github.com/secondbit/pastry/ring"

// A joiner takes its keys from its two immediate neighbours, and nobody else
// can be root of them. So it becomes active only when both have granted it its
// place: from then on they hand it the messages for its keys. A neighbour grants
// one place on each side at a time, to a joiner that lies between itself and its
// neighbour on that side; others wait. So concurrent joiners enter a gap of the
// ring one after the other, and two active nodes never both believe to be root
// of a key while neither wrongly suspects the other. The idea of a lease from
// both neighbours is from Lu, Merz and Weidenbach's LuPastry+ (2011).

// grant is a place in the ring held for a joiner.
type grant struct {
	to    ring.ID
	until Time
	ref   uint64
}

func sideIndex(larger bool) int { return boolToInt(larger) }

// granted reports whether a place is held for the node.
func (n *RawNode) granted(id ring.ID) bool {
	for _, g := range n.grants {
		if g.ref != 0 && g.to == id {
			return true
		}
	}
	return false
}

// onGrant answers a joiner that asks for the place beside this node.
func (n *RawNode) onGrant(from *peerState, p *Packet) {
	code := n.tryGrant(from, p.Larger)
	r := &Packet{Kind: KindGrantReply, Seq: p.Seq, Code: code, Larger: p.Larger}
	switch code {
	case CodeOK:
		r.Delivered = n.handover(from.c.ID)
		r.Contacts = n.leaves.shared()
	case CodeNotNeighbor:
		r.Contacts = n.leaves.shared()
		n.stats.Refused++
	default:
		n.stats.Refused++
	}
	n.send(from, r)
}

func (n *RawNode) tryGrant(from *peerState, larger bool) Code {
	if n.state != StateActive || from.c.Client || from.state != StateJoining {
		return CodeNotActive
	}
	id := from.c.ID
	if next := n.beyond(id, larger); next != nil {
		if larger && !ring.Between(id, n.self.ID, next.ID) || !larger && !ring.Between(id, next.ID, n.self.ID) {
			return CodeNotNeighbor
		}
	}
	g := &n.grants[sideIndex(larger)]
	if n.closing {
		return CodeBusy
	}
	if g.ref != 0 && g.to != id {
		return CodeBusy
	}
	*g = grant{to: id, until: n.now + Time(n.cfg.GrantLease), ref: n.nextSeq()}
	n.after(Time(n.cfg.GrantLease), timer{kind: timerGrant, id: id, ref: g.ref})
	from.live = true
	if n.leaves.Insert(from.c) {
		n.leavesChanged()
	}
	return CodeOK
}

// beyond returns the immediate neighbour on a side, leaving out the joiner.
func (n *RawNode) beyond(joiner ring.ID, larger bool) *Contact {
	for _, c := range n.leaves.side(larger) {
		if c.ID != joiner {
			return c
		}
	}
	return nil
}

// grantDue asks a joiner that was not heard to be active whether it still will.
func (n *RawNode) grantDue(id ring.ID, ref uint64) {
	for _, g := range n.grants {
		if g.ref == ref && g.to == id {
			n.ask(n.peer(&Contact{ID: id}), whyGrant, 0, 0)
			return
		}
	}
}

// settleGrant takes back the place of a joiner whose lease is over. It cannot
// become active with it any more: its own lease ended before.
func (n *RawNode) settleGrant(p *peerState) {
	for _, g := range n.grants {
		if p.state != StateActive && g.ref != 0 && g.to == p.c.ID && g.until > n.now {
			return // renewed meanwhile
		}
	}
	n.releaseGrant(p.c.ID)
	if p.state != StateActive {
		n.evict(p)
	}
}

// releaseGrant ends what was granted to a node.
func (n *RawNode) releaseGrant(id ring.ID) {
	for i := range n.grants {
		if n.grants[i].ref != 0 && n.grants[i].to == id {
			n.grants[i] = grant{}
		}
	}
	n.handOn()
}
