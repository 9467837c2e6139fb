package pastry

import (
	"math"
	"slices"

	"github.com/secondbit/pastry/ring"
)

// consider decides whether a node that was named, or showed itself, is worth a
// probe, and lets it in at once when it is known to be alive.
func (n *RawNode) consider(c *Contact) {
	if c.ID == n.self.ID || c.Client {
		return
	}
	ps := n.peers.get(c.ID)
	if ps != nil && ps.usable() && n.now-ps.heard < Time(n.cfg.Heartbeat) {
		n.admit(ps)
		if ps.rtt.smoothed == 0 && ps.probe == nil && n.holds(c.ID) {
			n.ask(ps, whyTell, 0, 0) // it was granted its place, and never measured
		}
		return
	}
	if n.quarantined(c) {
		return
	}
	if ps != nil && ps.state == StateLeaving && c.Epoch <= ps.epoch {
		return
	}
	switch {
	case n.state == StateJoining:
		n.considerJoining(c)
	case n.state != StateClient && n.wantsLeaf(c.ID):
		n.ask(n.peer(c), whyLeaf, WantLeaves, 0)
	case n.table.Contains(c.ID):
	case n.worthTable(c) || n.worthHood(c):
		n.addCandidate(c)
	}
}

// considerAll considers nodes that were named, the nearest on the ring first, so
// that no more are probed than the leaf set has room for.
func (n *RawNode) considerAll(named []*Contact) {
	var few [32]*Contact // spares an allocation
	named = append(few[:0], named...)
	sortByDistance(named, n.self.ID)
	for _, c := range named {
		n.consider(c)
	}
}

// wantsLeaf reports whether a node would be in the leaf set if it and all that
// are being probed for it were alive.
func (n *RawNode) wantsLeaf(id ring.ID) bool {
	if !n.leaves.Wants(id) {
		return false
	}
	var nearer [2]int // on the smaller, on the larger side
	for _, p := range n.leafProbes {
		for side, up := range [2]bool{false, true} {
			if n.leaves.walk(up, p.c.ID).Compare(n.leaves.walk(up, id)) < 0 {
				nearer[side]++
			}
		}
	}
	return n.leaves.wantsBehind(false, id, nearer[0]) || n.leaves.wantsBehind(true, id, nearer[1])
}

// worthTable reports whether the entry of c is empty, or c is predicted to be
// clearly nearer than its primary, or there is room beside that in a sparse row.
func (n *RawNode) worthTable(c *Contact) bool {
	primary := n.table.Primary(c.ID)
	if primary == nil || !n.table.full(c.ID) && n.sparse(ring.SharedPrefixLen(n.self.ID, c.ID, n.cfg.DigitBits)) {
		return true
	}
	d, ok := n.predict(c)
	return ok && d < n.distance(primary)*4/5
}

// sparse reports whether no more than twice as many nodes fit a row of the table
// as it has room for. With all of them in it, messages go to the root from there,
// and not to whoever of a few is nearest and then a second time as far. A client
// cannot tell how many nodes there are.
func (n *RawNode) sparse(row int) bool {
	return len(n.leaves.shared()) > 0 && n.leaves.EstimateSize() <= math.Ldexp(2*(1+spares), n.cfg.DigitBits*(row+1))
}

// appendRow appends what this node tells others of a row: the primaries or, if it
// is sparse, all.
func (n *RawNode) appendRow(to []*Contact, row int) []*Contact {
	if n.sparse(row) {
		return n.table.appendWholeRow(to, row)
	}
	return n.table.AppendRow(to, row)
}

// worthHood reports whether c is predicted to be clearly nearer than some member
// of the neighborhood set.
func (n *RawNode) worthHood(c *Contact) bool {
	d, ok := n.predict(c)
	return ok && n.hood.Wants(d*5/4) && !n.hood.Contains(c.ID)
}

const (
	maxAsking     = 4   // table candidates probed at once
	maxCandidates = 256 // waiting
)

func (n *RawNode) addCandidate(c *Contact) {
	same := func(o *Contact) bool { return o.ID == c.ID }
	if len(n.candidate) < maxCandidates && !slices.ContainsFunc(n.candidate, same) {
		n.candidate = append(n.candidate, c)
		n.pumpCandidates()
	}
}

// pumpCandidates probes table candidates, a few at a time, nothing while the
// node still joins: the leaf set goes first.
func (n *RawNode) pumpCandidates() {
	for (n.state != StateJoining || n.self.Client) && n.asking < maxAsking && len(n.candidate) > 0 {
		c := n.candidate[0]
		n.candidate = n.candidate[1:]
		if len(n.candidate) == 0 {
			n.candidate = nil // and the room of those before
		}
		if !n.table.Contains(c.ID) && n.worthTable(c) || n.worthHood(c) {
			n.ask(n.peer(c), whyTable, 0, 0)
		}
	}
}

// admit lets a peer that is alive into every table it belongs to.
func (n *RawNode) admit(p *peerState) {
	if !p.usable() {
		n.stats.Refused++
		return
	}
	n.known.insert(p)
	n.tuning.oldest = min(n.tuning.oldest, p.heard)
	d := n.distance(p.c)
	n.table.Insert(p.c, n.distance)
	if n.hood.Wants(d) || n.hood.Contains(p.c.ID) {
		n.hood.Insert(p.c, d)
	}
	if !n.self.Client && n.leaves.Insert(p.c) && n.state == StateActive {
		n.emit(Action{Kind: ActJoined, To: p.c})
		n.leavesChanged()
	}
	n.tellSoon(p)
}

// evict takes a peer out of every table without calling it dead.
func (n *RawNode) evict(p *peerState) {
	id := p.c.ID
	n.known.remove(p)
	n.hood.Remove(id)
	_, emptied := n.table.Remove(id)
	if n.leaves.Get(id) != nil {
		n.removeLeaf(id)
	}
	if emptied {
		n.repairRow(id)
	}
	n.reroute(p)
}

// gone takes leave of a peer that says it goes.
func (n *RawNode) gone(p *peerState) {
	if n.holds(p.c.ID) {
		n.emit(Action{Kind: ActGone, To: p.c, Code: CodeNotActive})
	}
	p.live = false
	n.releaseGrant(p.c.ID)
	n.evict(p)
	n.announce(p.c.ID)
}
