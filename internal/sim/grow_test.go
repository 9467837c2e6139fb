package sim_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// paper returns the configuration of Rowstron and Druschel (2001), section 3.
func paper(t testing.TB, topology string) sim.Config {
	return sim.Config{
		Topology: open(t, topology),
		Tune:     func(_ int, c *pastry.Config) { c.LeafSetSize, c.DigitBits = 16, 4 },
	}
}

// TestGrow lets rings grow by joins: each is exact when Grow returns, and the
// time it takes grows far slower than the ring.
func TestGrow(t *testing.T) {
	for _, topology := range []string{"plane", "sphere", "regions"} {
		t.Run(topology, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, 97, paper(t, topology))
			last := 0.0
			for _, n := range []int{1, 2, 30, 300} {
				check(t, s.Grow(t.Context(), n, 20, func(share float64) { last = share }))
				if got := s.CountActive(); got != n || s.Len() != n {
					t.Errorf("%d of %d nodes are active, want %d", got, s.Len(), n)
				}
				check(t, s.CheckActive())
				check(t, s.Ring(nil).CheckLeafSets())
				if !s.Exact() || last != 1 {
					t.Errorf("exact: %t, progress: %g", s.Exact(), last)
				}
			}
			check(t, s.Ring(nil).CheckKeys(100, 30*time.Second))
			check(t, s.CheckHistory())
			if s.Now() > 5*time.Minute {
				t.Errorf("it took %v", s.Now())
			}
		})
	}
}

// TestExact sees what CheckLeafSets sees.
func TestExact(t *testing.T) {
	s := newSim(t, 101, paper(t, "plane"))
	check(t, s.Grow(t.Context(), 60, 20, nil))
	s.Crash(7)
	if s.Exact() {
		t.Error("leaf sets are exact right after a crash")
	}
	for range 600 {
		s.Run(100 * time.Millisecond)
		if got, want := s.Exact(), s.Ring(nil).CheckLeafSets() == nil; got != want {
			t.Fatalf("exact: %t, want %t", got, want)
		}
	}
	if !s.Exact() {
		t.Error("leaf sets are not exact a minute after a crash")
	}
}

func TestGrowDeterministic(t *testing.T) {
	hash := func(seed uint64) uint64 {
		cfg := paper(t, "sphere")
		cfg.Seed, cfg.Jitter, cfg.Loss = seed, 0.2, 0.01
		s := sim.New(cfg)
		check(t, s.Grow(t.Context(), 150, 20, nil))
		return s.Hash()
	}
	first := hash(1)
	if again := hash(1); again != first {
		t.Errorf("second run has hash %x, want %x", again, first)
	}
	if hash(2) == first {
		t.Error("two seeds have the same hash")
	}
}

func TestGrowRefuses(t *testing.T) {
	s := newSim(t, 103, paper(t, "plane"))
	if err := s.Grow(t.Context(), 10, 0, nil); err == nil || !strings.Contains(err.Error(), "rate is 0, must be positive") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Grow(ctx, 1000, 20, func(float64) {
		if s.CountActive() > 20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || s.CountActive() > 100 {
		t.Errorf("error is %v with %d active nodes", err, s.CountActive())
	}
}
