package pastry

import (
	"cmp"
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// transit is a packet this node is responsible for: a Route or Reply it has to
// hand to a next hop, or a Leave it wants acknowledged.
type transit struct {
	in      *Packet // as it came in, or as this node made it
	pkt     *Packet // as it was last sent on; nil before
	to      *peerState
	fixed   bool      // the hop was given by the caller, not by nextHop
	chosen  bool      // the hop is to deliver, of several that may
	tried   []ring.ID // hops that did not acknowledge in time
	tries   int       // sends to the present hop
	firstAt Time      // when it was first sent to the present hop
	sentAt  Time
	due     Time // when the present hop's time is over
	excused int  // how often it was prolonged because of a stall
	dialed  bool // it was found to have left only when there was a connection to the present hop
	expires Time
	done    bool // acknowledged or given up
}

// transmit hands the packet to a hop and waits for its acknowledgement.
func (n *RawNode) transmit(t *transit, hop *peerState) {
	if t.to == hop {
		n.stats.Resends++
		p := *t.pkt
		p.Acks = nil
		t.pkt = &p
	} else {
		t.to, t.tries, t.firstAt, t.dialed = hop, 0, n.now, false
		n.prepare(t)
	}
	if t.pkt.Kind == KindRoute {
		t.pkt.TTL = time.Duration(t.expires - n.now)
	}
	t.tries, t.excused = t.tries+1, 0
	t.sentAt = n.now
	wait := hop.rtt.timeout(Time(n.cfg.MinHopTimeout), Time(n.cfg.ProbeTimeout))
	t.due = n.now + wait<<min(t.tries-1, maxBackoff)
	n.pending[t.pkt.Seq] = t
	n.timers.push(timer{at: t.due, kind: timerPending, ref: t.pkt.Seq})
	n.send(hop, t.pkt)
}

// prepare makes the packet for a link from the one that came in, or from the
// one that was sent to another hop before.
func (n *RawNode) prepare(t *transit) {
	var p Packet
	if t.pkt != nil {
		delete(n.pending, t.pkt.Seq)
		p = *t.pkt
	} else {
		p = *t.in
		n.addHop(&p)
	}
	p.Seq, p.Acks, p.Chosen = n.nextSeq(), nil, t.chosen
	t.pkt = &p
}

// addHop notes on a packet that it crosses one more link, from this node.
func (n *RawNode) addHop(p *Packet) {
	p.Hops++
	if p.Kind != KindRoute {
		return
	}
	if p.Msg.OriginID == n.self.ID {
		return
	}
	p.Path = append(slices.Clip(p.Path), n.self.Peer)
	if p.Msg.Join {
		n.addRows(p)
	}
}

// pendingDue is called when a hop may have been silent for too long.
func (n *RawNode) pendingDue(seq uint64) {
	t := n.pending[seq]
	if t == nil || t.due > n.now {
		return
	}
	if n.stalled(t.due, &t.excused) {
		t.due = n.now + t.to.rtt.timeout(Time(n.cfg.MinHopTimeout), Time(n.cfg.ProbeTimeout))
		n.timers.push(timer{at: t.due, kind: timerPending, ref: seq})
		return
	}
	n.suspect(t)
	n.again(t)
}

// again tries another way for a packet whose hop was silent.
func (n *RawNode) again(t *transit) {
	if n.now >= t.expires {
		n.giveUp(t)
		n.stats.Drops[DropExpired]++
		return
	}
	if !slices.Contains(t.tried, t.to.c.ID) {
		t.tried = append(t.tried, t.to.c.ID)
	}
	switch {
	case t.in.Kind == KindReply:
		n.redirectReply(t)
	case t.fixed && t.tries > 3:
		n.giveUp(t)
	case t.fixed || t.in.Kind == KindLeave:
		n.transmit(t, t.to)
	default:
		n.dispatch(t)
		if t.done {
			delete(n.pending, t.pkt.Seq)
		}
	}
}

// giveUp ends this node's responsibility for a packet that was sent.
func (n *RawNode) giveUp(t *transit) {
	delete(n.pending, t.pkt.Seq)
	n.finish(t)
}

// finish ends a transit. The way back outlives it and must not keep its payload.
func (n *RawNode) finish(t *transit) {
	t.done = true
	if t.in.Kind != KindRoute {
		return
	}
	if r := n.relays.get(t.in.Msg.ID); r != nil && r.transit == t {
		r.transit = nil
	}
}

// sendFailed treats a packet that could not be sent like one whose time is up.
func (n *RawNode) sendFailed(to *Contact, p *Packet) {
	ps := n.peers.get(to.ID)
	if ps == nil {
		return
	}
	switch p.Kind {
	case KindProbe:
		n.probeFailed(ps, p.Seq)
	case KindRoute, KindReply, KindLeave:
		t := n.pending[p.Seq]
		if t == nil || t.to != ps {
			return
		}
		n.ask(ps, whyAlive, 0, 0)
		// Once more after a while rather than at once: with no other way, the
		// same hop would fail again without end.
		t.due = min(t.due, n.now+Time(n.cfg.MinHopTimeout)<<min(t.tries-1, maxBackoff))
		n.timers.push(timer{at: t.due, kind: timerPending, ref: p.Seq})
	}
}

// reroute finds another way for everything that waits for a node that is gone.
func (n *RawNode) reroute(gone *peerState) {
	for _, t := range n.waitingFor(gone) {
		switch {
		case t.done || t.to != gone || t.in.Kind == KindLeave:
		case t.fixed:
			n.giveUp(t)
		default:
			n.again(t)
		}
	}
}

// waitingFor returns what was handed to a peer and not acknowledged, in the
// order of sequence numbers.
func (n *RawNode) waitingFor(p *peerState) []*transit {
	var ts []*transit
	for _, t := range n.pending { // order does not matter: sorted below
		if t.to == p {
			ts = append(ts, t)
		}
	}
	slices.SortFunc(ts, func(a, b *transit) int { return cmp.Compare(a.pkt.Seq, b.pkt.Seq) })
	return ts
}
