package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// ackDelay is how long an acknowledgement may wait for a packet to travel with.
const ackDelay = 2 * time.Millisecond

// ackLater acknowledges a packet with the next one to its sender, soon.
func (n *RawNode) ackLater(to *peerState, seq uint64) {
	owed := n.owed[to]
	if len(owed) == 0 {
		n.after(Time(ackDelay), timer{kind: timerAck, id: to.c.ID})
	}
	n.owed[to] = append(owed, seq)
	if len(owed)+1 >= maxAcks {
		n.send(to, &Packet{Kind: KindAck})
	}
}

// ackDue acknowledges what found no packet to travel with.
func (n *RawNode) ackDue(id ring.ID) {
	if p := n.peers.get(id); p != nil && len(n.owed[p]) > 0 {
		n.send(p, &Packet{Kind: KindAck})
	}
}

func (n *RawNode) ack(to *peerState, p *Packet, code Code) {
	n.send(to, &Packet{Kind: KindAck, Seq: p.Seq, Code: code})
}

// onAck ends this node's responsibility for a packet, or makes it find another
// way when the hop refused.
func (n *RawNode) onAck(from *peerState, p *Packet) {
	if p.Code == CodeOK {
		n.acknowledged(from, p.Seq, true)
		return
	}
	t := n.pending[p.Seq]
	if t == nil || t.to != from {
		return
	}
	switch {
	case t.in.Kind == KindLeave:
		delete(n.pending, p.Seq)
		return
	case p.Code == CodeUnsigned && t.in.Kind == KindRoute && t.in.Msg.OriginID == n.self.ID && t.in.Msg.unsigned():
		delete(n.pending, p.Seq)
		n.sign(t)
		return
	}
	if p.Code == CodeNotNeighbor && t.chosen {
		if _, ok := n.nearestReplica(t.in, append(slices.Clip(t.tried), from.c.ID)); ok {
			n.again(t)
		}
		return // else later: all have refused, or were silent
	}
	// The hop is alive and not active. touch has taken it out of the tables,
	// unless it is a joiner to be waited for.
	if !t.fixed && n.leaves.Get(from.c.ID) == nil {
		n.again(t)
	}
}

// acknowledged ends this node's responsibility for a packet. An acknowledgement
// that waited for company, or may be of any of several sends, tells how long to
// wait for the next, but not how far the peer is.
func (n *RawNode) acknowledged(from *peerState, seq uint64, prompt bool) {
	t := n.pending[seq]
	if t == nil || t.to != from {
		return
	}
	n.giveUp(t)
	switch sample := n.now - t.firstAt; {
	case prompt && t.tries == 1:
		n.measured(from, sample)
	case sample < Time(saneRTT):
		from.rtt.observeLate(sample)
	}
	if t.in.Kind == KindLeave {
		n.leaveAcked()
	}
}

// measured takes in a round trip to a peer. One beyond all reason is the clock's
// and not the network's.
func (n *RawNode) measured(p *peerState, sample Time) {
	if sample > Time(saneRTT) {
		return
	}
	p.rtt.observe(sample)
	n.cfg.Proximity.Observe(p.c, time.Duration(p.rtt.least))
	n.locate()
}
