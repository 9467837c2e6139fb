package sim_test

import (
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

// TestSplitAndMerge splits a ring for ten minutes during which nodes join both
// halves. Each half must be a ring of its own, and both one ring within two
// minutes of the split's end.
func TestSplitAndMerge(t *testing.T) {
	const size, joins = 64, 4
	tests := []struct {
		name  string
		group func(s *sim.Sim) func(i int) int
	}{
		{"random halves", func(s *sim.Sim) func(int) int {
			halves := make([]int, s.Len())
			for _, i := range s.Rand().Perm(s.Len())[:s.Len()/2] {
				halves[i] = 1
			}
			return func(i int) int { return halves[i] }
		}},
		{"contiguous halves", func(s *sim.Sim) func(int) int {
			halves := make([]int, s.Len())
			for _, i := range s.Ring(nil).Nodes()[:s.Len()/2] {
				halves[i] = 1
			}
			return func(i int) int { return halves[i] }
		}},
		{"a quarter", func(s *sim.Sim) func(int) int {
			return func(i int) int { return min(i%4, 1) }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, 7, sim.Config{Jitter: 0.2, Loss: 0.01})
			grow(t, s, size)
			s.Partition(tt.group(s))
			for range joins {
				s.Run(time.Minute)
				joinEachSide(s)
			}
			s.Run(10*time.Minute - joins*time.Minute)
			for side := range 2 {
				half := s.Ring(func(i int) bool { return s.Group(i) == side })
				check(t, half.CheckLeafSets())
			}
			check(t, s.CheckActive())
			s.Heal()
			t.Logf("one ring of %d after %v", len(s.Actives()), settles(t, s, 2*time.Minute))
			check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
			check(t, s.CheckHistory())
		})
	}
}

// TestMergeAtOnce splits a ring for a minute. As soon as a few have heard of the other
// half, what they were told of those found dead there counts, and all is one ring: it
// does not wait until all quarantines are over.
func TestMergeAtOnce(t *testing.T) {
	for seed := range uint64(3) {
		s := newSim(t, seed, sim.Config{})
		grow(t, s, 80)
		s.Run(time.Minute)
		s.Partition(func(i int) int { return i % 2 })
		s.Run(time.Minute)
		s.Heal()
		first, ok := s.RunUntil(func() bool { return heardAcross(s) > 0 }, 100*time.Millisecond, time.Minute)
		if !ok {
			t.Fatalf("seed %d: nobody has heard of the other half after %v", seed, first)
		}
		t.Logf("first heard of after %v, one ring %v later", first, settles(t, s, 5*time.Second))
	}
}

// heardAcross returns how many nodes have one of the other half in their leaf sets.
func heardAcross(s *sim.Sim) (n int) {
	for i := range s.Len() {
		for _, c := range s.Node(i).Leaves().AppendMembers(nil) {
			if i%2 != s.Index(c.Peer)%2 {
				n++
				break
			}
		}
	}
	return n
}

// joinEachSide lets one node join each half of a split ring.
func joinEachSide(s *sim.Sim) {
	for side := range 2 {
		members := s.Ring(func(i int) bool { return s.Group(i) == side }).Nodes()
		via := members[s.Rand().IntN(len(members))]
		i := s.Add()
		s.SetGroup(i, side)
		s.Join(i, via)
	}
}

// TestTwoRings starts two rings that never knew of each other and tells one node
// of one about one of the other.
func TestTwoRings(t *testing.T) {
	for _, sizes := range [][2]int{{1, 1}, {2, 1}, {5, 5}, {1, 40}, {40, 40}} {
		s := newSim(t, 11, sim.Config{Jitter: 0.2})
		grow(t, s, sizes[0])
		first := s.Len()
		s.Join(s.Add())
		for range sizes[1] - 1 {
			i := s.Add()
			s.Join(i, first)
			s.Run(10 * time.Second)
		}
		s.Run(time.Minute)
		check(t, s.Ring(func(i int) bool { return i < first }).CheckLeafSets())
		check(t, s.Ring(func(i int) bool { return i >= first }).CheckLeafSets())

		s.Merge(first-1, first)
		t.Logf("rings of %d and %d are one after %v", sizes[0], sizes[1], settles(t, s, 2*time.Minute))
		check(t, s.Ring(nil).CheckKeys(100, 30*time.Second))
		check(t, s.CheckHistory())
	}
}
