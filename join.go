package pastry

import (
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// Joining goes through these phases; each ends by itself or by its timer, and
// the whole starts over when JoinTimeout has passed.
type joinPhase uint8

const (
	joinNone   joinPhase = iota
	joinSeek             // find a nearby member
	joinLookup           // route a join to the own id
	joinLeaves           // probe every leaf
	joinGrant            // get both neighbours' grants
)

const (
	seekWidth  = 8                    // nodes probed in a round of seeking, more while none was a member
	seekRounds = 4                    // rounds at the most that a member is known
	nearEnough = 2 * time.Millisecond // round trip at which seeking ends
	retryPause = 500 * time.Millisecond

	askedPause    = 50 * time.Millisecond // more before the next attempt, for each that was asked if none was reached
	maxRetryPause = 30 * time.Second
	foundTime     = 3 * time.Second // without a member, after which a ring may be begun
	deferTime     = time.Minute     // given to each joiner with a smaller id to do so
	joinersNamed  = 8               // in a joiner's answer to a probe

	maxPool  = 1024 // contacts a joiner keeps in mind
	maxNamed = 768  // contacts in the answer to a probe, and those a join gathers on its way, the root's leaf set not counted
)

// joining is what a joiner knows of its progress.
type joining struct {
	phase   joinPhase
	gen     uint64 // of the step's timer
	started Time   // of this attempt
	first   Time   // since when others are heard of, but no member
	found   Time   // when the first member was found, in this attempt
	seeds   []*Contact

	round    int
	width    int // how many are probed in a round
	seeking  int // outcomes of seek probes to wait for
	best     *peerState
	improved bool
	alone    bool       // nobody was reached: there is time until the next attempt
	sure     bool       // all joiners were asked once more before this one begins a ring
	pool     []*Contact // whom the joiner heard of
	places   placeByID  // of pool
	asked    []ring.ID  // whom it probed to find a near one

	prospect *LeafSet   // what the leaf set will be if everybody named is alive
	leases   [2]lease   // of the place beside the left, beside the right neighbour
	asking   int        // side whose grant is asked for
	giver    *peerState // who is asked for it
	seq      uint64     // of that question
	sentAt   Time
	tries    int
	again    Time // when giver, who has refused, may be asked again
}

// lease is a neighbour's grant as the joiner holds it.
type lease struct {
	from ring.ID
	at   Time // when it was asked for
}

// fresh reports whether the lease is one by which the node may become active.
// It must be younger than a death takes to be found, and that is well below what the
// grant is long: should the neighbour that gave it die, the next one, which does not
// know of it, takes the joiner's keys for its own as soon as it has found out. Two
// round trips are what the other neighbour may take to grant; one that is slower has
// this lease asked for again, and is the younger one then.
func (n *RawNode) fresh(l lease, from *Contact) bool {
	age := n.now - l.at
	limit := Time(n.cfg.MinProbeTimeout) + 2*n.peer(from).rtt.smoothed
	return l.at != 0 && l.from == from.ID && age <= limit && age < Time(n.cfg.GrantLease)*9/10
}

// holding reports whether some neighbour may already send messages for the
// joiner's keys.
func (j *joining) holding() bool { return j.phase == joinGrant }

// startJoin begins to join the ring through any of contacts; without any, the
// node is the first of a ring. A node that joins already takes them as more that it
// knows, and one that is in a ring as members of another part of it. A node that has
// left stays out: others know that this incarnation is over.
func (n *RawNode) startJoin(contacts []*Contact) {
	if n.over {
		return
	}
	switch n.state {
	case StateActive, StateClient:
		n.startMerge(contacts)
		return
	case StateLeaving:
		return
	}
	joins := n.state == StateJoining
	n.setState(StateJoining)
	switch {
	case len(contacts) == 0 && !n.self.Client:
		n.join = joining{gen: n.join.gen}
		n.armExpire()
		n.activate()
	case joins:
		for _, c := range contacts {
			n.join.addSeed(c)
		}
		if n.join.phase == joinNone {
			n.seek()
		}
	default:
		n.join = joining{first: n.now, gen: n.join.gen, seeds: slices.Clone(contacts)}
		n.armExpire()
		n.seek()
	}
}

// maxSeeds is how many contacts given to join through a node keeps.
const maxSeeds = 4 * maxPool

// addSeed adds a contact to those that an attempt begins with, or newer words about one.
func (j *joining) addSeed(c *Contact) {
	i := slices.IndexFunc(j.seeds, func(o *Contact) bool { return o.ID == c.ID })
	switch {
	case i < 0 && len(j.seeds) < maxSeeds:
		j.seeds = append(j.seeds, c)
	case i >= 0 && (c.Epoch > j.seeds[i].Epoch || len(j.seeds[i].Record) == 0):
		j.seeds[i] = c
	}
	if j.phase == joinSeek {
		j.hear(c)
	}
}

// step sets the timer of the present step, replacing the former.
func (n *RawNode) step(d time.Duration) {
	n.join.gen++
	n.after(Time(d), timer{kind: timerJoin, ref: n.join.gen})
}

// addRows adds to a join that passes the rows this node can give: those the
// joiner shares with it, from the first that no hop before could.
func (n *RawNode) addRows(p *Packet) {
	last := ring.SharedPrefixLen(n.self.ID, p.Msg.Key, n.cfg.DigitBits)
	p.Contacts = append(slices.Clip(p.Contacts), n.self)
	for ; p.Row <= last && len(p.Contacts) < maxNamed; p.Row++ {
		p.Contacts = n.appendRow(p.Contacts, p.Row)
	}
	p.Contacts = p.Contacts[:min(len(p.Contacts), maxNamed)]
}

// answerJoin ends a join at the root of the joiner's id, which adds its leaf
// set.
func (n *RawNode) answerJoin(p *Packet) {
	q := *p
	n.addRows(&q)
	all := n.leaves.AppendMembers(q.Contacts)
	var places placeByID
	once := all[:0]
	for _, c := range all {
		if c.ID != p.Msg.OriginID && places.find(once, c.ID) < 0 {
			once = append(once, c)
			places.added(once)
		}
	}
	clear(all[len(once):])
	all = once
	a := &Answer{ID: p.Msg.ID, Origin: p.Msg.Origin, OriginID: p.Msg.OriginID, Root: n.self.Peer,
		Hops: p.Hops, Path: append(slices.Clip(p.Path), n.self.Peer), Contacts: all}
	var prev *Contact
	if r := n.relays.get(p.Msg.ID); r != nil {
		prev = r.prev
	}
	n.answer(a, prev)
}

// joinAnswered goes on from the root's answer to a join.
func (n *RawNode) joinAnswered(a *Answer) {
	j := &n.join
	if n.state != StateJoining || j.phase != joinLookup {
		return
	}
	if a.Code != CodeOK {
		n.pause(retryPause)
		return
	}
	j.phase = joinLeaves
	j.prospect = NewLeafSet(n.self.ID, n.cfg.LeafSetSize)
	j.pool, j.places = nil, placeByID{}
	for _, c := range a.Contacts {
		j.hear(c)
	}
	n.step(n.cfg.JoinTimeout)
	n.reprospect()
	if n.self.Client {
		for _, c := range a.Contacts {
			n.consider(c)
		}
		n.ready(StateClient)
		return
	}
	n.joinStep()
}

// considerJoining takes a name into the prospective leaf set, and probes it if
// it stays there; otherwise it is for the table, later.
func (n *RawNode) considerJoining(c *Contact) {
	j := &n.join
	if j.prospect == nil || n.self.Client {
		n.addCandidate(c)
		return
	}
	j.hear(c)
	j.prospect.Insert(c)
	if j.prospect.Get(c.ID) != nil {
		n.ask(n.peer(c), whyLeaf, WantLeaves, 0)
	} else {
		n.addCandidate(c)
	}
}

// reprospect works out anew who will be in the leaf set, of those named and not
// found dead, and probes whoever was not.
func (n *RawNode) reprospect() {
	j := &n.join
	j.prospect = NewLeafSet(n.self.ID, n.cfg.LeafSetSize)
	for _, c := range j.pool {
		if !c.Client && !n.quarantined(c) {
			j.prospect.Insert(c)
		}
	}
	for _, c := range j.pool {
		if j.prospect.Get(c.ID) == nil {
			if !c.Client && c.ID != n.self.ID {
				n.addCandidate(c)
			}
		} else if ps := n.peer(c); !(ps.usable() && n.leaves.Get(c.ID) != nil && ps.version != 0) {
			n.ask(ps, whyLeaf, WantLeaves, 0)
		}
	}
}

// joinStep goes on when every leaf has answered.
func (n *RawNode) joinStep() {
	if j := &n.join; n.state == StateJoining && len(n.leafProbes) == 0 && (j.phase == joinLeaves || j.phase == joinGrant && j.seq == 0) {
		n.requestGrant()
	}
}

// requestGrant asks the neighbour whose grant is missing, the left one first, or
// becomes active when both hold.
func (n *RawNode) requestGrant() {
	j := &n.join
	j.phase = joinGrant
	neighbors := [2]*Contact{n.leaves.Left(), n.leaves.Right()}
	for side, c := range neighbors {
		if c == nil {
			n.restart()
			return
		}
		if p := n.peer(c); !n.fresh(j.leases[side], c) {
			if p == j.giver && n.now < j.again {
				n.step(time.Duration(j.again - n.now))
			} else {
				n.askGrant(side, p)
			}
			return
		}
	}
	n.activate()
}

func (n *RawNode) askGrant(side int, p *peerState) {
	j := &n.join
	if j.seq != 0 && j.asking == side && j.tries >= n.cfg.ProbeTries {
		n.ask(p, whyAlive, 0, 0)
		j.tries = 0
	}
	j.tries++
	j.asking, j.giver, j.seq, j.sentAt = side, p, n.nextSeq(), n.now
	n.step(time.Duration(p.rtt.timeout(Time(n.cfg.MinProbeTimeout), Time(n.cfg.ProbeTimeout))))
	// The left neighbour has the joiner on its larger side.
	n.send(p, &Packet{Kind: KindGrant, Seq: j.seq, Larger: side == 0})
}

// onGrantReply takes in a neighbour's answer.
func (n *RawNode) onGrantReply(from *peerState, p *Packet) {
	j := &n.join
	if n.state != StateJoining || j.phase != joinGrant || p.Seq != j.seq || from != j.giver {
		return
	}
	j.seq, j.tries = 0, 0
	switch p.Code {
	case CodeOK:
		n.takeOver(p.Delivered)
		j.leases[j.asking] = lease{from.c.ID, j.sentAt}
	case CodeNotNeighbor:
		n.contradict(from, p.Contacts)
	}
	named := p.Contacts
	if p.Code == CodeOK {
		named = n.unheard(named)
	}
	n.considerAll(named)
	pause := n.jitter(time.Duration(from.rtt.smoothed) + 50*time.Millisecond)
	if p.Code != CodeOK {
		j.again = n.now + Time(pause)
	}
	if len(n.leafProbes) > 0 {
		n.step(n.cfg.JoinTimeout) // joinStep goes on
		return
	}
	if p.Code == CodeOK {
		n.requestGrant()
		return
	}
	n.step(pause)
}

// unheard returns those named that are not known yet, in this attempt, to be joining as
// well or to be leaves. None of these is between the node and the neighbour that grants
// it its place; to probe them again at each grant would take so long, where nodes are far
// apart, that the other neighbour's grant is too old by then.
func (n *RawNode) unheard(named []*Contact) []*Contact {
	return slices.DeleteFunc(slices.Clone(named), func(c *Contact) bool {
		p := n.peers.get(c.ID)
		return p != nil && c.Epoch <= p.epoch && p.heard > n.join.started &&
			(p.state == StateJoining || p.usable() && n.leaves.Get(c.ID) != nil)
	})
}

// contradict tells a neighbour which of the nodes it names were found dead, and these
// nodes, so that one that lives objects. Else the neighbour would name it, and this node
// not hear of it, for as long as the quarantine is.
func (n *RawNode) contradict(p *peerState, named []*Contact) {
	var dead []ring.ID
	for _, c := range named {
		if n.quarantined(c) {
			dead = append(dead, c.ID)
			n.send(n.peer(c), &Packet{Kind: KindSuspect, Suspects: []ring.ID{c.ID}})
		}
	}
	if len(dead) > 0 {
		n.send(p, &Packet{Kind: KindSuspect, Suspects: dead})
	}
}

// joinDue is called when the present step took its time.
func (n *RawNode) joinDue(gen uint64) {
	j := &n.join
	if gen != j.gen || n.state != StateJoining {
		return
	}
	switch {
	case j.phase == joinSeek:
		n.seekDone()
	case j.phase == joinNone, n.now-j.found > Time(n.cfg.JoinTimeout), j.phase == joinLookup:
		n.restart()
	case j.phase == joinGrant && len(n.leafProbes) == 0:
		n.requestGrant()
	default:
		n.step(n.cfg.ProbeTimeout)
	}
}

// restart begins another attempt, with everybody alive as a seed besides.
func (n *RawNode) restart() {
	n.join.phase = joinNone
	n.seek()
}

// activate makes the node an active member: it tells its leaves, takes up the
// messages that were held for it, and begins to look after its tables.
func (n *RawNode) activate() {
	n.ready(StateActive)
	for _, c := range n.leaves.shared() {
		n.ask(n.peer(c), whyTell, 0, 0)
	}
	n.leavesChanged()
	for _, h := range n.takeHeld() {
		if ps := n.peer(h.from); ps.epoch == h.from.Epoch {
			n.onRoute(ps, h.pkt)
		}
	}
}

func (n *RawNode) takeHeld() []held {
	h := n.held
	n.held = nil
	return h
}

// ready ends joining.
func (n *RawNode) ready(s State) {
	n.stats.Joins++
	n.join = joining{gen: n.join.gen, seeds: n.join.seeds}
	n.setState(s)
	n.tuning.since = n.now
	n.arm(timerHeartbeat, n.cfg.Heartbeat)
	n.arm(timerTable, n.jitter(minTablePeriod))
	n.rows.wait = min(settleTime, n.cfg.RowExchange)
	n.arm(timerRows, n.rows.wait)
	n.wary = n.now + Time(newTime)
	n.arm(timerMerge, n.cfg.MergeInterval)
	n.armExpire()
	n.resumeCalls()
	n.pumpCandidates()
}
