package pastry

import (
	"cmp"
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

// transit is a packet this node is responsible for: a Route or Reply it has to
// hand to a next hop, or a Leave it wants acknowledged.
type transit struct {
	in      *Packet // as it came in, or as this node made it
	pkt     *Packet // as it was last sent on; nil before
	to      *peerState
	fixed   bool      // the hop was chosen by the caller, not by nextHop
	tried   []ring.ID // hops that did not acknowledge in time
	tries   int       // sends to the present hop
	firstAt Time      // when it was first sent to the present hop
	sentAt  Time
	due     Time // when the present hop's time is over
	excused int  // how often it was prolonged because of a stall
	expires Time
	done    bool // acknowledged or given up
}

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
	root := n.nextHopFor(p.Msg, nil) == nil
	d := n.deliveries.get(p.Msg.ID)
	switch {
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

// ackDelay is how long an acknowledgement may wait for a packet to travel with.
const ackDelay = 2 * time.Millisecond

// ackLater acknowledges a packet with the next one to its sender, soon.
func (n *RawNode) ackLater(to *peerState, seq uint64) {
	if len(to.owed) == 0 {
		n.after(Time(ackDelay), timer{kind: timerAck, id: to.c.ID})
	}
	to.owed = append(to.owed, seq)
	if len(to.owed) >= maxAcks {
		n.send(to, &Packet{Kind: KindAck})
	}
}

// ackDue acknowledges what found no packet to travel with.
func (n *RawNode) ackDue(id ring.ID) {
	if p := n.peers[id]; p != nil && len(p.owed) > 0 {
		n.send(p, &Packet{Kind: KindAck})
	}
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
	next := n.nextHopFor(p.Msg, nil)
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

func (n *RawNode) ack(to *peerState, p *Packet, code Code) {
	n.send(to, &Packet{Kind: KindAck, Seq: p.Seq, Code: code})
}

// nextHopFor decides the next hop of a message. A joiner's own message never
// goes to the joiner, whoever still has it in a table.
func (n *RawNode) nextHopFor(m *Routed, tried []ring.ID) *Contact {
	if m.Direct && m.Key == n.self.ID {
		return nil
	}
	if p := n.peers[m.Key]; m.Direct && p != nil && p.connected && !n.isDead(p) && !slices.Contains(tried, m.Key) {
		return p.c // a member or a client
	}
	if !m.Join && len(tried) == 0 {
		return n.nextHop(m.Key, nil)
	}
	return n.nextHop(m.Key, func(id ring.ID) bool {
		return m.Join && id == m.OriginID || slices.Contains(tried, id)
	})
}

// dispatch sends a message to its next hop, or delivers it here. Hops that were
// silent are passed over, but not the root: as long as a leaf closer to the key
// is not known to be dead, nobody else may deliver, and the message is sent to
// it again.
func (n *RawNode) dispatch(t *transit) {
	m := t.in.Msg
	best := n.nextHopFor(m, nil)
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
		if hop = n.nextHopFor(m, t.tried); hop == nil {
			hop, t.tried = best, t.tried[:0]
		} else {
			n.stats.Reroutes++
		}
	}
	n.fillGap(m.Key, hop)
	if m.unsigned() && !n.ends(m, hop) {
		n.sign(t)
		return
	}
	n.transmit(t, n.peer(hop))
}

// ends reports whether a hop is expected to deliver a message. If so the secure
// channel to it is proof enough of the origin, and the signature is saved.
func (n *RawNode) ends(m *Routed, hop *Contact) bool {
	return hop.ID == m.Key || n.state == StateActive && n.leaves.Covers(m.Key)
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

// transmit hands the packet to a hop and waits for its acknowledgement.
func (n *RawNode) transmit(t *transit, hop *peerState) {
	if t.to == hop {
		n.stats.Resends++
		p := *t.pkt
		p.Acks = nil
		t.pkt = &p
	} else {
		t.to, t.tries, t.firstAt = hop, 0, n.now
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
	p.Seq, p.Acks = n.nextSeq(), nil
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
	n.cfg.Proximity.Observe(p.c, time.Duration(max(sample, 1)))
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

// suspect probes a hop that was silent. When it is the root of a key, the leaves
// next to the key that were not heard of late are probed as well: nodes that
// died together are found in the time of one.
func (n *RawNode) suspect(t *transit) {
	n.hurry(t.to)
	first := t.to.probe.tries == 1
	if first {
		t.to.probe.limit = max(1, n.cfg.ProbeTries-1) // what was not acknowledged counts as one
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
	p.probe = &probe{why: whyAlive, begun: n.now, limit: n.cfg.ProbeTries, hurry: true}
	n.sendProbe(p)
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
	ps := n.peers[to.ID]
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

// expire forgets what is over, and asks to be called again.
func (n *RawNode) expire() {
	n.relays.expire(n.now)
	n.deliveries.expire(n.now)
	n.answers.expire(n.now)
	for id, t := range n.forwarding { // order does not matter: each is judged alone
		if n.now >= t.expires { // the application said nothing
			delete(n.forwarding, id)
			n.stats.Drops[DropExpired]++
		}
	}
	for id, g := range n.dead { // order does not matter: each is judged alone
		if n.now-g.at > Time(quarantine) {
			delete(n.dead, id)
		}
	}
	n.sweep()
	n.due[timerExpire] = 0
	n.armExpire()
}

// armExpire makes expire be called in time, once there is something to expire.
func (n *RawNode) armExpire() {
	if n.due[timerExpire] == 0 && len(n.relays.m)+len(n.deliveries.m)+len(n.dead)+len(n.peers) > 0 {
		n.arm(timerExpire, memoryTime/4)
	}
}

// sweep forgets peers that no table, connection or question needs.
func (n *RawNode) sweep() {
	for id, p := range n.peers { // order does not matter: each is judged alone
		if p.connected || p.probe != nil || n.holds(id) || n.now-p.heard < Time(memoryTime) || n.granted(id) {
			continue
		}
		delete(n.peers, id)
		n.known.remove(id)
	}
}
