package sim_test

import (
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// TestCrashedIsSilent crashes nodes in the very instant in which they send a message:
// nothing is heard of them any more, not even what waited for a signature.
func TestCrashedIsSilent(t *testing.T) {
	s := newSim(t, 1, sim.Config{})
	grow(t, s, 100)
	dead, sent, cut := make(map[int]bool), 0, s.Counts().Cut
	s.Watch = func(i int, a *pastry.Action) {
		if dead[i] && a.Kind == pastry.ActSend {
			sent++
		}
	}
	for i := 1; i < 40; i++ {
		s.Route(i, s.RandomKey(), 10*time.Second)
		s.Crash(i)
		dead[i] = true
		s.Run(5 * time.Second)
	}
	if sent > 0 {
		t.Errorf("nodes sent %d packets after their crash", sent)
	}
	if s.Counts().Cut == cut {
		t.Error("no packet to a node that had crashed was counted")
	}
}

// TestPerfectForwards has the application asked on the way of each message, in a ring
// that nobody joined, too.
func TestPerfectForwards(t *testing.T) {
	asked := 0
	s := newSim(t, 1, sim.Config{Forward: func(_ int, m *pastry.Routed, _ *pastry.Contact) *pastry.Routed { asked++; return m }})
	check(t, s.Perfect(t.Context(), 500, nil))
	for range 100 {
		s.Route(s.RandomActive(), s.RandomKey(), 10*time.Second)
	}
	s.Run(10 * time.Second)
	if asked < 50 {
		t.Errorf("applications were asked %d times to forward one of 100 messages", asked)
	}
}
