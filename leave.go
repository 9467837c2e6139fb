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
// message for its own keys. Then it tells everybody else that it is leaving.

// startLeave takes the first step.
func (n *RawNode) startLeave() {
	if n.closing {
		return
	}
	if n.state != StateActive {
		n.left()
		return
	}
	n.closing = true
	n.arm(timerLeave, handTimeout)
	for _, c := range []*Contact{n.leaves.Left(), n.leaves.Right()} {
		if c != nil {
			n.sayGoodbye(c, n.handover(c.ID))
		}
	}
	n.leaveAcked()
}

// sayGoodbye tells a neighbour once that the node leaves.
func (n *RawNode) sayGoodbye(c *Contact, ds []Delivery) {
	ps := n.peers[c.ID]
	if ps == nil || ps.state == StateLeaving || n.farewell[c.ID] {
		return
	}
	n.farewell[c.ID] = true
	p := &Packet{Kind: KindLeave, Delivered: ds}
	n.transmit(&transit{in: p, fixed: true, expires: n.now + Time(leaveTimeout)}, ps)
}

// tellAll takes the second step. From now on the node refuses messages, which
// makes their senders go elsewhere.
func (n *RawNode) tellAll() {
	n.setState(StateLeaving)
	n.arm(timerLeave, leaveTimeout)
	for _, c := range append(n.leaves.AppendMembers(nil), n.table.AppendAll(nil)...) {
		n.sayGoodbye(c, nil)
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
	case !n.closing || !told:
	case n.state == StateActive:
		n.tellAll()
	case !fresh:
		n.left()
	}
}

// leaveDue ends the present step of leaving.
func (n *RawNode) leaveDue() {
	if n.state == StateActive {
		n.tellAll()
	} else {
		n.left()
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
	n.over = n.over || n.state == StateLeaving
	n.setState(StateIdle)
	n.stopWaiting()
}

// stopWaiting ends everything that is waited for.
func (n *RawNode) stopWaiting() {
	n.timers.a, n.due = nil, [len(n.due)]Time{}
	for _, p := range n.peers { // order does not matter: nothing is emitted
		p.probe, p.owed = nil, nil
	}
	n.leafProbes, n.asking, n.join.seeking = nil, 0, 0
	n.kept = nil
	n.held = nil
	clear(n.pending)
	clear(n.forwarding)
	clear(n.signing)
}

// onLeave takes leave of a neighbour.
func (n *RawNode) onLeave(from *peerState, p *Packet) {
	n.ack(from, p, CodeOK)
	n.takeOver(p.Delivered)
	from.state = max(from.state, StateLeaving)
	n.gone(from)
}
