package sim_test

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// TestRootUnderChurn compares Root and Closest, which are kept up to date, with a
// search of all nodes, while nodes join, crash, leave and restart.
func TestRootUnderChurn(t *testing.T) {
	forSeeds(t, seeds(10)/10+1, func(cfg sim.Config) error {
		c := newChurn(cfg)
		for range 60 {
			c.Run(time.Second)
			checkMembers(t, c.Sim)
		}
		return nil
	})
}

// TestRootOfLargeRing does the same where the order of members is kept in many
// parts: thousands enter, then all but a few vanish.
func TestRootOfLargeRing(t *testing.T) {
	s := newSim(t, 83, sim.Config{})
	for range 3000 {
		s.Join(s.Add()) // each a ring of its own
		if s.CountActive()%200 == 0 {
			checkMembers(t, s)
		}
	}
	for k, i := range s.Rand().Perm(3000)[:2997] {
		s.Crash(i)
		if k%200 == 0 || k > 2980 {
			checkMembers(t, s)
		}
	}
	for s.CountActive() > 0 {
		s.Crash(s.RandomActive())
	}
	if got := s.Root(s.RandomKey()); got != -1 {
		t.Errorf("root of an empty ring is %d", got)
	}
	if got := s.RandomActive(); got != -1 {
		t.Errorf("random member of an empty ring is %d", got)
	}
	if got := s.Closest(s.RandomKey(), 3); len(got) != 0 {
		t.Errorf("closest members of an empty ring are %v", got)
	}
}

func checkMembers(t *testing.T, s *sim.Sim) {
	t.Helper()
	actives := s.Actives()
	if got, want := s.CountActive(), len(actives); got != want {
		t.Fatalf("%d active members, want %d", got, want)
	}
	for range 8 {
		key := s.RandomKey()
		if len(actives) > 0 && s.Rand().IntN(2) == 0 {
			key = s.ID(actives[s.Rand().IntN(len(actives))]).Add(ring.FromUint64s(0, s.Rand().Uint64N(3)))
		}
		byDistance := slices.Clone(actives)
		slices.SortFunc(byDistance, func(a, b int) int { return ring.CompareDistance(key, s.ID(a), s.ID(b)) })
		for _, k := range []int{1, 2, 5, len(actives), len(actives) + 3} {
			want := byDistance[:min(k, len(byDistance))]
			if got := s.Closest(key, k); !slices.Equal(got, want) {
				t.Fatalf("closest %d to %v are %v, want %v", k, key, got, want)
			}
		}
		want := -1
		if len(byDistance) > 0 {
			want = byDistance[0]
		}
		if got := s.Root(key); got != want {
			t.Fatalf("root of %v is %d, want %d", key, got, want)
		}
	}
}

// TestRandomActive draws members while half of them crash: each of those left
// must come up, and about as often as any other.
func TestRandomActive(t *testing.T) {
	s := newSim(t, 89, sim.Config{})
	for range 40 {
		s.Join(s.Add())
	}
	for i := range 20 {
		s.Crash(2 * i)
	}
	drawn := make(map[int]int)
	for range 20000 {
		drawn[s.RandomActive()]++
	}
	for i, n := range drawn {
		if i%2 == 0 || n < 850 || n > 1150 {
			t.Errorf("node %d was drawn %d times in 20000", i, n)
		}
	}
	if len(drawn) != 20 {
		t.Errorf("%d members were drawn, want 20", len(drawn))
	}
}
