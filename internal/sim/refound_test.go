package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// TestRefound starts a whole ring again: nobody is a member, everybody knows all the
// others, and half of those are gone for good. One node begins the ring, and only one.
func TestRefound(t *testing.T) {
	forSeeds(t, 10, func(cfg sim.Config) error {
		const nodes, gone = 60, 60
		founders := 0
		s := sim.New(cfg)
		s.Watch = func(i int, a *pastry.Action) {
			if a.Kind == pastry.ActState && a.State == pastry.StateActive && s.Node(i).Leaves().Left() == nil {
				founders++
			}
		}
		var all []int
		for i := range nodes + gone {
			all = append(all, s.Add())
			if i >= nodes {
				s.Crash(i)
			}
		}
		for i := range nodes {
			s.Join(i, append(append([]int{}, all[:i]...), all[i+1:]...)...)
		}
		took, ok := s.RunUntil(func() bool { return s.CountActive() == nodes && s.Exact() }, 100*time.Millisecond, time.Minute)
		if !ok {
			return fmt.Errorf("%d of %d nodes are active after %v, exact: %t", s.CountActive(), nodes, took, s.Exact())
		}
		t.Logf("one ring after %v", took)
		if founders != 1 {
			return fmt.Errorf("%d nodes began a ring", founders)
		}
		return s.CheckHistory()
	})
}
