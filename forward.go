package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

const (
	maxTTL      = 5 * time.Minute
	maxHeld     = 256              // messages a joining node keeps until it is active
	memoryTime  = 2 * time.Minute  // how long a message is remembered after its time is over
	maxBackoff  = 4                // doublings of a hop's timeout
	saneRTT     = 10 * time.Second // no round trip takes longer
	maxAcks     = 64               // acknowledgements in one packet
	suspects    = 4                // leaves probed when the root of a key is silent
	maxReplyTry = 4                // sends of a reply to one hop before another way is tried
)

// relay is the way back of a reply, and the way on of the message.
type relay struct {
	prev    *Contact
	attempt uint32
	transit *transit // of the attempt, nil when this node is the root
}

// held is a message that came before the node was active.
type held struct {
	from *Contact
	pkt  *Packet
}

// onRoute takes over a message from the previous hop, or refuses it.
func (n *RawNode) onRoute(from *peerState, p *Packet) {
	if n.state != StateActive && !(n.state == StateClient && p.Msg.Direct && p.Msg.Key == n.self.ID) {
		n.notActive(from, p)
		return
	}
	if n.overloaded() {
		return
	}
	next, _ := n.nextHopFor(p, nil)
	root := next == nil
	d := n.deliveries.get(p.Msg.ID)
	switch {
	case p.Chosen && p.Msg.Replicas > 1 && d == nil && !n.mayDeliver(p.Msg):
		n.ack(from, p, CodeNotNeighbor)
		return
	case p.Msg.unsigned() && from.c.ID == p.Msg.OriginID && (!root && d == nil || d != nil && d.by != ""):
		n.ack(from, p, CodeUnsigned)
		return
	case !root:
		n.ack(from, p, CodeOK)
	case n.closing && d == nil:
		return // the sender will hear that this node is gone, and go to the next root
	default: // the answer follows soon, and takes the acknowledgement with it
		n.ackLater(from, p.Seq)
	}
	n.accept(from.c, p)
}

// overloaded reports, and counts, that a packet cannot be taken over since too
// many wait for others already. Its sender, who gets no acknowledgement, tries
// again later or goes another way.
func (n *RawNode) overloaded() bool {
	if len(n.pending)+len(n.forwarding) < n.cfg.Memory {
		return false
	}
	n.stats.Drops[DropFlood]++
	return true
}

// accept goes on with a message that was acknowledged.
func (n *RawNode) accept(from *Contact, p *Packet) {
	id := p.Msg.ID
	if p.Msg.OriginID == n.self.ID {
		n.stats.Drops[DropDuplicate]++
		return
	}
	if d := n.deliveries.get(id); d != nil {
		n.remember(from, p)
		n.deliveredBefore(d, from, p)
		return
	}
	if r := n.relays.get(id); r != nil && p.Attempt <= r.attempt {
		n.stats.Drops[DropDuplicate]++
		return
	}
	r := n.remember(from, p)
	if p.TTL <= 0 {
		n.stats.Drops[DropExpired]++
		return
	}
	t := &transit{in: p, expires: n.now + Time(min(p.TTL, maxTTL))}
	r.supersede(n, t)
	next, _ := n.nextHopFor(p, nil)
	if next != nil && n.apps[p.Msg.App] && !p.Msg.Join && !p.Msg.Direct {
		n.forwarding[id] = t
		n.emit(Action{Kind: ActForward, To: next, Msg: p.Msg, Hops: p.Hops, TTL: min(p.TTL, maxTTL)})
		return
	}
	n.dispatch(t)
}

// notActive answers a message that comes to a node which is not active. A
// joiner to which a part of the ring was granted keeps the message until it is
// active and acknowledges it only then, so that the sender remains responsible.
func (n *RawNode) notActive(from *peerState, p *Packet) {
	if n.state != StateJoining || !n.join.holding() {
		n.ack(from, p, CodeNotActive)
		return
	}
	same := func(h held) bool { return h.pkt.Seq == p.Seq && h.from.ID == from.c.ID }
	if i := slices.IndexFunc(n.held, same); i >= 0 {
		n.held[i].pkt = p
	} else if len(n.held) < maxHeld {
		n.held = append(n.held, held{from.c, p})
	} else {
		n.stats.Drops[DropHeld]++
	}
}

// supersede ends the way of an earlier attempt, which could only turn up late.
func (r *relay) supersede(n *RawNode, t *transit) {
	if old := r.transit; old != nil && !old.done && old.pkt != nil {
		n.giveUp(old)
	}
	r.transit = t
}

// remember keeps the way back.
func (n *RawNode) remember(from *Contact, p *Packet) *relay {
	r := n.relays.get(p.Msg.ID)
	if r == nil {
		r = new(relay)
		n.relays.add(p.Msg.ID, r, n.now+Time(min(p.TTL, maxTTL)+memoryTime))
		n.armExpire()
	}
	if p.Attempt >= r.attempt {
		r.prev, r.attempt = from, p.Attempt
	}
	return r
}

// nextHopFor decides the next hop of a message, and whether it was chosen as the
// one of several that may deliver. A joiner's own message never goes to the joiner,
// whoever still has it in a table.
func (n *RawNode) nextHopFor(p *Packet, tried []ring.ID) (hop *Contact, chosen bool) {
	m := p.Msg
	if m.Direct && m.Key == n.self.ID {
		return nil, false
	}
	if p := n.peers.get(m.Key); m.Direct && p != nil && p.connected && !n.isDead(p) && !slices.Contains(tried, m.Key) {
		return p.c, false // a member or a client
	}
	if hop, ok := n.nearestReplica(p, tried); ok {
		return hop, true
	}
	if !m.Join && len(tried) == 0 {
		return n.nextHop(m.Key, nil), false
	}
	return n.nextHop(m.Key, func(id ring.ID) bool {
		return m.Join && id == m.OriginID || slices.Contains(tried, id)
	}), false
}

// dispatch sends a message to its next hop, or delivers it here. Hops that were
// silent are passed over, but not the root: as long as a leaf closer to the key
// is not known to be dead, nobody else may deliver, and the message is sent to
// it again, unless any of several may.
func (n *RawNode) dispatch(t *transit) {
	m := t.in.Msg
	best, chosen := n.nextHopFor(t.in, nil)
	if chosen && best != nil && slices.Contains(t.tried, best.ID) {
		best = n.afterSilence(t, best)
	}
	if best == nil {
		n.finish(t)
		n.arrived(t)
		return
	}
	if t.in.Hops >= n.cfg.HopLimit {
		n.finish(t)
		n.stats.Drops[DropHopLimit]++
		n.fail(t.in, CodeHopLimit)
		return
	}
	hop := best
	if slices.Contains(t.tried, best.ID) && (n.state == StateClient || !n.leaves.Covers(m.Key)) {
		if hop, _ = n.nextHopFor(t.in, t.tried); hop == nil {
			hop, t.tried = best, t.tried[:0]
		} else {
			n.stats.Reroutes++
		}
	}
	n.fillGap(m.Key, hop)
	t.chosen = chosen
	if m.unsigned() && !chosen && !n.ends(m, hop) {
		n.sign(t)
		return
	}
	n.transmit(t, n.peer(hop))
}

// ends reports whether a hop is expected to deliver a message. If so the secure
// channel to it is proof enough of the origin, and the signature is saved.
func (n *RawNode) ends(m *Routed, hop *Contact) bool {
	return m.Replicas < 2 && (hop.ID == m.Key || n.state == StateActive && n.leaves.Covers(m.Key))
}

// sign has a message of this node's own signed before it goes on.
func (n *RawNode) sign(t *transit) {
	if t.pkt != nil {
		delete(n.pending, t.pkt.Seq)
	}
	t.to, t.pkt = nil, nil
	n.signing[t.in.Msg.ID] = t
	n.emit(Action{Kind: ActSign, Msg: t.in.Msg})
}

// signed goes on with a message that has been signed.
func (n *RawNode) signed(id MessageID, m *Routed) {
	t, c := n.signing[id], n.calls[id]
	delete(n.signing, id)
	if t == nil || c == nil || m == nil {
		return
	}
	c.msg = m
	p := *t.in
	p.Msg = m
	t.in = &p
	n.dispatch(t)
}

// arrived ends the journey of a message at this node, the root of its key.
func (n *RawNode) arrived(t *transit) {
	switch p := t.in; {
	case n.closing:
		n.passOn(t)
	case n.state == StateIdle:
		n.fail(p, CodeNotActive)
	case p.Msg.Direct && p.Msg.Key != n.self.ID:
		n.fail(p, CodeUnreachable)
	case p.Msg.Join:
		n.answerJoin(p)
	case n.state == StateClient && !p.Msg.Direct:
		n.fail(p, CodeUnreachable)
	default:
		n.deliver(p)
	}
}

// passOn hands a message of which this node was root, and which it took over
// before it began to leave, to the node that is root after it.
func (n *RawNode) passOn(t *transit) {
	next := n.leaves.AppendMembers(nil)
	switch {
	case len(next) == 0:
		n.fail(t.in, CodeNotActive)
	case n.state != StateLeaving:
		n.kept = append(n.kept, t)
	default:
		t.done = false
		sortByDistance(next, t.in.Msg.Key)
		n.transmit(t, n.peer(next[0]))
	}
}

// forwarded goes on with a message after its application was asked.
func (n *RawNode) forwarded(id MessageID, m *Routed) {
	t := n.forwarding[id]
	if t == nil {
		return
	}
	delete(n.forwarding, id)
	if m == nil {
		n.fail(t.in, CodeStopped)
		return
	}
	if m != t.in.Msg {
		p := *t.in
		p.Msg = m
		t.in = &p
	}
	n.dispatch(t)
}
