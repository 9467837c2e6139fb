package pastry

import (
	"errors"
	"fmt"
	"slices"

	"github.com/secondbit/pastry/ring"
)

// checkNode returns what is wrong with the node's tables and waits, whatever
// happened to it.
func checkNode(n *RawNode) error {
	return errors.Join(checkLeaves(n), checkTables(n), checkBounds(n), checkWaits(n))
}

func checkLeaves(n *RawNode) error {
	for _, up := range [2]bool{false, true} {
		side := n.leaves.side(up)
		if len(side) > n.leaves.half {
			return fmt.Errorf("a side of the leaf set has %d members", len(side))
		}
		for i, c := range side {
			p := n.peers.get(c.ID)
			switch {
			case c.ID == n.self.ID || c.Client || n.self.Client:
				return fmt.Errorf("%v is a leaf of %v", c, n.self)
			case i > 0 && n.leaves.walk(up, c.ID).Compare(n.leaves.walk(up, side[i-1].ID)) <= 0:
				return fmt.Errorf("leaf %v is out of order", c.ID)
			case p == nil || !p.usable() && !n.granted(c.ID):
				return fmt.Errorf("leaf %v is %+v", c.ID, p)
			}
		}
	}
	return nil
}

func checkTables(n *RawNode) error {
	seen := make(map[ring.ID]bool)
	for row := range n.table.rows {
		for column, e := range n.table.rows[row] {
			for i, c := range e {
				switch {
				case c == nil:
				case i > 0 && e[i-1] == nil:
					return fmt.Errorf("entry %d,%d has a spare and no primary", row, column)
				case c.ID == n.self.ID || c.Client || seen[c.ID]:
					return fmt.Errorf("%v is in the table of %v", c, n.self)
				case placeOf(n.self.ID, c.ID, n.cfg.DigitBits) != (place{row, column}):
					return fmt.Errorf("%v is at %d,%d of the table of %v", c.ID, row, column, n.self.ID)
				case n.peers.get(c.ID) == nil || !n.peers.get(c.ID).usable():
					return fmt.Errorf("table entry %v is %+v", c.ID, n.peers.get(c.ID))
				default:
					seen[c.ID] = true
				}
			}
		}
	}
	for _, c := range n.hood.AppendMembers(nil) {
		if p := n.peers.get(c.ID); c.ID == n.self.ID || c.Client || p == nil || !p.usable() {
			return fmt.Errorf("%v is in the neighborhood set as %+v", c, p)
		}
	}
	for i, p := range n.known {
		if n.peers.get(p.c.ID) != p || !p.usable() || i > 0 && !n.known[i-1].c.ID.Less(p.c.ID) {
			return fmt.Errorf("usable peer %d, %v, is %+v", i, p.c.ID, p)
		}
	}
	return nil
}

func checkBounds(n *RawNode) error {
	for _, b := range []struct {
		what      string
		got, most int
	}{
		{"ways back", len(n.relays.m), n.cfg.Memory},
		{"deliveries", len(n.deliveries.m), n.cfg.Memory},
		{"held messages", len(n.held), maxHeld},
		{"candidates", len(n.candidate), maxCandidates},
		{"lost contacts", len(n.lost), maxLost},
		{"contacts of a joiner", len(n.join.pool), maxPool},
		{"neighborhood", len(n.hood.members), n.cfg.NeighborhoodSize},
		{"failures", len(n.tuning.failures), failureHistory},
	} {
		if b.got > b.most {
			return fmt.Errorf("%s: %d, at most %d", b.what, b.got, b.most)
		}
	}
	return nil
}

// checkWaits returns an error if something is waited for and no timer, and so
// no deadline, stands for it.
func checkWaits(n *RawNode) error {
	has := func(kind timerKind, by Time, match func(timer) bool) bool {
		return slices.ContainsFunc(n.timers.a, func(t timer) bool { return t.kind == kind && t.at <= by && match(t) })
	}
	const ever = Time(1<<63 - 1)
	leafProbes, tableProbes := 0, 0
	for p := range n.peers.all() {
		id := p.c.ID
		if len(n.owed[p]) > 0 && !has(timerAck, n.now+Time(ackDelay), func(t timer) bool { return t.id == id }) {
			return fmt.Errorf("no timer for the acknowledgements owed to %v", id)
		}
		if p.probe == nil {
			continue
		}
		leafProbes += boolToInt(p.probe.why&whyLeaf != 0)
		tableProbes += boolToInt(p.probe.why&whyTable != 0)
		if !has(timerProbe, max(p.probe.due, n.now), func(t timer) bool { return t.id == id && t.ref == p.probe.seq }) {
			return fmt.Errorf("no timer for the probe of %v", id)
		}
	}
	if leafProbes != len(n.leafProbes) || tableProbes != n.asking {
		return fmt.Errorf("%d leaf and %d table probes, counted %d and %d", leafProbes, tableProbes, len(n.leafProbes), n.asking)
	}
	for seq, t := range n.pending {
		if !has(timerPending, max(t.due, n.now), func(o timer) bool { return o.ref == seq }) {
			return fmt.Errorf("no timer for packet %d of kind %v", seq, t.in.Kind)
		}
	}
	for id := range n.calls {
		if !has(timerCall, ever, func(t timer) bool { return t.msg == id }) {
			return fmt.Errorf("no timer for call %x", id)
		}
	}
	if len(n.forwarding) > 0 && !has(timerExpire, ever, func(t timer) bool { return t.at == n.due[timerExpire] }) {
		return errors.New("no timer for the questions to applications")
	}
	for _, g := range n.grants {
		p := n.peers.get(g.to)
		asked := p != nil && p.probe != nil
		if g.ref != 0 && !asked && !n.over && !has(timerGrant, max(g.until, n.now), func(t timer) bool { return t.ref == g.ref }) {
			return fmt.Errorf("no timer for the grant to %v", g.to)
		}
	}
	if n.state == StateJoining && !has(timerJoin, ever, func(t timer) bool { return t.ref == n.join.gen }) {
		return fmt.Errorf("no timer for joining, phase %d", n.join.phase)
	}
	if (n.state == StateLeaving || n.closing && n.state == StateActive) && !has(timerLeave, ever, func(timer) bool { return true }) {
		return errors.New("no timer for leaving")
	}
	if n.state != StateIdle && len(n.relays.m)+len(n.deliveries.m)+len(n.dead) > 0 &&
		!has(timerExpire, ever, func(t timer) bool { return t.at == n.due[timerExpire] }) {
		return errors.New("no timer for what expires")
	}
	return nil
}
