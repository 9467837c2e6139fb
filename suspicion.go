package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// suspect probes a hop that was silent. When it is the root of a key, the leaves
// next to the key that were not heard of late are probed as well: nodes that
// died together are found in the time of one.
func (n *RawNode) suspect(t *transit) {
	n.hurry(t.to)
	first := t.to.probe.tries == 1
	if first && !n.granted(t.to.c.ID) { // a joiner acknowledges only when it is active
		t.to.probe.limit = max(1, n.enoughTries()-1) // what was not acknowledged counts as one
	}
	if t.in.Kind != KindRoute || !n.leaves.Covers(t.in.Msg.Key) {
		return
	}
	near := n.leaves.AppendMembers(nil)
	sortByDistance(near, t.in.Msg.Key)
	for _, c := range near[:min(suspects, len(near))] {
		if ps := n.peer(c); n.now-ps.heard > Time(n.cfg.MinProbeTimeout) {
			n.hurry(ps)
		}
	}
	if first {
		n.warnHeirs(near, t)
	}
}

// warnHeirs tells the next two roots of a message that the root is suspected. Its
// death must be their finding too before they deliver, and so it is found there
// at the same time as here and not after it.
func (n *RawNode) warnHeirs(near []*Contact, t *transit) {
	heirs := 2
	for _, c := range near {
		if heirs > 0 && c.ID != t.to.c.ID && !slices.Contains(t.tried, c.ID) {
			heirs--
			n.send(n.peer(c), &Packet{Kind: KindSuspect, Suspects: []ring.ID{t.to.c.ID}})
		}
	}
}

// hurry probes a peer for whose life a message waits.
func (n *RawNode) hurry(p *peerState) {
	if p.probe != nil {
		n.ask(p, whyAlive, 0, 0)
		if !p.probe.hurry {
			p.probe.hurry = true
			n.sendProbe(p)
		}
		return
	}
	p.probe = &probe{why: whyAlive, begun: n.now, limit: n.enoughTries(), hurry: true}
	n.sendProbe(p)
}

// quarantine is how long hearsay about a node that was found dead is ignored, unless
// that comes into doubt. A word from the node itself ends it at once.
const quarantine = time.Minute

// heardLately is how long ago at the most a leaf was heard that is alive whatever a
// neighbour knows, which may just not have met it yet.
const heardLately = 2 * time.Second

// missing probes those members of this node's leaf set that a neighbour passes over,
// as it names others on both sides of them, or all of a small ring: it may know that
// they are dead.
func (n *RawNode) missing(from *peerState, named []*Contact) {
	if len(named) == 0 {
		return
	}
	for _, c := range n.leaves.shared() {
		if c.ID == from.c.ID || !passes(from.c.ID, named, c.ID) && !n.leaves.Wraps() ||
			slices.ContainsFunc(named, func(o *Contact) bool { return o.ID == c.ID }) {
			continue
		}
		if ps := n.peers.get(c.ID); ps != nil && n.now-ps.heard > Time(heardLately) {
			n.ask(ps, whyAlive, 0, 0)
		}
	}
}

// nearWay returns which way round the ring is the shorter one from a node to
// another, the larger side or not, and how far it is.
func nearWay(from, to ring.ID) (larger bool, way ring.ID) {
	up, down := ring.Clockwise(from, to), ring.Clockwise(to, from)
	if up.Compare(down) <= 0 {
		return true, up
	}
	return false, down
}

// bury records that a peer is dead, and makes good what it leaves behind.
func (n *RawNode) bury(p *peerState, told bool) {
	id := p.c.ID
	wasLeaf, held := n.leaves.Get(id) != nil, n.holds(id)
	var warn []*Contact
	if wasLeaf && n.state == StateActive {
		warn = n.concerned(id, told)
	}
	p.live = false
	n.dead[id] = grave{at: n.now, epoch: max(p.epoch, p.c.Epoch)}
	n.armExpire()
	n.releaseGrant(id)
	if held {
		n.tuning.failed(n.now)
		if !wasLeaf {
			n.tuning.learned(told)
		}
		if n.manyLost() {
			n.reckonWithSplit(waryTime)
		}
		n.mourn(p.c)
		n.emit(Action{Kind: ActGone, To: p.c})
	}
	n.evict(p)
	if wasLeaf {
		n.alarm()
	}
	for _, c := range warn {
		n.send(n.peer(c), &Packet{Kind: KindSuspect, Suspects: []ring.ID{id}})
	}
	if wasLeaf && n.state == StateActive {
		n.send(p, &Packet{Kind: KindSuspect, Suspects: []ring.ID{id}}) // if it lives, let it object
	}
	n.announce(id)
	n.emit(Action{Kind: ActForget, To: p.c})
	if !p.connected {
		n.peers.remove(id)
		delete(n.owed, p)
	}
}

// alarmTime is within what time two leaves die together.
const alarmTime = 5 * time.Second

// alarm probes all leaves that were not heard lately when a second one has died:
// those that die together are found together.
func (n *RawNode) alarm() {
	last := n.leafDied
	n.leafDied = n.now
	if last == 0 || n.now-last > Time(alarmTime) || n.state != StateActive {
		return
	}
	for _, c := range n.leaves.shared() {
		if ps := n.peer(c); n.now-ps.heard > Time(heardLately) {
			n.hurry(ps)
		}
	}
}

// quarantined reports whether hearsay about a node is ignored.
func (n *RawNode) quarantined(c *Contact) bool {
	g, dead := n.dead[c.ID]
	return dead && c.Epoch <= g.epoch && !g.doubted && n.now-g.at <= Time(quarantine)
}

// doubt makes hearsay about all who were found dead count again, since one of them
// lives: who was out of reach has seldom been so alone.
func (n *RawNode) doubt() {
	for id, g := range n.dead { // order does not matter: all are changed alike
		g.doubted = true
		n.dead[id] = g
	}
}

// disagree follows up on names of nodes that were found dead here. They are to be named
// again when their quarantine is over; and an immediate neighbour is told, as nobody
// else may know both of it and of them when few are left, or many died at once.
func (n *RawNode) disagree(from *peerState, named []*Contact) {
	var dead []ring.ID
	for _, c := range named {
		if n.quarantined(c) {
			dead = append(dead, c.ID)
		}
	}
	if len(dead) == 0 {
		return
	}
	from.version = 0
	if n.state == StateActive && from.state == StateActive && n.leaves.beside(from.c.ID) {
		n.send(from, &Packet{Kind: KindSuspect, Suspects: dead})
	}
}

func (n *RawNode) isDead(p *peerState) bool {
	_, dead := n.dead[p.c.ID]
	return dead
}

// concerned returns the leaves to tell that another leaf is dead: those that have
// it in their own sets, as far as n sees. If n was told itself, whoever told it
// has told the others it knows; only an immediate neighbour of the dead tells
// those on its own side, since the teller may not know them.
func (n *RawNode) concerned(id ring.ID, told bool) []*Contact {
	if told && !n.leaves.beside(id) {
		return nil
	}
	if n.leaves.Wraps() { // both sides may have it, and all have all
		return slices.DeleteFunc(slices.Clone(n.leaves.shared()), func(c *Contact) bool { return c.ID == id })
	}
	var tell []*Contact
	for _, side := range [2]struct{ own, other []*Contact }{
		{n.leaves.smaller, n.leaves.larger}, {n.leaves.larger, n.leaves.smaller},
	} {
		i := slices.IndexFunc(side.own, func(c *Contact) bool { return c.ID == id })
		if i < 0 {
			continue
		}
		if !told {
			tell = append(tell, side.own[:i]...)
			tell = append(tell, side.own[i+1:]...)
		}
		tell = append(tell, side.other[:min(len(side.other), max(0, n.cfg.LeafSetSize/2-i-1))]...)
	}
	return tell
}

// onSuspect confirms what a neighbour believes to be dead. Since somebody has
// found it silent before, one try less is enough; as that took a while, one heard
// a moment ago cannot be meant. When the left neighbour of the dead tells all that
// keep it, it is sure, and the word goes on to those that it names.
func (n *RawNode) onSuspect(from *peerState, p *Packet) {
	if len(p.Holders) > 0 {
		if len(p.Suspects) == 1 {
			n.tellHolders(p.Suspects[0], p.Holders, p.Hops)
		}
		if !slices.Contains(p.Holders, n.self.ID) {
			return
		}
	}
	for _, id := range p.Suspects {
		if id == n.self.ID { // show that it is wrong
			n.ask(from, whyTell, 0, 0)
			continue
		}
		ps := n.peers.get(id)
		if ps == nil || id == from.c.ID || !n.holds(id) || ps.probe != nil || n.now-ps.heard < Time(n.cfg.MinProbeTimeout)/2 {
			continue
		}
		spared := 1 // tries
		if len(p.Holders) > 0 && n.leaves.Get(id) == nil {
			spared = 2
		}
		n.hurry(ps)
		ps.probe.limit = max(1, n.enoughTries()-spared)
		ps.probe.told = true
	}
}
