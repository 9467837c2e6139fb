package pastry

import (
	"cmp"
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

const (
	settleTime  = time.Second      // within which a change of the leaf set is shown
	unrest      = 5 * time.Second  // within which two changes of the leaf set are more than one coming or going
	differPause = 4 * time.Second  // between two exchanges with a neighbour whose leaf set goes on to differ
	nearFew     = 4                // nodes of which one is asked what is near it
	repairPause = time.Second      // between two repairs of one row
	gapPause    = 30 * time.Second // between two fillings of a gap found in routing
)

// rowRepair remembers when each row was last repaired.
type rowRepair struct {
	repaired, filled []Time        // by row; zero is never
	exchanges        int           // row exchanges since the start, to take turns
	wait             time.Duration // until the next of them
}

func pass(times *[]Time, row int, now Time, pause time.Duration) bool {
	for len(*times) <= row {
		*times = append(*times, 0)
	}
	if last := (*times)[row]; last != 0 && now-last < Time(pause) {
		return false
	}
	(*times)[row] = now
	return true
}

// leavesChanged follows up on a change of the leaf set.
func (n *RawNode) leavesChanged() {
	if n.state != StateActive {
		return
	}
	n.emit(Action{Kind: ActLeaves})
	n.showSoon()
	n.arm(timerMonitor, 0)
	n.tellLater() // a leaf that gave way may stay in a table
}

// showSoon has the leaf set shown to the neighbours when it has settled.
func (n *RawNode) showSoon() {
	n.unshown = true
	n.arm(timerLeaves, n.jitter(settleTime)/2)
}

// removeLeaf takes a node out of the leaf set and asks for a successor: the
// farthest leaf left on each side it was on knows who is beyond.
func (n *RawNode) removeLeaf(id ring.ID) {
	_, smaller := n.leaves.search(false, id)
	_, larger := n.leaves.search(true, id)
	n.leaves.Remove(id)
	if n.state == StateActive {
		if smaller {
			n.askBeyond(false)
		}
		if larger {
			n.askBeyond(true)
		}
	}
	n.leavesChanged()
}

// askBeyond asks the farthest leaf on a side for its leaf set. When the side has
// nobody left, whoever is known takes the place, until it names nearer ones.
func (n *RawNode) askBeyond(larger bool) {
	if len(n.leaves.side(larger)) == 0 {
		for _, p := range n.known {
			if n.leaves.Get(p.c.ID) == nil {
				n.leaves.Insert(p.c)
			}
		}
	}
	if len(n.leaves.side(larger)) == 0 { // there are none but those on the other side
		for _, p := range n.known {
			n.leaves.Insert(p.c)
		}
	}
	if side := n.leaves.side(larger); len(side) > 0 {
		last := n.peer(side[len(side)-1])
		last.version = 0 // all of it, see LeafSet.Meet
		n.ask(last, whyExchange, WantLeaves, 0)
	}
}

// leafRefused makes the neighbours name others soon, if they still see one that they
// named for the leaf set and that is dead.
func (n *RawNode) leafRefused() {
	if n.state != StateActive {
		return
	}
	n.leaves.version++ // they know no answer to compare with
	n.showSoon()
}

// differ is the last difference to an immediate neighbour's leaf set.
type differ struct {
	with         ring.ID
	theirs, mine uint64 // its digest, and the version of this node's own set
	at           Time   // when it was asked for its set
}

// shown tells when the leaf set was last shown to the neighbours after a change, and
// to which right one.
type shown struct {
	to ring.ID
	at Time
}

// compareSight follows up on the digest that a node sends which takes this one for its
// immediate neighbour. It asks for the leaf set if that differs where it should not; as
// long as both stay as they are only after a pause: what is in quarantine here is let
// in later.
func (n *RawNode) compareSight(p *peerState, theirs uint64, pause time.Duration) {
	if theirs == 0 || n.state != StateActive || p.state != StateActive {
		return
	}
	if !n.leaves.beside(p.c.ID) {
		n.bypassed(p.c.ID)
		return
	}
	larger := n.leaves.isRight(p.c.ID)
	if theirs == n.leaves.overlap(larger) {
		return
	}
	d := differ{p.c.ID, theirs, n.leaves.version, n.now}
	if was := &n.differs[sideIndex(larger)]; was.with != d.with || was.theirs != d.theirs || was.mine != d.mine ||
		n.now-was.at >= Time(pause) {
		*was = d
		p.version = 0 // all of it: somebody named before was passed over
		n.ask(p, whyExchange, WantLeaves, 0)
	}
}

// bypassed probes the leaves between this node and one that takes it for its immediate
// neighbour: that one may know that they are dead.
func (n *RawNode) bypassed(id ring.ID) {
	larger, way := nearWay(n.self.ID, id)
	for _, c := range n.leaves.side(larger) {
		if n.leaves.walk(larger, c.ID).Compare(way) >= 0 {
			return
		}
		if ps := n.peer(c); n.now-ps.heard > Time(heardLately) {
			n.ask(ps, whyAlive, 0, 0)
		}
	}
}

// exchangeLeaves shows a change of the leaf set soon after it, and whoever sees
// somebody else asks. Else, seldom, the node itself asks.
func (n *RawNode) exchangeLeaves() {
	if n.state != StateActive {
		return
	}
	if n.unshown {
		n.unshown = false
		n.showLeaves()
	} else {
		n.askInTurn()
	}
	if n.cfg.LeafExchange > 0 {
		n.arm(timerLeaves, n.jitter(n.cfg.LeafExchange))
	}
}

// askInTurn asks the left, the right, and the farthest neighbour on either side for its
// leaf set, each time the next one.
func (n *RawNode) askInTurn() {
	if side := n.leaves.side(n.exchanges%2 == 1); len(side) > 0 {
		c := side[0]
		if n.exchanges%4 >= 2 {
			c = side[len(side)-1]
		}
		n.ask(n.peer(c), whyExchange, WantLeaves, 0)
	}
	n.exchanges++
}

// showLeaves lets the left neighbour compare its leaf set with this node's. The right
// one, which lets this node compare by its own heartbeats, is shown it only when it is
// new, or when much changes, as when two parts of the ring merge.
func (n *RawNode) showLeaves() {
	if left := n.leaves.Left(); left != nil {
		n.beat(left)
	}
	if right := n.leaves.Right(); right != nil && (right.ID != n.shown.to || n.now-n.shown.at < Time(unrest)) {
		n.shown.to = right.ID
		n.send(n.peer(right), &Packet{Kind: KindHeartbeat, Digest: n.leaves.overlap(true)})
	}
	n.shown.at = n.now
}

// monitor probes the right neighbour when it was silent for longer than it
// should be. A neighbour that has just become the right one and was not heard
// for long is probed at once, so that a row of dead neighbours does not take a
// heartbeat each.
func (n *RawNode) monitor() {
	c := n.leaves.Right()
	if n.state != StateActive || c == nil {
		return
	}
	ps := n.peer(c)
	patience := Time(n.cfg.Heartbeat)*21/20 + 2*ps.rtt.smoothed
	if silent := n.now - ps.heard; silent < patience {
		n.arm(timerMonitor, time.Duration(patience-silent))
		return
	}
	n.ask(ps, whyAlive, 0, 0)
	n.arm(timerMonitor, n.cfg.Heartbeat)
}

// repairRow looks for a replacement of a table entry that became empty, from
// another node of the same row, or of the next ones.
func (n *RawNode) repairRow(id ring.ID) {
	if n.state != StateActive && n.state != StateClient {
		return
	}
	row := ring.SharedPrefixLen(n.self.ID, id, n.cfg.DigitBits)
	if !pass(&n.rows.repaired, row, n.now, repairPause) {
		return
	}
	for r := row; r < n.table.Rows(); r++ {
		if entries := n.table.AppendRow(nil, r); len(entries) > 0 {
			c := entries[n.rng.IntN(len(entries))]
			n.ask(n.peer(c), whyExchange, WantRow, row)
			return
		}
	}
}

// fillGap asks the next hop for the row in which routing found no entry for the
// key: the hop shares at least as many digits, so its row fits.
func (n *RawNode) fillGap(key ring.ID, hop *Contact) {
	if n.state != StateActive || n.leaves.Covers(key) || n.table.Primary(key) != nil {
		return
	}
	row := ring.SharedPrefixLen(n.self.ID, key, n.cfg.DigitBits)
	if pass(&n.rows.filled, row, n.now, gapPause) {
		n.ask(n.peer(hop), whyExchange, WantRow, row)
	}
}

// exchangeRows asks one of the nearest nodes, by proximity, what is near it: in
// turns for its neighborhood set and, a row after the other, for its row. After
// joining it does so quickly for every row once, then ever more seldom.
func (n *RawNode) exchangeRows() {
	if n.cfg.RowExchange <= 0 {
		return
	}
	r := &n.rows
	r.exchanges++
	if rows := n.table.Rows(); r.exchanges%2 == 0 && rows > 0 {
		row := r.exchanges / 2 % rows
		n.askNear(n.table.AppendRow(nil, row), WantRow, row)
	} else {
		n.askNear(n.hood.AppendMembers(nil), WantHood, 0)
	}
	if every := 2 * n.table.Rows(); r.exchanges > every {
		r.wait = min(2*r.wait, n.cfg.RowExchange/time.Duration(max(2, every)))
	}
	n.arm(timerRows, n.jitter(r.wait))
}

// askNear asks one of the nearest few for a table.
func (n *RawNode) askNear(among []*Contact, want Want, row int) {
	if len(among) == 0 {
		return
	}
	slices.SortStableFunc(among, func(a, b *Contact) int { return cmp.Compare(n.distance(a), n.distance(b)) })
	n.ask(n.peer(among[n.rng.IntN(min(nearFew, len(among)))]), whyExchange, want, row)
}

// idlePeriods is how many probing periods a contact may be silent to which no
// messages are routed.
const idlePeriods = 8

// inUse reports whether messages are routed to a contact: a primary, or a spare
// in a sparse row.
func (n *RawNode) inUse(c *Contact) bool {
	return n.table.Primary(c.ID) == c || n.sparse(ring.SharedPrefixLen(n.self.ID, c.ID, n.cfg.DigitBits)) && n.table.Contains(c.ID)
}

// countInUse returns how many contacts messages are routed to.
func (n *RawNode) countInUse() int {
	used := n.table.primaries
	for row := n.table.Rows() - 1; row >= 0 && n.sparse(row); row-- {
		used += n.table.countSpares(row)
	}
	return used
}

// probeTable probes the next contact of the table and the neighborhood set that
// was silent for a probing period or, if no messages are routed to it, for
// idlePeriods of them. Each gets its turn.
func (n *RawNode) probeTable() {
	n.retune()
	used := n.countInUse()
	size := n.table.size + len(n.hood.members)
	switch t := &n.tuning; {
	case size == 0:
	case time.Duration(n.now-t.oldest) < t.period:
		t.next %= size
	default:
		n.probeSilent()
	}
	n.arm(timerTable, n.tuning.period/time.Duration(used+(size-used)/idlePeriods+1))
}

// probeSilent probes the next contact that was silent for too long, or finds out
// since when at the earliest one can have been.
func (n *RawNode) probeSilent() {
	t := &n.tuning
	oldest := n.now
	all := n.hood.AppendMembers(n.table.AppendAll(make([]*Contact, 0, n.table.size+len(n.hood.members))))
	for range all {
		t.next = (t.next + 1) % len(all)
		ps := n.peers.get(all[t.next].ID)
		if ps == nil {
			continue
		}
		patience := t.period
		if !n.inUse(all[t.next]) {
			patience = min(patience*idlePeriods, maxTablePeriod)
		}
		since := ps.heard
		if ps.told != 0 && n.keeps(ps.c.ID) {
			since = min(since, ps.told+Time(holdRetell-patience))
		}
		if ps.probe == nil && time.Duration(n.now-since) >= patience {
			n.ask(ps, whyAlive, 0, 0)
			return
		}
		oldest = min(oldest, since+Time(patience-t.period))
	}
	t.oldest = oldest
}

// median returns the middle one of ds, which it sorts; zero if there is none.
func median(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[len(ds)/2]
}
