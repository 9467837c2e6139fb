package pastry

import (
	"slices"

	"github.com/secondbit/pastry/ring"
)

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
	told  bool // somebody else told that it is dead
	spare bool // its end was put off for a message under way

	excused int  // how often the last try's time was prolonged because of a stall
	dialed  bool // a try was found to have left only when a connection was there
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

// triesSince returns how many tries were sent at a time or later.
func (p *probe) triesSince(at Time) int {
	n := 0
	for _, s := range p.sent {
		n += boolToInt(s.at >= at)
	}
	return n
}

// maxTries bounds the tries at a node that lives but does not answer.
const maxTries = 8

// ask probes a peer, or adds to the probe under way.
func (n *RawNode) ask(p *peerState, why purpose, want Want, row int) {
	pr := p.probe
	if pr == nil {
		p.probe = &probe{why: why, want: want, row: row, begun: n.now, limit: n.enoughTries()}
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
	if pr.want&WantLeaves != 0 && n.leaves.beside(p.c.ID) {
		pkt.Digest = n.leaves.overlap(n.leaves.isRight(p.c.ID))
	}
	n.send(p, pkt)
}

// probeDue is called when a probe's time may be over.
func (n *RawNode) probeDue(id ring.ID, seq uint64) {
	p := n.peers.get(id)
	if p == nil || p.probe == nil || p.probe.seq != seq || p.probe.due > n.now {
		return
	}
	if n.stalled(p.probe.due, &p.probe.excused) {
		p.probe.due = n.now + n.answerTime(p)
		n.timers.push(timer{at: p.probe.due, kind: timerProbe, id: id, ref: seq})
		return
	}
	heard := p.heard > p.probe.begun && p.probe.triesSince(p.heard) < max(p.probe.limit, 2)
	if p.probe.tries < p.probe.limit || heard && p.probe.tries < maxTries {
		n.sendProbe(p)
		return
	}
	if due := n.awaited(p); due > n.now && !heard && !p.probe.spare {
		p.probe.spare, p.probe.due = true, due
		n.timers.push(timer{at: due, kind: timerProbe, id: id, ref: seq})
		return
	}
	n.endProbe(p, heard)
}

// awaited returns until when the peer may acknowledge what was handed to it since
// the last try, zero if that is nothing. A message that has just left is one more
// try, and must not reach a live node after somebody else was given it.
func (n *RawNode) awaited(p *peerState) (due Time) {
	last := p.probe.sent[len(p.probe.sent)-1].at
	for _, t := range n.pending { // order does not matter: the latest is taken
		if t.to == p && t.tries == 1 && t.sentAt > last {
			due = max(due, t.due)
		}
	}
	return due
}

// probeLeft notes that the last try has left only now, after a dial, so that
// the round trip is measured and waited for from here. It does so once: a connection
// that comes and goes does not keep a silent node alive.
func (n *RawNode) probeLeft(p *peerState) {
	if p.probe.dialed {
		return
	}
	p.probe.dialed = true
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
		n.bury(p, pr.told)
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
			r.Contacts = n.leaves.shared()
		}
	}
	if p.Want&WantHood != 0 {
		r.Contacts = n.hood.AppendMembers(r.Contacts)
	}
	if p.Want&WantRow != 0 {
		r.Contacts = n.appendRow(r.Contacts, p.Row)
	}
	if p.Want&WantHolders != 0 {
		r.Holders = n.holders.ids()
	}
	if n.state == StateJoining && p.Want&WantHood != 0 {
		r.Contacts = n.appendJoiners(r.Contacts)
	}
	r.Contacts = r.Contacts[:min(len(r.Contacts), maxNamed)]
	n.send(from, r)
	n.compareSight(from, p.Digest, differPause/2)
	n.heardFrom(from)
	n.visited(from)
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
	n.answered(p.Seq == pr.sent[0].seq)
	from.period = p.Period
	// Names are only worth asking about when they come from somebody active.
	named := p.Contacts
	if p.Want&WantLeaves != 0 && from.state == StateActive {
		if from.version == p.Version && len(named) == 0 {
			from.compared = n.leaves.version
		} else {
			from.version, from.compared = p.Version, n.leaves.version
			if p.Want&^WantHolders == WantLeaves {
				n.missing(from, named)
			}
		}
	}
	if p.Want&WantHolders != 0 {
		n.onHolders(from, p)
	}
	n.name(named)
	n.endProbe(from, true)
	if from.state == StateActive {
		n.disagree(from, named)
		n.considerAll(named)
		if p.Want&^WantHolders == WantLeaves && n.leaves.Meet(from.c, named) {
			n.leavesChanged()
		}
	}
	n.joinStep()
}
