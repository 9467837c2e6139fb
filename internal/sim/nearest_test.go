package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// TestNearestReplica sends messages that any of five replicas may deliver, while a
// tenth of the ring falls silent at once. Each is delivered, by one of the replicas or,
// until all know who is dead, of the next after them. After repair each is delivered
// once, and most by the nearest.
func TestNearestReplica(t *testing.T) {
	const replicas = 5
	forSeeds(t, 2, func(cfg sim.Config) error {
		cfg.Tune = func(_ int, c *pastry.Config) { c.Proximity = pastry.NewVivaldi("", 1, c.Rand) }
		s := sim.New(cfg)
		if err := build(s, 120); err != nil {
			return err
		}
		s.Run(10 * time.Minute) // coordinates become good
		var sent []*sim.Message
		may := make(map[*sim.Message][]int)
		// reach is how many of the closest may deliver: more while not all know who is dead.
		send := func(n, reach int) {
			for range n {
				m := s.Send(s.RandomActive(), &pastry.Routed{App: sim.App, Key: s.RandomKey(), Replicas: replicas}, 30*time.Second)
				sent = append(sent, m)
				may[m] = s.Closest(m.Msg.Key, reach)
				s.Run(10 * time.Millisecond)
			}
		}
		send(100, replicas)
		up := s.Actives()
		s.Rand().Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
		for _, i := range up[:12] {
			s.Crash(i)
		}
		for _, m := range sent {
			may[m] = append(may[m], s.Closest(m.Msg.Key, 2*replicas)...)
		}
		send(200, 2*replicas)
		s.Run(time.Minute)
		repaired := len(sent)
		send(300, replicas)
		s.Run(time.Minute)

		nearest := 0
		for i, m := range sent {
			if !s.Up(m.Origin) {
				continue
			}
			if !m.OK() || len(m.Deliveries) == 0 {
				return fmt.Errorf("%v, the %dth, was not delivered, or its origin does not know", m, i)
			}
			by := m.Deliveries[len(m.Deliveries)-1].Node
			if !slices.Contains(may[m], by) {
				return fmt.Errorf("%v, the %dth, was delivered by node %d, want one of %d", m, i, by, may[m])
			}
			if i < repaired {
				continue
			}
			if len(m.Deliveries) > 1 {
				return fmt.Errorf("%v, the %dth, was delivered %d times though nobody was silent", m, i, len(m.Deliveries))
			}
			if !slices.ContainsFunc(may[m], func(j int) bool { return j != by && away(s, m.Origin, j) < away(s, m.Origin, by) }) {
				nearest++
			}
		}
		if nearest < (len(sent)-repaired)*7/10 {
			return fmt.Errorf("%d of %d messages went to the nearest, want 7 in 10", nearest, len(sent)-repaired)
		}
		return s.CheckHistory()
	})
}

// away returns how far node j is from node i, which is next to itself.
func away(s *sim.Sim, i, j int) time.Duration {
	if i == j {
		return 0
	}
	return s.Direct(i, j)
}
