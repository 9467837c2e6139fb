package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// peer returns the state kept for a contact, making it if there is none.
func (n *RawNode) peer(c *Contact) *peerState {
	ps := n.peers.get(c.ID)
	if ps == nil {
		ps = &peerState{c: c}
		n.peers.add(ps)
	}
	return ps
}

// touch notes the sign of life that a packet is. It returns nil if the packet
// is from an incarnation of the sender that is no more.
func (n *RawNode) touch(from *Contact, p *Packet) *peerState {
	ps := n.peer(from)
	switch {
	case from.Epoch < ps.epoch:
		return nil
	case from.Epoch > ps.epoch:
		n.reborn(ps, from)
	}
	state := p.State
	if from.Client {
		state = StateClient
	}
	ps.heard = n.now
	ps.state = max(ps.state, state)
	n.refresh(ps, from, p.Coord)
	if g, dead := n.dead[from.ID]; dead {
		if from.Epoch == g.epoch && p.State == StateActive {
			n.hasty()
			n.doubt()
		}
		delete(n.dead, from.ID)
	}
	switch {
	case (ps.state == StateJoining && !n.granted(from.ID) || ps.state == StateClient) && n.counts(ps):
		n.evict(ps)
	case ps.state == StateLeaving && p.Kind != KindLeave && n.counts(ps):
		n.gone(ps)
	case ps.state == StateActive:
		n.releaseGrant(from.ID)
	}
	if ps.probe != nil && ps.probe.want == 0 && ps.probe.why == whyAlive {
		n.endProbe(ps, true)
	}
	return ps
}

// reborn replaces what is known of a peer that has started anew.
func (n *RawNode) reborn(ps *peerState, c *Contact) {
	if ps.epoch != 0 {
		n.releaseGrant(ps.c.ID)
		n.evict(ps)
		ps.live, ps.state, ps.handed, ps.told = false, StateIdle, false, 0
		delete(n.owed, ps)
	}
	ps.epoch, ps.version = c.Epoch, 0
}

// refresh puts newer words about a peer into the tables that hold it.
func (n *RawNode) refresh(ps *peerState, from *Contact, coord []float32) {
	if ps.c.says(from) && (coord == nil || slices.Equal(coord, ps.c.Coord)) {
		return
	}
	ps.c = from.with(coord, ps.c.Coord)
	c := ps.c
	n.leaves.Replace(c)
	if n.table.Contains(c.ID) {
		n.table.Insert(ps.c, n.distance)
	}
	if n.hood.Contains(c.ID) {
		n.hood.Insert(ps.c, n.distance(ps.c))
	}
}

// with returns c with the newer coordinate; failing that, with its own; failing
// both, with the older one. It is c itself if that is what it has.
func (c *Contact) with(newer, older []float32) *Contact {
	coord := newer
	if coord == nil {
		coord = c.Coord
	}
	if coord == nil {
		coord = older
	}
	if slices.Equal(coord, c.Coord) {
		return c
	}
	with := *c
	with.Coord = coord
	return &with
}

// says reports whether two contacts of one node say the same of it, but perhaps
// for where it is.
func (c *Contact) says(o *Contact) bool {
	return c == o || c.Epoch == o.Epoch && c.Client == o.Client && c.Region == o.Region && string(c.Record) == string(o.Record)
}

// locate puts the node's coordinate into its own contact when it has moved, so
// that all who are told of the node are told the same value.
func (n *RawNode) locate() {
	if coord := n.cfg.Proximity.Coordinate(); !slices.Equal(coord, n.self.Coord) {
		self := *n.self
		self.Coord = coord
		n.self = &self
	}
}

// unknownFar is farther than anything.
const unknownFar Time = 1 << 62

// distance returns the proximity of a contact, farther than anything when it is
// not known.
func (n *RawNode) distance(c *Contact) Time {
	if d, ok := n.predict(c); ok {
		return d
	}
	return unknownFar
}

func (n *RawNode) predict(c *Contact) (Time, bool) {
	var least Time
	if ps := n.peers.get(c.ID); ps != nil {
		least = ps.rtt.least
	}
	d, ok := n.cfg.Proximity.Distance(c, time.Duration(least))
	return Time(d), ok
}

// connected notes an open connection, over which the peer may serve as a hop.
// What waited for the first one has left only now.
func (n *RawNode) connected(c *Contact) {
	ps := n.peer(c)
	if ps.connected {
		return
	}
	ps.connected, ps.cutOff = true, false
	if ps.probe != nil {
		n.probeLeft(ps)
	}
	for _, t := range n.waitingFor(ps) {
		if t.tries == 1 && !t.dialed {
			t.due += n.now - t.sentAt
			t.sentAt, t.firstAt, t.dialed = n.now, n.now, true
			n.timers.push(timer{at: t.due, kind: timerPending, ref: t.pkt.Seq})
		}
	}
}

// disconnected notes that the connection to a peer is gone. A closed connection
// is not a dead node: the peer is probed if it matters.
func (n *RawNode) disconnected(c *Contact) {
	ps := n.peers.get(c.ID)
	if ps == nil {
		return
	}
	ps.connected, ps.cutOff = false, true
	for _, t := range n.waitingFor(ps) {
		t.due = n.now
		n.timers.push(timer{at: n.now, kind: timerPending, ref: t.pkt.Seq})
	}
	if n.holds(c.ID) {
		n.ask(ps, whyAlive, 0, 0)
	}
}

// counts reports whether a peer is a possible hop, or in any table.
func (n *RawNode) counts(p *peerState) bool { return p.known || n.holds(p.c.ID) }

// holds reports whether any table has the node.
func (n *RawNode) holds(id ring.ID) bool {
	return n.table.Contains(id) || n.leaves.Get(id) != nil || n.hood.Contains(id)
}
