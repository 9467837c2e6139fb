package pastry

import (
	"slices"
	"time"
)

// leaveTimeout is how long a leaving node waits for its neighbours to know.
const leaveTimeout = 2 * time.Second

// startLeave tells leaves and table entries that the node goes, and hands the
// immediate neighbours the memory of what it delivered. From now on it refuses
// messages, which makes their senders go elsewhere.
func (n *RawNode) startLeave() {
	if n.state != StateActive {
		n.left()
		return
	}
	n.setState(StateLeaving)
	left, right := n.leaves.Left(), n.leaves.Right()
	told := append(n.leaves.AppendMembers(nil), n.table.AppendAll(nil)...)
	n.arm(timerLeave, leaveTimeout)
	for _, c := range told {
		ps := n.peers[c.ID]
		if ps == nil || ps.state == StateLeaving {
			continue
		}
		if n.farewell[c.ID] {
			continue
		}
		n.farewell[c.ID] = true
		p := &Packet{Kind: KindLeave}
		if c == left || c == right {
			p.Delivered = n.handover(c.ID)
		}
		n.transmit(&transit{in: p, fixed: true, expires: n.now + Time(leaveTimeout)}, ps)
	}
	n.leaveAcked()
}

// leaveAcked ends leaving when everybody knows and nothing is left to hand on.
func (n *RawNode) leaveAcked() {
	if n.state == StateLeaving && len(n.pending) == 0 {
		n.left()
	}
}

// left ends the node's life. Calls whose answer has not come end with it.
func (n *RawNode) left() {
	var ids []MessageID
	for id := range n.calls {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b MessageID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		n.finishCall(id, &Answer{ID: id, Origin: n.self.Peer, OriginID: n.self.ID, Code: CodeNotActive})
	}
	n.over = n.over || n.state == StateLeaving
	n.setState(StateIdle)
	n.timers.a = nil
}

// onLeave takes leave of a neighbour.
func (n *RawNode) onLeave(from *peerState, p *Packet) {
	n.ack(from, p, CodeOK)
	n.takeOver(p.Delivered)
	from.state = max(from.state, StateLeaving)
	n.gone(from)
}
