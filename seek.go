package pastry

import (
	"slices"
	"time"
)

// seek starts an attempt: it probes the seeds, and whoever spoke to this node, for the
// nearest that is active.
func (n *RawNode) seek() {
	j := &n.join
	*j = joining{phase: joinSeek, gen: j.gen, started: n.now, first: j.first, seeds: j.seeds, width: seekWidth}
	if len(j.seeds) > maxPool/2 { // others in each attempt
		n.rng.Shuffle(len(j.seeds), func(a, b int) { j.seeds[a], j.seeds[b] = j.seeds[b], j.seeds[a] })
	}
	for _, c := range j.seeds[:min(len(j.seeds), maxPool/2)] {
		j.hear(c)
	}
	for _, p := range n.known {
		j.hear(p.c)
	}
	for _, p := range n.peersWho(func(p *peerState) bool { return p.heard != 0 && !p.c.Client }) {
		j.hear(p.c)
	}
	for _, c := range j.seeds {
		j.hear(c)
	}
	n.seekRound()
}

// seekRound probes a few more of those it heard of, the nearest as far as
// coordinates tell, the others at random, and who was found dead last; not these as long
// as the node leaves it to another one to begin a ring.
func (n *RawNode) seekRound() {
	j := &n.join
	_, smaller := n.joiners()
	defers := smaller > 0 && n.now-j.first <= patience(smaller)
	if j.best != nil || j.round == 0 { // rounds without a member are all the first
		j.round++
	}
	j.improved = false
	asked := make([]bool, len(j.pool))
	for _, id := range j.asked {
		if i := j.places.find(j.pool, id); i >= 0 {
			asked[i] = true
		}
	}
	near := make([]Time, j.width+1)
	next := make([]*Contact, 0, j.width+1)
	for _, i := range n.rng.Perm(len(j.pool)) {
		c := j.pool[i]
		if asked[i] || c.Client || c.ID == n.self.ID {
			continue
		}
		d, k := n.distance(c), len(next)
		if n.quarantined(c) {
			if defers {
				continue
			}
			d = unknownFar + 1
		}
		for k > 0 && d < near[k-1] {
			k--
		}
		if k < j.width {
			next = slices.Insert(next, k, c)
			next = next[:min(j.width, len(next))]
			copy(near[k+1:], near[k:])
			near[k] = d
		}
	}
	want := WantHood
	if j.round == 1 {
		want |= WantLeaves
	}
	switch {
	case j.best != nil:
		n.step(time.Duration(4*j.best.rtt.smoothed) + 100*time.Millisecond)
	case len(next) == j.width: // others may be members: the silent are waited for in the end
		n.step(n.cfg.ProbeTimeout)
	default:
		n.step(n.silence())
	}
	for _, c := range next {
		j.asked = append(j.asked, c.ID)
		j.seeking++
	}
	for _, c := range next {
		n.ask(n.peer(c), whySeek, want, 0)
	}
	if len(next) == 0 && (j.best != nil || j.seeking == 0) {
		n.seekEnd()
	}
}

// name keeps in mind whom a joiner heard of.
func (n *RawNode) name(cs []*Contact) {
	if n.join.phase == joinSeek {
		for _, c := range cs {
			n.join.hear(c)
		}
	}
}

// hear adds a contact to those the joiner heard of.
func (j *joining) hear(c *Contact) {
	if len(j.pool) < maxPool && j.places.find(j.pool, c.ID) < 0 {
		j.pool = append(j.pool, c)
		j.places.added(j.pool)
	}
}

// joinProbed takes in the outcome of a probe that the joiner waits for.
func (n *RawNode) joinProbed(p *peerState, why purpose, alive bool) {
	j := &n.join
	if n.state != StateJoining {
		return
	}
	if !alive && j.prospect != nil {
		n.reprospect()
	}
	if j.phase == joinSeek && why&whySeek != 0 {
		j.seeking--
		if alive && p.usable() && (j.best == nil || n.distance(p.c) < n.distance(j.best.c)*9/10) {
			if j.best == nil {
				j.found = n.now
			}
			j.best, j.improved = p, true
		}
		switch {
		case j.seeking == 0:
			n.seekDone()
		case j.best != nil: // do not wait for those much farther away
			n.step(time.Duration(2*j.best.rtt.smoothed) + 20*time.Millisecond)
		}
		return
	}
	n.joinStep()
}

// seekDone ends a round of seeking. As long as no member was found, twice as many are
// asked in the next one: where most are gone, it takes a few rounds to ask all.
func (n *RawNode) seekDone() {
	j := &n.join
	switch {
	case j.best == nil:
		j.width = min(2*j.width, maxPool)
		n.seekRound()
	case j.improved && j.round < seekRounds && j.best.rtt.least > Time(nearEnough):
		j.width, j.seeking = seekWidth, 0 // who has not answered yet counts in the next round
		n.seekRound()
	default:
		n.seekEnd()
	}
}

// seekEnd goes on from the nearest member that was found.
func (n *RawNode) seekEnd() {
	j := &n.join
	if j.best == nil {
		n.noneActive()
		return
	}
	j.phase = joinLookup
	n.step(3 * time.Second)
	n.lookup(j.best.c, n.joinAnswered)
}

// noneActive is called when all that the joiner heard of were asked and none is a
// member. If everybody reached is joining as well, as after a restart of the whole
// cluster, the one with the smallest id begins the ring. One after the other of those
// with smaller ids is given time for it, lest one that never gets so far stops all.
func (n *RawNode) noneActive() {
	j := &n.join
	joiners, smaller := n.joiners()
	switch {
	case len(joiners) == 0: // the more are asked in vain, the less often
		n.pause(retryPause + time.Duration(len(j.asked))*askedPause)
		j.alone, j.first = true, n.now
	case n.self.Client || n.now-j.first <= patience(smaller):
		n.pause(retryPause)
	case !j.sure && (smaller > 0 || n.now-j.started > Time(n.cfg.ProbeTimeout)): // one may be a member since it was asked
		j.sure = true
		n.step(n.silence())
		j.seeking += len(joiners)
		for _, p := range joiners {
			n.ask(p, whySeek, WantHood, 0)
		}
	default:
		n.activate()
		few := joiners[:min(len(joiners), joinersNamed)]
		for _, p := range few { // should one of them have begun a ring as well, it is found soon
			n.mourn(p.c)
		}
		n.lostNext = len(n.lost) - len(few) - 1
	}
}

// joiners returns the peers that were heard to join as well, in the order of their ids,
// and how many of them have smaller ids.
func (n *RawNode) joiners() (all []*peerState, smaller int) {
	all = n.peersWho(n.joinsToo)
	for _, p := range all {
		smaller += boolToInt(p.c.ID.Less(n.self.ID))
	}
	return all, smaller
}

// patience is how long a joiner that has heard of so many with smaller ids waits for a
// member.
func patience(smaller int) Time { return Time(foundTime + time.Duration(smaller)*deferTime) }

// pause waits for the next attempt.
func (n *RawNode) pause(d time.Duration) {
	n.join.phase = joinNone
	n.step(n.jitter(min(d, maxRetryPause)))
}

// visited ends the wait of a joiner that reached nobody: somebody is there.
func (n *RawNode) visited(by *peerState) {
	if n.state == StateJoining && n.join.phase == joinNone && n.join.alone && !by.c.Client {
		n.join.alone = false
		n.pause(retryPause)
	}
}

// silence is how long it takes to see that a stranger does not answer.
func (n *RawNode) silence() time.Duration {
	return max(n.cfg.ProbeTimeout*time.Duration(n.cfg.ProbeTries+1), time.Second)
}

// peersWho returns the peers of which ok is true, in the order of their ids.
func (n *RawNode) peersWho(ok func(*peerState) bool) []*peerState {
	var ps []*peerState
	for p := range n.peers.all() {
		if ok(p) {
			ps = append(ps, p)
		}
	}
	slices.SortFunc(ps, func(a, b *peerState) int { return a.c.ID.Compare(b.c.ID) })
	return ps
}

// joinsToo reports whether a peer was heard to join as well, in this attempt or of late.
func (n *RawNode) joinsToo(p *peerState) bool {
	return p.state == StateJoining && !p.c.Client && p.heard != 0 &&
		(p.heard >= n.join.started || n.now-p.heard < Time(n.cfg.JoinTimeout))
}

// appendJoiners appends those few that join as well whose ids are smallest, so that all
// learn who is to begin a ring.
func (n *RawNode) appendJoiners(to []*Contact) []*Contact {
	all, _ := n.joiners()
	for _, p := range all[:min(len(all), joinersNamed)] {
		to = append(to, p.c)
	}
	return to
}

// lookup routes a join to the node's own id through a member.
func (n *RawNode) lookup(through *Contact, done func(*Answer)) {
	m := &Routed{Key: n.self.ID, Origin: n.self.Peer, OriginID: n.self.ID, Join: true}
	for i := range m.ID {
		m.ID[i] = byte(n.rng.Uint32())
	}
	n.begin(&call{msg: m, first: through, wait: Time(time.Second), done: done}, 3*time.Second)
}
