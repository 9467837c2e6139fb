package pastry

import (
	"cmp"
	"math"
	"slices"

	"github.com/secondbit/pastry/ring"
)

// Each of these methods, and of those in snapshotmessage.go, encodes one part of a
// node. A test holds their fields against those of the types.

func (e *snapshotter) life(n *RawNode) {
	e.contact(n.self)
	e.uint(uint64(n.state))
	e.bool(n.over)
	e.bool(n.handing)
	e.bool(n.closing)
	var apps []string
	for app := range n.apps { // order does not matter: sorted below
		apps = append(apps, app)
	}
	slices.Sort(apps)
	e.uint(uint64(len(apps)))
	for _, app := range apps {
		e.string(app)
	}
	var told []ring.ID
	for id := range n.farewell { // order does not matter: sorted below
		told = append(told, id)
	}
	e.idSet(told)
	e.uint(math.Float64bits(n.lossy))
	e.uint(uint64(n.strain()))
	if n.strain() > 0 {
		e.uint(uint64(n.strained))
		e.time(n.strainedAt)
	}
}

func (e *snapshotter) peers(n *RawNode) {
	all := make([]*peerState, 0, n.peers.len())
	for p := range n.peers.all() {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *peerState) int { return a.c.ID.Compare(b.c.ID) })
	e.uint(uint64(len(all)))
	e.uint(uint64(n.sweepAt))
	for _, p := range all {
		e.peer(n, p)
	}
}

func (e *snapshotter) peer(n *RawNode, p *peerState) {
	e.contact(p.c)
	e.uint(uint64(p.state))
	for _, v := range [...]bool{p.live, p.connected, p.handed, p.cutOff, p.known, p.compared == n.leaves.version} {
		e.bool(v)
	}
	e.time(p.heard)
	e.time(p.sent)
	e.time(p.told)
	e.rtt(p.rtt)
	e.ref(Ref{Kind: RefVersion, Of: p.c.ID, N: p.version})
	e.span(Time(p.period))
	e.uint(p.epoch)
	e.uint(uint64(len(n.owed[p])))
	for _, seq := range n.owed[p] {
		e.ref(Ref{Kind: RefSeq, Of: p.c.ID, N: seq})
	}
	if e.bool(p.probe != nil); p.probe != nil {
		e.probe(p.probe)
	}
}

func (e *snapshotter) rtt(r rtt) {
	e.bool(r.smoothed != 0)
	e.bool(r.least != 0)
	e.span(r.smoothed)
	e.span(r.variance)
	e.span(r.least)
}

func (e *snapshotter) probe(pr *probe) {
	e.own(pr.seq)
	e.uint(uint64(pr.why))
	e.uint(uint64(pr.want))
	e.int(int64(pr.row))
	e.time(pr.begun)
	e.uint(uint64(len(pr.sent)))
	for _, s := range pr.sent {
		e.own(s.seq)
		e.time(s.at)
	}
	e.time(pr.due)
	e.int(int64(pr.tries))
	e.int(int64(pr.limit))
	e.bool(pr.hurry)
	e.bool(pr.told)
	e.bool(pr.spare)
	e.int(int64(pr.excused))
	e.bool(pr.dialed)
}

func (e *snapshotter) tables(n *RawNode) {
	e.contacts(n.leaves.smaller)
	e.contacts(n.leaves.larger)
	e.contacts(n.table.AppendAll(nil))
	e.int(int64(n.table.Rows()))
	e.uint(uint64(len(n.hood.members)))
	for _, m := range n.hood.members {
		e.contact(m.c)
		e.span(m.at)
	}
	var dead []ring.ID
	for id := range n.dead { // order does not matter: sorted below
		dead = append(dead, id)
	}
	e.idSet(dead)
	for _, id := range dead {
		e.time(n.dead[id].at)
		e.uint(n.dead[id].epoch)
		e.bool(n.dead[id].doubted)
	}
	for _, g := range n.grants {
		e.own(g.ref)
		if g.ref != 0 {
			e.id(g.to)
			e.time(g.until)
		}
	}
}

func (e *snapshotter) joining(n *RawNode) {
	j := &n.join
	e.contacts(j.seeds)
	if e.uint(uint64(j.phase)); n.state != StateJoining {
		return
	}
	e.time(j.started)
	e.time(j.first)
	e.time(j.found)
	e.int(int64(j.round))
	e.int(int64(j.width))
	e.int(int64(j.seeking))
	e.peerRef(n, j.best)
	e.bool(j.improved)
	e.bool(j.alone)
	e.bool(j.sure)
	e.contactSet(j.pool)
	e.idSet(slices.Clone(j.asked))
	if e.bool(j.prospect != nil); j.prospect != nil {
		e.contacts(j.prospect.smaller)
		e.contacts(j.prospect.larger)
	}
	for _, l := range j.leases {
		e.id(l.from)
		e.time(l.at)
	}
	e.int(int64(j.asking))
	e.peerRef(n, j.giver)
	e.own(j.seq)
	e.time(j.sentAt)
	e.int(int64(j.tries))
	e.time(j.again)
}

// peerRef encodes whom a pointer means, and whether the node still knows it by
// that pointer.
func (e *snapshotter) peerRef(n *RawNode, p *peerState) {
	e.bool(p != nil)
	if p != nil {
		e.id(p.c.ID)
		e.bool(n.peers.get(p.c.ID) == p)
	}
}

func (e *snapshotter) upkeep(n *RawNode) {
	e.contacts(n.lost)
	e.int(int64(n.lostNext))
	e.contactSet(n.candidate)
	e.int(int64(n.asking))
	e.int(int64(len(n.leafProbes)))
	for _, rows := range [][]Time{n.rows.repaired, n.rows.filled} {
		e.uint(uint64(len(rows)))
		for _, t := range rows {
			e.time(t)
		}
	}
	e.int(int64(n.rows.exchanges))
	e.span(Time(n.rows.wait))
	t := &n.tuning
	e.span(Time(t.period))
	e.span(Time(t.own))
	e.time(t.since)
	e.uint(uint64(len(t.failures)))
	for _, at := range t.failures {
		e.time(at)
	}
	for _, s := range t.silent {
		e.bool(s)
	}
	e.int(int64(t.next))
	e.time(t.oldest)
	e.time(t.tuned)
	for _, d := range n.differs {
		e.id(d.with)
		e.uint(d.theirs)
		e.bool(d.mine == n.leaves.version)
		e.time(d.at)
	}
	e.time(n.leafDied)
	e.id(n.shown.to)
	e.time(n.shown.at)
	e.int(int64(n.exchanges % 4))
	e.bool(n.unshown)
	e.time(n.lookedUp)
	e.time(n.wary)
	e.holders(n)
}

// holders encodes who keeps this node in its tables, and the right neighbour.
func (e *snapshotter) holders(n *RawNode) {
	e.uint(uint64(len(n.holders.all)))
	for _, h := range n.holders.all {
		e.id(h.id)
		e.time(h.at)
	}
	e.ids(n.holders.changed)
	e.id(n.holders.said.to)
	e.uint(n.holders.said.held)
	e.uint(n.holders.said.digest)
	e.time(n.holders.saidAt)
	e.id(n.ward.id)
	e.uint(n.ward.epoch)
	e.ids(n.ward.ids)
}

// means reports whether a timer still means anything when it fires.
func (n *RawNode) means(t timer) bool {
	switch t.kind {
	case timerPending:
		p := n.pending[t.ref]
		return p != nil && p.due <= t.at
	case timerProbe:
		p := n.peers.get(t.id)
		return p != nil && p.probe != nil && p.probe.seq == t.ref && p.probe.due <= t.at
	case timerCall:
		return n.calls[t.msg] != nil
	case timerAck:
		p := n.peers.get(t.id)
		return p != nil && len(n.owed[p]) > 0
	case timerGrant:
		return slices.ContainsFunc(n.grants[:], func(g grant) bool { return g.ref == t.ref && g.to == t.id })
	case timerJoin:
		return t.ref == n.join.gen && n.state == StateJoining
	}
	return n.due[t.kind] == t.at
}

func (e *snapshotter) timers(n *RawNode) {
	ts := slices.DeleteFunc(slices.Clone(n.timers.a), func(t timer) bool { return !n.means(t) })
	grain := max(e.grain, 1)
	slices.SortFunc(ts, func(a, b timer) int {
		return cmp.Or(cmp.Compare((a.at+grain/2)/grain, (b.at+grain/2)/grain), cmp.Compare(a.kind, b.kind), a.id.Compare(b.id), cmp.Compare(a.seq, b.seq))
	})
	e.uint(uint64(len(ts)))
	for _, t := range ts {
		if e.Due == 0 || t.at < e.Due {
			e.Due = t.at
		}
		e.uint(uint64(t.kind))
		e.time(t.at)
		e.id(t.id)
		if t.kind == timerCall {
			e.message(t.msg, n.self.ID)
		}
		if t.kind == timerPending {
			e.own(t.ref)
		}
	}
	e.bool(n.due[timerExpire] != 0)
}
