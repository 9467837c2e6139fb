package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// A node is told by the others that keep it in their tables, its holders, and
// tells its left neighbour who they are. That one watches it anyway. When it dies,
// the left neighbour lets the holders know, along the routes to them, so that not
// each has to find out by probes of its own, which are far between for this reason.
// Back pointers are from Tapestry (Zhao et al. 2004).

const (
	holdDelay  = 3 * time.Minute    // for which a new entry must last before it is told
	holdBurst  = 16                 // entries told at once
	holdPause  = time.Second        // before the next ones
	holdLease  = 2 * maxTablePeriod // after which a holder that says nothing is none
	holdRetell = maxTablePeriod     // after which an entry is told again
	maxHolders = 1024               // of one node
	sayAgain   = 12                 // heartbeats, of which one is due although other packets are signs of life as well
)

// holder is a node that keeps this one in its tables.
type holder struct {
	id ring.ID
	at Time // when it last said so
}

// holders are those of this node.
type holders struct {
	all     []holder  // ascending by id
	digest  uint64    // of their ids
	changed []ring.ID // came or went since the last heartbeat
	said    said      // in the last heartbeat
	saidAt  Time      // when that was
}

// said is what a heartbeat told.
type said struct {
	to           ring.ID
	held, digest uint64
}

// ward is the right neighbour, and its holders as far as it has told.
type ward struct {
	id     ring.ID
	epoch  uint64
	ids    []ring.ID // ascending
	digest uint64    // of ids
}

// put adds a holder, or notes that it said so again.
func (h *holders) put(id ring.ID, now Time) {
	i, found := slices.BinarySearchFunc(h.all, id, func(o holder, id ring.ID) int { return o.id.Compare(id) })
	switch {
	case found:
		h.all[i].at = now
	case len(h.all) < maxHolders:
		h.all = slices.Insert(h.all, i, holder{id, now})
		h.change(id)
	}
}

// expire removes the holders that were not heard to be some for long.
func (h *holders) expire(now Time) {
	h.all = slices.DeleteFunc(h.all, func(o holder) bool {
		gone := now-o.at > Time(holdLease)
		if gone {
			h.change(o.id)
		}
		return gone
	})
}

// change notes that a holder came or went. Of many, the left neighbour asks.
func (h *holders) change(id ring.ID) {
	h.digest ^= lowHalf(id)
	if len(h.changed) < maxHolders {
		h.changed = append(h.changed, id)
	}
}

// ids returns all holders.
func (h *holders) ids() []ring.ID {
	ids := make([]ring.ID, len(h.all))
	for i, o := range h.all {
		ids[i] = o.id
	}
	return ids
}

// toggle adds a holder, or removes it if it is there.
func (w *ward) toggle(id ring.ID) {
	i, found := slices.BinarySearchFunc(w.ids, id, ring.ID.Compare)
	switch {
	case found:
		w.ids = slices.Delete(w.ids, i, i+1)
	case len(w.ids) < maxHolders:
		w.ids = slices.Insert(w.ids, i, id)
	default:
		return
	}
	w.digest ^= lowHalf(id)
}

// keeps reports whether a peer is in the routing table or the neighborhood set,
// and must be told so: about a leaf, the other leaves tell.
func (n *RawNode) keeps(id ring.ID) bool {
	return n.state == StateActive && (n.table.Contains(id) || n.hood.Contains(id)) && n.leaves.Get(id) == nil
}

// tellSoon makes a new entry be told that it is one, unless it is none for long.
func (n *RawNode) tellSoon(p *peerState) {
	if p.told == 0 && n.keeps(p.c.ID) {
		n.tellLater()
	}
}

// tellLater has those entries told that by then do not know that they are kept.
func (n *RawNode) tellLater() {
	if n.due[timerHold] == 0 {
		n.arm(timerHold, holdDelay)
	}
}

// tellKept tells the entries of the tables that do not know that they are kept.
func (n *RawNode) tellKept() {
	n.due[timerHold] = 0
	told := 0
	for _, c := range n.hood.AppendMembers(n.table.AppendAll(make([]*Contact, 0, n.table.size+len(n.hood.members)))) {
		ps := n.peers.get(c.ID)
		if ps == nil || ps.told != 0 || !n.keeps(c.ID) {
			continue
		}
		if told == holdBurst {
			n.arm(timerHold, holdPause)
			return
		}
		told++
		n.send(ps, &Packet{Kind: KindHold})
	}
}

// heldBy notes that a peer keeps this node in its tables.
func (n *RawNode) heldBy(p *peerState) {
	if n.state == StateActive && p.state == StateActive && !p.c.Client {
		n.holders.put(p.c.ID, n.now)
		n.armExpire()
	}
}

// heartbeat gives the left neighbour a sign of life, with what it should know,
// unless it had one of late and knows.
func (n *RawNode) heartbeat() {
	if n.state != StateActive {
		return
	}
	wait := n.cfg.Heartbeat
	if c := n.leaves.Left(); c != nil {
		h := &n.holders
		if since := time.Duration(n.now - n.peer(c).sent); since < wait && n.toSay(c) == h.said && n.now-h.saidAt < Time(sayAgain*wait) {
			wait -= since
		} else {
			n.beat(c)
		}
	}
	for _, larger := range [2]bool{false, true} {
		if n.leaves.short(larger) {
			n.askBeyond(larger)
		}
	}
	n.arm(timerHeartbeat, wait)
}

// toSay returns what a heartbeat to the left neighbour would tell.
func (n *RawNode) toSay(left *Contact) said {
	return said{left.ID, n.holders.digest, n.leaves.overlap(false)}
}

// beat sends a heartbeat to the left neighbour.
func (n *RawNode) beat(left *Contact) {
	h, now := &n.holders, n.toSay(left)
	if now.to != h.said.to {
		h.changed = nil // it asks for all
	}
	n.send(n.peer(left), &Packet{Kind: KindHeartbeat, Holders: h.changed, Held: now.held, Digest: now.digest})
	h.changed, h.said, h.saidAt = nil, now, n.now
}

// onHeartbeat takes in the sign of life of the right neighbour, or what the left one
// shows of its leaf set.
func (n *RawNode) onHeartbeat(from *peerState, p *Packet) {
	if right := n.leaves.Right(); right != nil && right.ID == from.c.ID {
		n.emit(Action{Kind: ActHeartbeat, To: from.c})
		n.lookAfter(from, p)
	}
	n.compareSight(from, p.Digest, differPause)
	n.heardFrom(from)
}

// lookAfter keeps in mind who is to be told when the right neighbour dies.
func (n *RawNode) lookAfter(from *peerState, p *Packet) {
	w := &n.ward
	if w.id != from.c.ID || w.epoch != from.epoch {
		*w = ward{id: from.c.ID, epoch: from.epoch}
	}
	for _, id := range p.Holders {
		w.toggle(id)
	}
	if w.digest != p.Held && n.state == StateActive {
		n.ask(from, whyExchange, WantHolders, 0)
	}
}

// onHolders takes in all holders of the right neighbour.
func (n *RawNode) onHolders(from *peerState, p *Packet) {
	if w := &n.ward; w.id == from.c.ID && w.epoch == from.epoch {
		w.ids, w.digest = nil, 0
		for _, id := range p.Holders {
			w.toggle(id)
		}
	}
}

// announce lets the holders of the right neighbour know that it is dead.
func (n *RawNode) announce(id ring.ID) {
	if w := n.ward; w.id == id {
		n.ward = ward{}
		n.tellHolders(id, w.ids, 0)
	}
}

// tellHolders sends the word that a node is dead to those that keep it, each time
// together to all for which the next hop is the same. A holder that is gone is
// passed over.
func (n *RawNode) tellHolders(dead ring.ID, holders []ring.ID, hops int) {
	if hops >= n.cfg.HopLimit || n.state != StateActive || dead == n.self.ID {
		return
	}
	var next []*Packet
	var to []*Contact
	skip := func(id ring.ID) bool { return id == dead }
	for _, id := range holders {
		c := n.nextHop(id, skip)
		if id == n.self.ID || c == nil || c.ID != id && n.leaves.Covers(id) {
			continue
		}
		i := slices.Index(to, c)
		if i < 0 {
			i = len(to)
			to = append(to, c)
			next = append(next, &Packet{Kind: KindSuspect, Suspects: []ring.ID{dead}, Hops: hops + 1})
		}
		next[i].Holders = append(next[i].Holders, id)
	}
	for i, p := range next {
		n.send(n.peer(to[i]), p)
	}
}
