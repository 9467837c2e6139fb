package pastry

import (
	"cmp"
	"slices"

	"github.com/secondbit/pastry/ring"
)

func (e *snapshotter) messages(n *RawNode) {
	e.waiting(n)
	e.calls(n)
	e.transitsOf(n, n.forwarding)
	e.transitsOf(n, n.signing)
	e.relays(n)
	e.deliveries(n)
	e.uint(uint64(len(n.held)))
	for _, h := range n.held {
		e.contact(h.from)
		e.ref(Ref{Kind: RefSeq, Of: h.from.ID, N: h.pkt.Seq})
		e.packet(h.pkt)
	}
	e.uint(uint64(len(n.kept)))
	for _, t := range n.kept {
		e.transit(n, t)
	}
	e.rtt(n.reqRTT)
}

// waiting encodes what is not acknowledged.
func (e *snapshotter) waiting(n *RawNode) {
	var ts []*transit
	for _, t := range n.pending { // order does not matter: sorted below
		ts = append(ts, t)
	}
	slices.SortFunc(ts, func(a, b *transit) int {
		return cmp.Or(a.to.c.ID.Compare(b.to.c.ID), cmp.Compare(a.pkt.Seq, b.pkt.Seq))
	})
	e.uint(uint64(len(ts)))
	for _, t := range ts {
		e.transit(n, t)
	}
}

// transit encodes a transit the first time, later only which one it was.
func (e *snapshotter) transit(n *RawNode, t *transit) {
	if t == nil {
		e.uint(0)
		return
	}
	i := slices.Index(e.transits, t)
	if i >= 0 {
		e.uint(uint64(i + 1))
		return
	}
	e.transits = append(e.transits, t)
	e.uint(uint64(len(e.transits)))
	e.packet(t.in)
	if e.bool(t.pkt != nil); t.pkt != nil {
		e.own(t.pkt.Seq)
		e.packet(t.pkt)
	}
	e.peerRef(n, t.to)
	e.bool(t.fixed)
	e.bool(t.chosen)
	e.ids(t.tried)
	e.int(int64(t.tries))
	e.time(t.firstAt)
	e.time(t.sentAt)
	e.time(t.due)
	e.int(int64(t.excused))
	e.bool(t.dialed)
	e.time(t.expires)
	e.bool(t.done)
}

// byMessage orders what is kept by message without a look at the drawn ids: by
// what compare compares.
func byMessage[T any](m map[MessageID]T, compare func(a, b T) int) []MessageID {
	var ids []MessageID
	for id := range m { // order does not matter: sorted below
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b MessageID) int { return cmp.Or(compare(m[a], m[b]), slices.Compare(a[:], b[:])) })
	return ids
}

func (e *snapshotter) calls(n *RawNode) {
	ids := byMessage(n.calls, func(a, b *call) int { return cmp.Compare(a.started, b.started) })
	e.uint(uint64(len(ids)))
	for _, id := range ids {
		c := n.calls[id]
		e.routed(c.msg)
		e.time(c.deadline)
		e.time(c.started)
		e.uint(uint64(c.attempt))
		e.span(c.wait)
		e.transit(n, c.transit)
		e.contact(c.first)
		e.bool(c.done != nil)
		e.bool(c.started < n.tuning.since) // what done makes of the answer
	}
}

func (e *snapshotter) transitsOf(n *RawNode, m map[MessageID]*transit) {
	ids := byMessage(m, func(a, b *transit) int { return cmp.Compare(a.expires, b.expires) })
	e.uint(uint64(len(ids)))
	for _, id := range ids {
		e.transit(n, m[id])
	}
}

func (e *snapshotter) relays(n *RawNode) {
	expires := make(map[MessageID]Time)
	for _, m := range n.relays.fifo[n.relays.head:] {
		if n.relays.m[m.id] == m.v {
			expires[m.id] = m.expires
		}
	}
	ids := byMessage(n.relays.m, func(a, b *relay) int {
		return cmp.Or(a.prev.ID.Compare(b.prev.ID), cmp.Compare(a.attempt, b.attempt))
	})
	e.uint(uint64(len(ids)))
	for _, id := range ids {
		r := n.relays.m[id]
		e.message(id, ring.ID{})
		e.contact(r.prev)
		e.uint(uint64(r.attempt))
		e.transit(n, r.transit)
		e.time(expires[id])
	}
}

func (e *snapshotter) deliveries(n *RawNode) {
	n.deliveries.each(func(id MessageID, d *delivery) bool {
		e.message(id, ring.ID{})
		e.id(d.key)
		e.string(string(d.by))
		e.string(string(d.origin))
		e.id(d.originID)
		e.int(int64(d.hops))
		e.path(d.path)
		if e.bool(d.answer != nil); d.answer != nil {
			e.answer(d.answer)
		}
		e.contact(d.prev)
		return true
	})
	for _, m := range n.deliveries.fifo[n.deliveries.head:] {
		e.time(m.expires)
	}
	for _, a := range n.answers.fifo {
		e.int(int64(a.size))
		e.time(a.expires)
	}
}
