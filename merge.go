package pastry

import (
	"slices"
	"time"
)

const (
	maxLost     = 64              // dead contacts kept in mind
	lookupPause = 5 * time.Second // between two lookups into a lost part
	seedPause   = 5 * time.Minute // and into the part of a seed that was never lost
	waryTime    = time.Hour       // for which a split is reckoned with after many were lost
	newTime     = 3 * time.Minute // the same, after joining
	calm        = 10              // how many times longer it takes to try a lost contact otherwise
)

// A ring that was split by the network goes on as two. The halves find each
// other again through those who were lost: each node tries one of its dead
// contacts, or of the seeds it joined through, every MergeInterval, and much less
// often if the ring can hardly have been split of late. When one answers, all the
// others are tried at once, and a lookup of the node's own id is routed through the
// one that answered, whose part of the ring names the neighbours there. Leaf
// exchanges spread the rest.

// mourn keeps a dead contact in mind.
func (n *RawNode) mourn(c *Contact) {
	n.lost = slices.DeleteFunc(n.lost, func(o *Contact) bool { return o.ID == c.ID })
	if len(n.lost) == maxLost {
		n.lost = slices.Delete(n.lost, 0, 1)
	}
	n.lost = append(n.lost, c)
}

// reckonWithSplit notes what may have split the ring, for some time to come.
func (n *RawNode) reckonWithSplit(d time.Duration) {
	if n.state != StateActive && n.state != StateClient {
		return
	}
	if until := n.now + Time(d); until > n.wary {
		if n.wary < n.now && n.cfg.MergeInterval > 0 {
			n.arm(timerMerge, n.jitter(n.cfg.MergeInterval))
		}
		n.wary = until
	}
}

// manyLost reports whether a quarter of the nodes in sight, or as many as are
// remembered, died within a MergeInterval.
func (n *RawNode) manyLost() bool {
	many := min(max(1, len(n.known)/4), failureHistory)
	died := n.tuning.failures
	return len(died) >= many && n.now-died[len(died)-many] <= Time(n.cfg.MergeInterval)
}

// seekLost tries one of the lost contacts.
func (n *RawNode) seekLost() {
	wait := n.cfg.MergeInterval
	if n.now > n.wary && len(n.known) > 0 {
		wait *= calm
	}
	n.arm(timerMerge, n.jitter(wait))
	all := append(slices.Clone(n.lost), n.join.seeds...)
	for range all {
		n.lostNext = (n.lostNext + 1) % len(all)
		if c := all[n.lostNext]; n.tryLost(c) {
			return
		}
	}
}

// tryLost probes a contact once, and reports whether there was reason to.
func (n *RawNode) tryLost(c *Contact) bool {
	ps := n.peers.get(c.ID)
	if c.ID == n.self.ID || c.Client || ps != nil && (ps.usable() || ps.probe != nil) {
		return false
	}
	ps = n.peer(c)
	n.ask(ps, whyLost, WantLeaves, 0)
	ps.probe.limit = 1
	return true
}

// found follows up on a lost contact that answered. A seed that was never lost is
// most likely in the same part, and is looked into seldom.
func (n *RawNode) found(p *peerState) {
	before := len(n.lost)
	n.lost = slices.DeleteFunc(n.lost, func(o *Contact) bool { return o.ID == p.c.ID })
	if !p.usable() || n.state == StateJoining {
		return
	}
	pause := lookupPause
	if len(n.lost) < before {
		for _, c := range slices.Clone(n.lost) {
			n.tryLost(c)
		}
	} else if len(n.known) > 1 {
		pause = seedPause
	}
	if n.lookedUp == 0 || n.now-n.lookedUp >= Time(pause) {
		n.lookedUp = n.now
		n.lookup(p.c, func(a *Answer) {
			n.considerAll(a.Contacts)
		})
	}
}

// startMerge looks for another part of the ring through the contacts given.
func (n *RawNode) startMerge(contacts []*Contact) {
	n.reckonWithSplit(waryTime)
	for _, c := range contacts {
		n.join.addSeed(c)
		if n.tryLost(c) {
			n.peers.get(c.ID).probe.limit = n.cfg.ProbeTries
		}
	}
}
