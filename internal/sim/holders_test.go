package sim_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

// keepers returns the active nodes that keep node i in the routing table or the
// neighborhood set.
func keepers(s *sim.Sim, i int) (by []int) {
	id := s.ID(i)
	for _, j := range s.Actives() {
		if n := s.Node(j); n.Table().Contains(id) || n.Neighborhood().Contains(id) {
			by = append(by, j)
		}
	}
	return by
}

// favorite returns the active node that most others keep.
func favorite(s *sim.Sim) int {
	best, most := -1, -1
	for _, i := range s.Actives() {
		if n := len(keepers(s, i)); n > most {
			best, most = i, n
		}
	}
	return best
}

// outlived crashes the node that most others keep, without a word, while no message is
// under way. It returns how many others had kept it for four minutes, within which a node
// tells that it keeps another, and how many of these still do 15 s later.
func outlived(s *sim.Sim) (before, after int) {
	dead := favorite(s)
	already := keepers(s, dead)
	s.Run(4 * time.Minute)
	told := keepers(s, dead)
	told = slices.DeleteFunc(told, func(i int) bool { return !slices.Contains(already, i) })
	s.Crash(dead)
	s.Run(15 * time.Second)
	still := keepers(s, dead)
	return len(told), len(slices.DeleteFunc(still, func(i int) bool { return !slices.Contains(told, i) }))
}

// TestHoldersLearnOfDeath leaves a ring of 150 alone for long, and then crashes the node
// that most others keep: 15 s later none of them does, although no message is sent and
// probes of the table are hours apart.
func TestHoldersLearnOfDeath(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin func(s *sim.Sim, n int) error
	}{
		{"all have joined", build},
		{"all were there from the start", func(s *sim.Sim, n int) error { return s.Perfect(t.Context(), n, nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			forSeeds(t, min(seeds(1), 12), func(cfg sim.Config) error {
				cfg.Jitter = 0.2
				s := sim.New(cfg)
				if err := tt.begin(s, 150); err != nil {
					return err
				}
				s.Run(16 * time.Minute)
				if before, after := outlived(s); before < 50 || after > 0 {
					return fmt.Errorf("of %d nodes that kept another, %d do 15s after its crash, want none of 50 at least", before, after)
				}
				return s.Ring(nil).CheckLeafSets()
			})
		})
	}
}

// TestHoldersLearnOfDeathUnderLoss loses one packet in twenty. Nobody repeats the word of
// a death, which takes one link or a few: most that keep the dead one hear it.
func TestHoldersLearnOfDeathUnderLoss(t *testing.T) {
	t.Parallel()
	var before, after atomic.Int64
	forSeeds(t, min(seeds(2), 10), func(cfg sim.Config) error {
		cfg.Jitter = 0.2
		s := sim.New(cfg)
		if err := build(s, 150); err != nil {
			return err
		}
		s.Loss = 0.05
		for range 3 {
			s.Run(16 * time.Minute)
			b, a := outlived(s)
			before.Add(int64(b))
			after.Add(int64(a))
		}
		return nil
	})
	share := 1 - float64(after.Load())/float64(before.Load())
	t.Logf("of %d nodes that kept a dead one, %.1f %% do no longer after 15s", before.Load(), 100*share)
	if share < 0.9 {
		t.Errorf("%.1f %% got rid of the dead within 15s, want 90 %% at least", 100*share)
	}
}
