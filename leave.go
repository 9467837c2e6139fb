package pastry

import (
	"slices"
	"time"
)

const (
	handTimeout  = time.Second     // for the immediate neighbours to take over
	leaveTimeout = 2 * time.Second // for the others to know
)

// A node leaves in two steps, so that no message is delivered a second time by
// a root that does not know what this one delivered. First it tells its two
// immediate neighbours, which become root of its keys, and hands them the memory
// of what it delivered; meanwhile it forwards as before but takes over no new
// message for its own keys. It names them to each other, and each says yes only
// when it has met the other. Then it tells everybody else that it is leaving.
// Before all that it waits for joiners to which it granted a place.

// startLeave takes the first step. Told again, the node leaves without waiting
// any longer.
func (n *RawNode) startLeave() {
	if n.closing || n.state != StateActive {
		n.left()
		return
	}
	n.closing = true
	n.arm(timerLeave, handTimeout)
	n.handOn()
}

// handOn tells the immediate neighbours, once no joiner holds a place any more.
func (n *RawNode) handOn() {
	if !n.closing || n.handing || n.grants != [2]grant{} {
		return
	}
	n.handing = true
	n.arm(timerLeave, handTimeout)
	var heirs []*Contact
	for _, c := range []*Contact{n.leaves.Left(), n.leaves.Right()} {
		if c != nil {
			heirs = append(heirs, c)
		}
	}
	for _, c := range heirs {
		n.sayGoodbye(c, &Packet{Kind: KindLeave, Delivered: n.handover(c.ID), Contacts: heirs})
	}
	n.leaveAcked()
}

// sayGoodbye tells a neighbour once that the node leaves.
func (n *RawNode) sayGoodbye(c *Contact, p *Packet) {
	ps := n.peers.get(c.ID)
	if ps == nil || ps.state == StateLeaving || n.farewell[c.ID] {
		return
	}
	n.farewell[c.ID] = true
	n.transmit(&transit{in: p, fixed: true, expires: n.now + Time(leaveTimeout)}, ps)
}

// tellAll takes the second step. From now on the node refuses messages, which
// makes their senders go elsewhere.
func (n *RawNode) tellAll() {
	n.setState(StateLeaving)
	n.arm(timerLeave, leaveTimeout)
	for _, c := range append(n.leaves.AppendMembers(nil), n.table.AppendAll(nil)...) {
		n.sayGoodbye(c, &Packet{Kind: KindLeave})
	}
	kept := n.kept
	n.kept = nil
	for _, t := range kept {
		n.dispatch(t)
	}
	n.leaveAcked()
}

// leaveAcked takes the next step when everybody told in this one knows: the
// last one when no message was just handed on either.
func (n *RawNode) leaveAcked() {
	told, fresh := true, false
	for _, t := range n.pending { // order does not matter: any will do
		told = told && t.in.Kind != KindLeave
		fresh = fresh || t.tries == 1 && t.in.Kind == KindRoute
	}
	switch {
	case !n.handing || !told:
	case n.state == StateActive:
		n.tellAll()
	case !fresh:
		n.left()
	}
}

// leaveDue ends the present step of leaving.
func (n *RawNode) leaveDue() {
	switch {
	case n.state != StateActive:
		n.left()
	case n.handing:
		n.tellAll()
	default: // what was granted is too old to become active by
		granted := n.grants
		n.grants = [2]grant{}
		for _, g := range granted {
			if p := n.peers.get(g.to); g.ref != 0 && p != nil && p.state != StateActive {
				n.evict(p)
			}
		}
		n.handOn()
	}
}

// left ends the node's life. Calls whose answer has not come end with it.
func (n *RawNode) left() {
	var ids []MessageID
	for id := range n.calls { // order does not matter: sorted below
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b MessageID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		n.finishCall(id, &Answer{ID: id, Origin: n.self.Peer, OriginID: n.self.ID, Code: CodeNotActive}, nil)
	}
	for _, p := range n.known {
		n.ackDue(p.c.ID)
	}
	n.over = n.over || n.closing
	n.setState(StateIdle)
	n.stopWaiting()
}

// stopWaiting ends everything that is waited for.
func (n *RawNode) stopWaiting() {
	n.timers.a, n.due = nil, [len(n.due)]Time{}
	for p := range n.peers.all() {
		p.probe = nil
	}
	clear(n.owed)
	n.leafProbes, n.asking, n.join.seeking = nil, 0, 0
	n.kept = nil
	n.held = nil
	clear(n.pending)
	clear(n.forwarding)
	clear(n.signing)
}

// heir reports whether the node takes over from a peer that leaves, once in the
// peer's life: it belongs, or has just belonged, to the leaf set.
func (n *RawNode) heir(from *peerState) bool {
	if from.handed || n.leaves.Get(from.c.ID) == nil && !n.leaves.Wants(from.c.ID) {
		return false
	}
	from.handed = true
	return true
}

// meet makes sure of a node that a leaving neighbour names, and that may be root
// of some of its keys. It reports false until that one has answered, or is known
// to be dead or leaving too. One that was joining when it was last heard may be
// active by now.
func (n *RawNode) meet(c *Contact) bool {
	if c.ID == n.self.ID || c.Client || n.state != StateActive || n.quarantined(c) {
		return true
	}
	ps := n.peer(c)
	if ps.live || ps.state > StateActive {
		return true
	}
	n.ask(ps, whyLeaf, WantLeaves, 0)
	return false
}

// onLeave takes leave of a neighbour. As long as it has not met those it is to
// share the neighbour's keys with, it says nothing, and is asked again.
func (n *RawNode) onLeave(from *peerState, p *Packet) {
	met := true
	for _, c := range p.Contacts[:min(len(p.Contacts), 2)] {
		met = n.meet(c) && met
	}
	if !met {
		return
	}
	n.ack(from, p, CodeOK)
	if n.heir(from) {
		n.takeOver(p.Delivered)
	}
	from.state = max(from.state, StateLeaving)
	n.gone(from)
}
