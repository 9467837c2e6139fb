package pastry

import "time"

// Acquaintance is a member of the ring and the round trip to it.
type Acquaintance struct {
	Contact *Contact
	RTT     time.Duration
}

// Enrol makes a node that is idle an active member at once and without a join.
// It takes everybody in known for an active member that has just answered, at
// the given round trip, and lets each into every table it belongs to. Leaf sets
// are true only if known has the true leaves, and the others must know of the
// node as well: Enrol tells nobody.
//
// It is for simulations and tests that start from a ring which is there already;
// a Node joins. On a node that is not idle it does nothing.
func (n *RawNode) Enrol(now Time, known []Acquaintance, out []Action) []Action {
	n.now, n.out = max(now, n.now), out
	if n.state != StateIdle || n.over || n.self.Client {
		return n.take()
	}
	for _, a := range known {
		n.acquaint(a)
	}
	n.ready(StateActive)
	n.settleDown()
	return n.take()
}

// settleDown makes the node look after its tables as one does that has been a
// member for long, and not one that has just joined.
func (n *RawNode) settleDown() {
	rounds := 2 * n.table.Rows()
	n.rows.exchanges, n.rows.wait = rounds+1, n.cfg.RowExchange/time.Duration(max(2, rounds))
	if n.cfg.RowExchange > 0 {
		n.arm(timerRows, n.jitter(n.rows.wait))
	}
	if n.cfg.LeafExchange > 0 {
		n.arm(timerLeaves, n.jitter(n.cfg.LeafExchange))
	}
	n.arm(timerMonitor, n.cfg.Heartbeat)
	n.arm(timerHold, n.jitter(holdDelay))
	n.arm(timerHeartbeat, n.cfg.Heartbeat/2+time.Duration(n.rng.Int64N(int64(n.cfg.Heartbeat)/2)))
}

// acquaint lets a member into the tables as if it had just answered a probe.
func (n *RawNode) acquaint(a Acquaintance) {
	if a.Contact.ID == n.self.ID || a.Contact.Client {
		return
	}
	p := n.peer(a.Contact)
	p.state, p.live, p.heard, p.epoch = StateActive, true, n.now, a.Contact.Epoch
	if p.rtt.smoothed == 0 {
		n.measured(p, Time(a.RTT))
	}
	n.admit(p)
}
