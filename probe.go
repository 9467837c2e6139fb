package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// quarantine is how long hearsay about a node that was found dead is ignored. A
// word from the node itself ends it at once.
const quarantine = time.Minute

// purpose tells why a node is probed; several may come together.
type purpose uint8

const (
	whyAlive    purpose = 1 << iota // it was silent
	whyLeaf                         // to let it into the leaf set
	whyTable                        // to let it into the table, if it is near
	whySeek                         // to find a nearby member to join through
	whyExchange                     // to compare tables
	whyLost                         // to see whether a lost part of the ring is back
	whyTell                         // so that it learns what this node is
	whyGrant                        // to see what became of a joiner
)

// probe is a question to which the answer is outstanding.
type probe struct {
	seq   uint64 // of the last try
	why   purpose
	want  Want
	row   int
	begun Time
	sent  []sending // the tries so far
	due   Time      // when the last try's time is over
	tries int
	limit int  // tries after which the node counts as dead
	hurry bool // a message waits for the outcome

	excused int // how often the last try's time was prolonged because of a stall
}

type sending struct {
	seq uint64
	at  Time
}

// sentAt returns when the try with this number was sent.
func (p *probe) sentAt(seq uint64) (Time, bool) {
	for _, s := range p.sent {
		if s.seq == seq {
			return s.at, true
		}
	}
	return 0, false
}

// maxTries bounds the tries at a node that lives but does not answer.
const maxTries = 8

// ask probes a peer, or adds to the probe under way.
func (n *RawNode) ask(p *peerState, why purpose, want Want, row int) {
	pr := p.probe
	if pr == nil {
		p.probe = &probe{why: why, want: want, row: row, begun: n.now, limit: n.cfg.ProbeTries}
		n.count(p, why, 1)
		n.sendProbe(p)
		return
	}
	n.count(p, why&^pr.why, 1)
	pr.why |= why
	if more := want &^ pr.want; more != 0 {
		pr.want, pr.row = pr.want|want, row
		pr.tries, pr.sent = min(pr.tries, pr.limit-1), nil
		n.sendProbe(p)
	}
}

// count keeps account of the probes whose outcome is waited for.
func (n *RawNode) count(p *peerState, why purpose, by int) {
	switch {
	case why&whyLeaf == 0:
	case by > 0:
		n.leafProbes = append(n.leafProbes, p)
	default:
		n.leafProbes = slices.DeleteFunc(n.leafProbes, func(o *peerState) bool { return o == p })
	}
	if why&whyTable != 0 {
		n.asking += by
	}
}

func (n *RawNode) sendProbe(p *peerState) {
	pr := p.probe
	pr.tries, pr.excused = pr.tries+1, 0
	pr.seq = n.nextSeq()
	pr.sent = append(pr.sent, sending{pr.seq, n.now})
	pr.due = n.now + n.probeWait(p)
	n.timers.push(timer{at: pr.due, kind: timerProbe, id: p.c.ID, ref: pr.seq})
	pkt := &Packet{Kind: KindProbe, Seq: pr.seq, Want: pr.want, Row: pr.row}
	if pr.want == WantLeaves && p.version != 0 && p.compared == n.leaves.version {
		pkt.Version = p.version
	}
	n.send(p, pkt)
}

// answerTime returns how long the answer to a probe may take. Where a dial comes
// first, that must fit. A strained node is more patient, since others' answers
// may be waiting for its own processor.
func (n *RawNode) answerTime(p *peerState) Time {
	least, dial := Time(n.cfg.MinProbeTimeout), Time(n.cfg.ProbeTimeout)
	if p.rtt.smoothed == 0 || p.cutOff {
		return dial << n.strain()
	}
	return p.rtt.timeout(least, dial) << n.strain()
}

// probeWait returns how long to wait after a try. While a message waits for the
// outcome, the next try goes out after half the time an answer may take, so that
// a lost packet does not double the time in which a dead node is found. With
// nothing to hurry for, a node gets twice the time to answer.
func (n *RawNode) probeWait(p *peerState) Time {
	wait, pr := n.answerTime(p), p.probe
	switch {
	case p.rtt.smoothed == 0 || p.cutOff:
		return wait
	case !pr.hurry:
		return 2 * wait
	case pr.tries < pr.limit:
		return wait / 2
	}
	return wait
}

const (
	maxStrain  = 3                     // doublings of patience
	strainTime = 20 * time.Second      // after which one doubling is taken back
	stallTime  = 25 * time.Millisecond // lateness of a timer that tells of a stall
	maxExcuses = 4                     // waits prolonged in a row because of stalls
)

// strain returns by how many doublings the node is more patient than it would
// be on a machine at ease: one for every time of late that somebody who seemed
// dead was not. The idea is from Dadgar, Phillips and Currey's Lifeguard (2018).
func (n *RawNode) strain() int {
	return max(0, n.strained-int((n.now-n.strainedAt)/Time(strainTime)))
}

// hasty notes that somebody was suspected wrongly.
func (n *RawNode) hasty() {
	n.strained, n.strainedAt = min(n.strain()+1, maxStrain), n.now
}

// stalled reports whether the node itself comes late to what was due, as after
// its process or its clock stood still: then nobody else is to blame yet. A node
// that is always late cannot excuse others for ever.
func (n *RawNode) stalled(due Time, excused *int) bool {
	if n.now-due <= Time(stallTime) || *excused == maxExcuses {
		return false
	}
	*excused++
	return true
}

// probeDue is called when a probe's time may be over.
func (n *RawNode) probeDue(id ring.ID, seq uint64) {
	p := n.peers[id]
	if p == nil || p.probe == nil || p.probe.seq != seq || p.probe.due > n.now {
		return
	}
	if n.stalled(p.probe.due, &p.probe.excused) {
		p.probe.due = n.now + n.answerTime(p)
		n.timers.push(timer{at: p.probe.due, kind: timerProbe, id: id, ref: seq})
		return
	}
	heard := p.heard > p.probe.begun
	if p.probe.tries < p.probe.limit || heard && p.probe.tries < maxTries {
		n.sendProbe(p)
		return
	}
	n.endProbe(p, heard)
}

// probeLeft notes that the last try has left only now, after a dial, so that
// the round trip is measured and waited for from here.
func (n *RawNode) probeLeft(p *peerState) {
	last := &p.probe.sent[len(p.probe.sent)-1]
	p.probe.due += n.now - last.at
	last.at = n.now
	n.timers.push(timer{at: p.probe.due, kind: timerProbe, id: p.c.ID, ref: last.seq})
}

// probeFailed cuts short the wait for a probe that could not be sent.
func (n *RawNode) probeFailed(p *peerState, seq uint64) {
	if p.probe == nil || p.probe.seq != seq {
		return
	}
	p.probe.due = min(p.probe.due, n.now+Time(n.cfg.MinProbeTimeout)/2)
	n.timers.push(timer{at: p.probe.due, kind: timerProbe, id: p.c.ID, ref: seq})
}

// endProbe ends the probe of a peer with what it showed.
func (n *RawNode) endProbe(p *peerState, alive bool) {
	pr := p.probe
	p.probe = nil
	n.count(p, pr.why, -1)
	if alive {
		n.stats.ProbeAlive++
		p.live = true
		n.admit(p)
	} else {
		n.stats.ProbeDead++
		n.bury(p)
	}
	n.probed(p, pr.why, alive)
}

// probed tells whoever waited for the outcome of a probe.
func (n *RawNode) probed(p *peerState, why purpose, alive bool) {
	if why&whyTable != 0 {
		n.pumpCandidates()
	}
	if why&whyLeaf != 0 && !alive {
		n.leafRefused()
	}
	if why&whyLost != 0 && alive {
		n.found(p)
	}
	if why&whyGrant != 0 && alive {
		n.settleGrant(p)
	}
	n.joinProbed(p, why, alive)
}

// onProbe answers a probe.
func (n *RawNode) onProbe(from *peerState, p *Packet) {
	r := &Packet{Kind: KindProbeReply, Seq: p.Seq, Want: p.Want, Row: p.Row, Period: n.tuning.own}
	if p.Want&WantLeaves != 0 {
		r.Version = n.leaves.version + 1 // zero is no version
		if p.Version != r.Version {
			r.Contacts = n.leaves.AppendMembers(r.Contacts)
		}
	}
	if p.Want&WantHood != 0 {
		r.Contacts = n.hood.AppendMembers(r.Contacts)
	}
	if p.Want&WantRow != 0 {
		r.Contacts = n.table.AppendRow(r.Contacts, p.Row)
	}
	n.send(from, r)
	n.heardFrom(from)
}

// heardFrom lets a node that shows itself into the tables it belongs to, after
// a probe of this node's own.
func (n *RawNode) heardFrom(p *peerState) {
	if p.state == StateActive && !p.c.Client && p.probe == nil {
		n.consider(p.c)
	}
}

// onProbeReply takes in the answer to a probe.
func (n *RawNode) onProbeReply(from *peerState, p *Packet) {
	pr := from.probe
	if pr == nil {
		n.heardFrom(from)
		return
	}
	sentAt, ok := pr.sentAt(p.Seq)
	if !ok {
		return // the answer to an earlier, smaller question
	}
	if n.now-sentAt > n.answerTime(from) {
		n.hasty()
	}
	n.measured(from, n.now-sentAt)
	from.period = p.Period
	// Names are only worth asking about when they come from somebody active.
	named := p.Contacts
	if p.Want&WantLeaves != 0 && from.state == StateActive {
		if from.version == p.Version && len(named) == 0 {
			from.compared = n.leaves.version
		} else {
			from.version, from.compared = p.Version, n.leaves.version
			if p.Want == WantLeaves {
				n.missing(from, named)
			}
		}
	}
	n.name(named)
	n.endProbe(from, true)
	for _, c := range named {
		if n.quarantined(c) {
			from.version = 0 // have it named again when the quarantine is over
		}
	}
	n.considerAll(named)
	n.joinStep()
}

// missing probes those members of this node's leaf set that a neighbour should
// have in its own and does not name: it may know that they are dead.
func (n *RawNode) missing(from *peerState, named []*Contact) {
	if len(named) == 0 {
		return
	}
	theirs := NewLeafSet(from.c.ID, n.cfg.LeafSetSize)
	for _, c := range named {
		theirs.Insert(c)
	}
	for _, c := range n.leaves.AppendMembers(nil) {
		ps := n.peers[c.ID]
		if theirs.Wants(c.ID) && ps != nil && n.now-ps.heard > Time(n.cfg.MinProbeTimeout) {
			n.ask(ps, whyAlive, 0, 0)
		}
	}
}

// consider decides whether a node that was named, or showed itself, is worth a
// probe, and lets it in at once when it is known to be alive.
func (n *RawNode) consider(c *Contact) {
	if c.ID == n.self.ID || c.Client {
		return
	}
	ps := n.peers[c.ID]
	if ps != nil && ps.usable() && n.now-ps.heard < Time(n.cfg.Heartbeat) {
		n.admit(ps)
		return
	}
	if n.quarantined(c) {
		return
	}
	if ps != nil && ps.state == StateLeaving && c.Epoch <= ps.epoch {
		return
	}
	switch {
	case n.state == StateJoining:
		n.considerJoining(c)
	case n.state != StateClient && n.wantsLeaf(c.ID):
		n.ask(n.peer(c), whyLeaf, WantLeaves, 0)
	case n.table.Contains(c.ID):
	case n.worthTable(c):
		n.addCandidate(c)
	}
}

// considerAll considers nodes that were named, the nearest on the ring first, so
// that no more are probed than the leaf set has room for.
func (n *RawNode) considerAll(named []*Contact) {
	named = slices.Clone(named)
	sortByDistance(named, n.self.ID)
	for _, c := range named {
		n.consider(c)
	}
}

// wantsLeaf reports whether a node would be in the leaf set if it and all that
// are being probed for it were alive.
func (n *RawNode) wantsLeaf(id ring.ID) bool {
	if !n.leaves.Wants(id) {
		return false
	}
	var nearer [2]int // on the smaller, on the larger side
	for _, p := range n.leafProbes {
		for side, up := range [2]bool{false, true} {
			if n.leaves.walk(up, p.c.ID).Compare(n.leaves.walk(up, id)) < 0 {
				nearer[side]++
			}
		}
	}
	return n.leaves.wantsBehind(false, id, nearer[0]) || n.leaves.wantsBehind(true, id, nearer[1])
}

// worthTable reports whether the entry of c is empty, or c is predicted to be
// clearly nearer than its primary.
func (n *RawNode) worthTable(c *Contact) bool {
	primary := n.table.Primary(c.ID)
	if primary == nil {
		return true
	}
	d, ok := n.predict(c)
	return ok && d < n.distance(primary)*4/5
}

const (
	maxAsking     = 4   // table candidates probed at once
	maxCandidates = 256 // waiting
)

func (n *RawNode) addCandidate(c *Contact) {
	same := func(o *Contact) bool { return o.ID == c.ID }
	if len(n.candidate) < maxCandidates && !slices.ContainsFunc(n.candidate, same) {
		n.candidate = append(n.candidate, c)
		n.pumpCandidates()
	}
}

// pumpCandidates probes table candidates, a few at a time, nothing while the
// node still joins: the leaf set goes first.
func (n *RawNode) pumpCandidates() {
	for (n.state != StateJoining || n.self.Client) && n.asking < maxAsking && len(n.candidate) > 0 {
		c := n.candidate[0]
		n.candidate = n.candidate[1:]
		if !n.table.Contains(c.ID) && n.worthTable(c) {
			n.ask(n.peer(c), whyTable, 0, 0)
		}
	}
}

// admit lets a peer that is alive into every table it belongs to.
func (n *RawNode) admit(p *peerState) {
	if !p.usable() {
		n.stats.Refused++
		return
	}
	n.known.insert(p)
	d := n.distance(p.c)
	n.table.Insert(p.c, n.distance)
	if n.hood.Wants(d) || n.hood.Contains(p.c.ID) {
		n.hood.Insert(p.c, d)
	}
	if !n.self.Client && n.leaves.Insert(p.c) && n.state == StateActive {
		n.emit(Action{Kind: ActJoined, To: p.c})
		n.leavesChanged()
	}
}

// evict takes a peer out of every table without calling it dead.
func (n *RawNode) evict(p *peerState) {
	id := p.c.ID
	n.known.remove(id)
	n.hood.Remove(id)
	_, emptied := n.table.Remove(id)
	if n.leaves.Get(id) != nil {
		n.removeLeaf(id)
	}
	if emptied {
		n.repairRow(id)
	}
	n.reroute(p)
}

// bury records that a peer is dead, and makes good what it leaves behind.
func (n *RawNode) bury(p *peerState) {
	id := p.c.ID
	wasLeaf, held := n.leaves.Get(id) != nil, n.holds(id)
	p.live = false
	n.dead[id] = grave{at: n.now, epoch: max(p.epoch, p.c.Epoch)}
	n.armExpire()
	n.releaseGrant(id)
	if held {
		n.tuning.failed(n.now)
		n.mourn(p.c)
		n.emit(Action{Kind: ActGone, To: p.c})
	}
	n.evict(p)
	if wasLeaf && n.state == StateActive {
		n.tellSuspect(id)
		n.send(p, &Packet{Kind: KindSuspect, Suspects: []ring.ID{id}}) // if it lives, let it object
	}
	n.emit(Action{Kind: ActForget, To: p.c})
	if !p.connected {
		delete(n.peers, id)
	}
}

// gone takes leave of a peer that says it goes.
func (n *RawNode) gone(p *peerState) {
	if n.holds(p.c.ID) {
		n.emit(Action{Kind: ActGone, To: p.c, Code: CodeNotActive})
	}
	p.live = false
	n.releaseGrant(p.c.ID)
	n.evict(p)
}

// quarantined reports whether hearsay about a node is ignored.
func (n *RawNode) quarantined(c *Contact) bool {
	g, dead := n.dead[c.ID]
	return dead && c.Epoch <= g.epoch
}

func (n *RawNode) isDead(p *peerState) bool {
	_, dead := n.dead[p.c.ID]
	return dead
}

// tellSuspect tells the leaf set that a leaf is dead. Each confirms it with a
// probe of its own.
func (n *RawNode) tellSuspect(id ring.ID) {
	for _, c := range n.leaves.AppendMembers(nil) {
		n.send(n.peer(c), &Packet{Kind: KindSuspect, Suspects: []ring.ID{id}})
	}
}

// onSuspect confirms what a neighbour believes to be dead. Since somebody has
// found it silent before, one try less is enough; as that took a while, one heard
// a moment ago cannot be meant.
func (n *RawNode) onSuspect(from *peerState, p *Packet) {
	for _, id := range p.Suspects {
		if id == n.self.ID { // show that it is wrong
			n.ask(from, whyTell, 0, 0)
			continue
		}
		ps := n.peers[id]
		if ps == nil || id == from.c.ID || !n.holds(id) || ps.probe != nil || n.now-ps.heard < Time(n.cfg.MinProbeTimeout)/2 {
			continue
		}
		n.hurry(ps)
		ps.probe.limit = max(1, n.cfg.ProbeTries-1)
	}
}
