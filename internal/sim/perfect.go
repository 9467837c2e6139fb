package sim

import (
	"context"
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
//
// Perfect returns an error when ctx is over. Then nobody is made later, either: what
// reaches a member that was not made comes to nothing. Only Node still makes the one
// it is asked for. Such a simulation is fit for nothing but to be dropped.
func (s *Sim) Perfect(ctx context.Context, n int, progress func(share float64)) error {
	if len(s.nodes) > 0 {
		return errors.New("sim: Perfect: there are nodes already")
	}
	if n < 1 {
		return fmt.Errorf("sim: Perfect: %d nodes, must be at least 1", n)
	}
	if progress == nil {
		progress = func(float64) {}
	}
	for i := range n {
		if i%1024 == 0 {
			if ctx.Err() != nil {
				break
			}
			progress(float64(i) / float64(n))
		}
		m := &node{index: int32(i), place: s.Topology.Place(s.rng), joinAt: s.now}
		s.nodes = append(s.nodes, m)
		s.begin(m)
		s.setState(m, pastry.StateActive)
	}
	s.roster, s.unmade = newRoster(ctx, s), len(s.nodes)
	if err := ctx.Err(); err != nil {
		return err
	}
	progress(1)
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
	s.register(n)
}

// makeAll makes the state machines of all members of a perfect ring that have
// none yet, unless the context of Perfect is over.
func (s *Sim) makeAll() {
	for _, n := range s.nodes {
		if s.roster == nil || s.roster.over() {
			return
		}
		if n.raw == nil {
			s.enrol(n)
		}
	}
}
