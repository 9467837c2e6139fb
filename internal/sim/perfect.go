package sim

import (
	"errors"
	"fmt"

	"github.com/secondbit/pastry"
)

// Perfect makes a ring of n active members whose tables are perfect: leaf sets
// exact, in each entry of the routing table the nearest three of all nodes that
// qualify, in the neighborhood set the nearest of all. Nobody joins, and no
// packet is sent. The simulation must have no nodes yet. progress, if not nil, is
// told the share that is done.
//
// Since the tables are a function of the ring, a member's state machine is made
// only when it is first used: when a packet reaches it, or somebody asks for it
// with Node. Until then its timers do not run and it costs a few hundred bytes.
// Before the ring changes, by Join, Leave, Crash, Restart, Merge or a partition,
// all that are left are made at once. A member that was made begins to look after its
// tables, and so reaches more of the others as virtual time passes: a heartbeat after
// two to five seconds is the first. To keep a huge ring small, send what is to
// be sent within a few seconds.
func (s *Sim) Perfect(n int, progress func(share float64)) error {
	if len(s.nodes) > 0 {
		return errors.New("sim: Perfect: there are nodes already")
	}
	if n < 1 {
		return fmt.Errorf("sim: Perfect: %d nodes, must be at least 1", n)
	}
	for i := range n {
		m := &node{index: int32(i), place: s.Topology.Place(s.rng), joinAt: s.now}
		s.nodes = append(s.nodes, m)
		s.begin(m)
		s.setState(m, pastry.StateActive)
		if progress != nil && i%1024 == 0 {
			progress(float64(i) / float64(n))
		}
	}
	s.roster, s.unmade = newRoster(s), n
	if progress != nil {
		progress(1)
	}
	return nil
}

// enrol makes the state machine of a member of a perfect ring.
func (s *Sim) enrol(n *node) {
	cfg := s.equip(n)
	s.out = n.raw.Enrol(n.clock(s.now), s.roster.known(n, cfg), s.out[:0])
	s.act(n)
	s.schedule(n)
	if s.unmade--; s.unmade == 0 {
		s.roster = nil
	}
}

// makeAll makes the state machines of all members of a perfect ring that have
// none yet.
func (s *Sim) makeAll() {
	if s.unmade == 0 {
		return
	}
	for _, n := range s.nodes {
		if n.raw == nil {
			s.enrol(n)
		}
	}
}
