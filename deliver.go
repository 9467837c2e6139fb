package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

const (
	firstRetry = 3 * time.Second        // before anything is known of whole requests
	minRetry   = 500 * time.Millisecond // between two sends of a message by its origin
)

// call is a message of this node's own whose answer is waited for.
type call struct {
	msg      *Routed
	deadline Time
	started  Time
	attempt  uint32
	wait     Time     // until the next send by the origin
	transit  *transit // on its way to the first hop, nil while the node is not active
	first    *Contact // the first hop if it was chosen: always for a join, else for the first try
	done     func(*Answer)
}

// delivery is a message that was delivered, here or by the node that was root
// before.
type delivery struct {
	key      ring.ID
	by       PeerID // another node, empty for this one
	origin   PeerID
	originID ring.ID
	hops     int
	path     []PeerID
	answer   *Answer // nil while the application has not answered
	prev     *Contact
}

// startCall sends a message of this node's own.
func (n *RawNode) startCall(m *Routed, ttl time.Duration, first *Contact) {
	if m.Replicas > 1 {
		where := *m
		where.Coord = n.self.Coord
		m = &where
	}
	c := &call{msg: m, wait: Time(firstRetry), first: first}
	if n.reqRTT.smoothed > 0 {
		c.wait = n.reqRTT.timeout(Time(minRetry), Time(firstRetry)) * 2
	}
	n.begin(c, ttl)
}

func (n *RawNode) begin(c *call, ttl time.Duration) {
	c.started, c.deadline = n.now, n.now+Time(min(ttl, maxTTL))
	n.calls[c.msg.ID] = c
	n.attempt(c)
}

// attempt sends the message of a call, or lets it wait until the node is ready.
func (n *RawNode) attempt(c *call) {
	direct := c.first != nil && (c.attempt == 0 || c.msg.Join)
	ready := n.state == StateActive || n.state == StateClient || direct
	if ready {
		c.transit = &transit{expires: c.deadline, in: &Packet{Kind: KindRoute, Msg: c.msg, Attempt: c.attempt,
			TTL: time.Duration(c.deadline - n.now)}}
	}
	n.timers.push(timer{at: min(c.deadline, n.now+c.wait), kind: timerCall, msg: c.msg.ID})
	switch {
	case !ready:
	case direct:
		c.transit.fixed = true
		n.transmit(c.transit, n.peer(c.first))
	default:
		n.dispatch(c.transit)
	}
}

// callDue sends a message again whose answer does not come, or gives it up.
func (n *RawNode) callDue(id MessageID) {
	c := n.calls[id]
	if c == nil {
		return
	}
	if n.now >= c.deadline {
		n.finishCall(id, &Answer{ID: id, Origin: n.self.Peer, OriginID: n.self.ID, Code: CodeTimeout}, nil)
		return
	}
	if d := n.deliveries.get(id); d != nil && d.by == "" || c.transit == nil || !c.transit.done {
		n.timers.push(timer{at: min(c.deadline, n.now+c.wait), kind: timerCall, msg: id})
		return
	}
	c.wait *= 2
	c.attempt++
	n.stats.Retries++
	n.attempt(c)
}

// resumeCalls sends what waited for the node to become active.
func (n *RawNode) resumeCalls() {
	var waiting []*call
	for _, c := range n.calls { // order does not matter: sorted below
		if c.transit == nil {
			waiting = append(waiting, c)
		}
	}
	slices.SortFunc(waiting, func(a, b *call) int { return slices.Compare(a.msg.ID[:], b.msg.ID[:]) })
	for _, c := range waiting {
		n.attempt(c)
	}
}

// finishCall hands the answer, and who brought it, to whoever called.
func (n *RawNode) finishCall(id MessageID, a *Answer, from *Contact) {
	c := n.calls[id]
	if c == nil {
		return
	}
	delete(n.calls, id)
	delete(n.signing, id)
	if c.transit != nil && !c.transit.done && c.transit.pkt != nil && a.Code != CodeOK {
		n.giveUp(c.transit)
	}
	if a.Code == CodeOK && c.attempt == 0 {
		n.reqRTT.observe(n.now - c.started)
	}
	if c.done != nil {
		c.done(a)
		return
	}
	n.emit(Action{Kind: ActReceipt, Answer: a, To: from})
}

// deliver gives a message to its application, once.
func (n *RawNode) deliver(p *Packet) {
	m := p.Msg
	var prev *Contact
	if r := n.relays.get(m.ID); r != nil {
		prev = r.prev
	}
	if d := n.deliveries.get(m.ID); d != nil {
		n.deliveredBefore(d, prev, p)
		return
	}
	d := &delivery{key: m.Key, origin: m.Origin, originID: m.OriginID, hops: p.Hops, path: append(slices.Clip(p.Path), n.self.Peer), prev: prev}
	n.deliveries.add(m.ID, d, n.now+Time(maxTTL+memoryTime))
	n.armExpire()
	n.emit(Action{Kind: ActDeliver, To: prev, Msg: m, Hops: p.Hops, Path: d.path, TTL: min(p.TTL, maxTTL)})
}

// delivered sends back what the application answered. A forged message is
// forgotten, so that it cannot stand in the way of a true one with its id.
func (n *RawNode) delivered(in Input) {
	d := n.deliveries.get(in.ID)
	if d == nil || d.answer != nil {
		return
	}
	d.answer = &Answer{ID: in.ID, Origin: d.origin, OriginID: d.originID, Root: n.self.Peer, Code: in.Code,
		Hops: d.hops, Path: d.path, Payload: in.Payload, Auth: in.Auth}
	n.answers.keep(d, n.now+Time(maxTTL+memoryTime))
	if in.Code == CodeForged {
		n.stats.Drops[DropForged]++
		n.deliveries.forget(in.ID)
	}
	n.answerDelivery(d)
	if in.Code == CodeForged {
		n.relays.forget(in.ID)
	}
}

// answerDelivery sends what the application answered. Straight to the origin
// the secure channel vouches for it; through others it must be signed.
func (n *RawNode) answerDelivery(d *delivery) {
	if unsigned(d.answer) && d.originID != n.self.ID && (d.prev == nil || d.prev.ID != d.originID) {
		n.emit(Action{Kind: ActVouch, Answer: d.answer})
		return
	}
	n.answer(d.answer, d.prev)
}

func unsigned(a *Answer) bool {
	return a.Auth == nil && (a.Code == CodeOK || a.Code == CodeAppError) && a.Contacts == nil
}

// vouched sends an answer that has been signed.
func (n *RawNode) vouched(id MessageID, auth []byte) {
	d := n.deliveries.get(id)
	if d == nil || d.answer == nil {
		return
	}
	a := *d.answer
	if a.Auth = auth; auth == nil {
		a.Auth = []byte{}
	}
	d.answer = &a
	n.answer(d.answer, d.prev)
}

// deliveredBefore handles a message that was delivered: the answer goes back
// again by the way the message came now.
func (n *RawNode) deliveredBefore(d *delivery, from *Contact, p *Packet) {
	n.stats.Drops[DropDuplicate]++
	d.prev = from
	switch by := n.peers.get(ringID(d.by)); {
	case d.answer != nil:
		n.answerDelivery(d)
	case d.by == "": // the application has not answered yet
	case p.Hops >= n.cfg.HopLimit: // nodes that name each other
		n.stats.Drops[DropHopLimit]++
		n.fail(p, CodeHopLimit)
	case by != nil && !n.isDead(by) && by.state != StateLeaving && (from == nil || by.c.ID != from.ID):
		n.transmit(&transit{in: p, fixed: true, expires: n.now + Time(min(p.TTL, maxTTL))}, by)
	default:
		n.fail(p, CodeDuplicate)
	}
}

// fail tells the origin of a message that it ends here, and why.
func (n *RawNode) fail(p *Packet, code Code) {
	m := p.Msg
	a := &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID, Root: n.self.Peer, Code: code,
		Hops: p.Hops, Path: append(slices.Clip(p.Path), n.self.Peer)}
	var prev *Contact
	if r := n.relays.get(m.ID); r != nil {
		prev = r.prev
	}
	n.answer(a, prev)
}

// answer sends an answer on its way to the origin, through prev if there is one.
func (n *RawNode) answer(a *Answer, prev *Contact) {
	if a.OriginID == n.self.ID {
		n.finishCall(a.ID, a, nil)
		return
	}
	t := &transit{in: &Packet{Kind: KindReply, Answer: a}, expires: n.now + Time(memoryTime)}
	if prev != nil {
		n.transmit(t, n.peer(prev))
		return
	}
	n.redirectReply(t)
}

// onReply passes an answer on towards the origin of the message.
func (n *RawNode) onReply(from *peerState, p *Packet) {
	a := p.Answer
	if a.OriginID == n.self.ID {
		n.ackLater(from, p.Seq)
		n.finishCall(a.ID, a, from.c)
		return
	}
	if n.overloaded() {
		return
	}
	n.ackLater(from, p.Seq)
	if p.Hops >= n.cfg.HopLimit {
		n.stats.Drops[DropHopLimit]++
		return
	}
	t := &transit{in: p, expires: n.now + Time(memoryTime)}
	if r := n.relays.get(a.ID); r != nil && r.prev.ID != from.c.ID {
		n.transmit(t, n.peer(r.prev))
		return
	}
	n.redirectReply(t)
}

// redirectReply finds another way for an answer whose way back is silent: the
// same hop a few times, then straight to the origin if it is a neighbour, then
// by the origin's key.
func (n *RawNode) redirectReply(t *transit) {
	if t.to != nil && !n.isDead(t.to) && t.tries < maxReplyTry {
		n.transmit(t, t.to)
		return
	}
	a := t.in.Answer
	if origin := n.peers.get(a.OriginID); origin != nil && !n.isDead(origin) && !slices.Contains(t.tried, a.OriginID) {
		n.transmit(t, origin)
		return
	}
	if d := n.deliveries.get(a.ID); d != nil && d.answer == a && unsigned(a) {
		n.giveUpReply(t)
		d.prev = nil
		n.answerDelivery(d)
		return
	}
	next := n.nextHop(a.OriginID, func(id ring.ID) bool { return slices.Contains(t.tried, id) })
	if next == nil {
		n.giveUpReply(t)
		return
	}
	n.transmit(t, n.peer(next))
}

func (n *RawNode) giveUpReply(t *transit) {
	if t.pkt != nil {
		n.giveUp(t)
	}
	t.done = true
	n.stats.Drops[DropNoReplyWay]++
}

// handover returns the messages delivered of late of which the node at id may
// become root: those whose keys are closer to it than to this one, or all when
// this one leaves.
func (n *RawNode) handover(id ring.ID) []Delivery {
	var ds []Delivery
	n.deliveries.each(func(m MessageID, d *delivery) bool {
		if n.closing || ring.Closer(d.key, id, n.self.ID) {
			by := d.by
			if by == "" {
				by = n.self.Peer
			}
			ds = append(ds, Delivery{ID: m, Key: d.key, By: by})
		}
		return len(ds) < maxHandover
	})
	return ds
}

// maxHandover bounds how many deliveries are named to a new root.
const maxHandover = 4096

// takeOver remembers what a former root delivered, so that a late copy is not
// delivered again.
func (n *RawNode) takeOver(ds []Delivery) {
	for _, d := range ds[:min(len(ds), maxHandover)] {
		if n.deliveries.get(d.ID) == nil {
			n.deliveries.add(d.ID, &delivery{key: d.Key, by: d.By}, n.now+Time(maxTTL+memoryTime))
		}
	}
	n.armExpire()
}
