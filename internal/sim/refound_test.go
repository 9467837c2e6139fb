package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// restart is a whole ring that starts again: nobody is a member.
type restart struct {
	*sim.Sim
	nodes, gone, known int // that start, that never do, and of both those whom each knows
	founders           int // that began a ring
}

func newRestart(cfg sim.Config, nodes, gone, known int) *restart {
	r := &restart{Sim: sim.New(cfg), nodes: nodes, gone: gone, known: known}
	r.Watch = func(i int, a *pastry.Action) {
		if a.Kind == pastry.ActState && a.State == pastry.StateActive && r.Node(i).Leaves().Left() == nil {
			r.founders++
		}
	}
	for i := range nodes + gone {
		r.Add()
		if i >= nodes {
			r.Crash(i)
		}
	}
	return r
}

// join lets a node join through as many of all as it knows, drawn at random.
func (r *restart) join(i int) {
	var via []int
	for _, k := range r.Rand().Perm(r.nodes + r.gone) {
		if k != i && len(via) < r.known {
			via = append(via, k)
		}
	}
	r.Join(i, via...)
}

// check waits until all nodes are one ring and returns what is wrong.
func (r *restart) check(limit time.Duration) error {
	took, ok := r.RunUntil(func() bool { return r.CountActive() == r.nodes && r.Exact() }, 100*time.Millisecond, limit)
	switch {
	case !ok:
		return fmt.Errorf("%d of %d nodes are active after %v, exact: %t", r.CountActive(), r.nodes, took, r.Exact())
	case r.founders != 1:
		return fmt.Errorf("%d nodes began a ring", r.founders)
	}
	return r.CheckHistory()
}

// TestRefound starts whole rings again. One node begins the ring, and only one, also
// where each knows but a few, and most of these are gone for good.
func TestRefound(t *testing.T) {
	for _, tt := range []struct{ nodes, gone, known int }{
		{3, 0, 2}, {60, 0, 59}, {60, 60, 119}, {60, 0, 5}, {60, 60, 10}, {20, 100, 30}, {6, 60, 25},
	} {
		t.Run(fmt.Sprintf("%d nodes, %d gone, %d known", tt.nodes, tt.gone, tt.known), func(t *testing.T) {
			forSeeds(t, min(seeds(1), 6), func(cfg sim.Config) error {
				cfg.Jitter = 0.2
				r := newRestart(cfg, tt.nodes, tt.gone, tt.known)
				for i := range tt.nodes {
					r.After(time.Duration(r.Rand().Int64N(int64(time.Second))), func() { r.join(i) })
				}
				return r.check(30 * time.Second)
			})
		})
	}
}

// TestRefoundBesideRestarts has the node with the smallest id start again every three
// seconds, too early to begin the ring. Another one does in the end.
func TestRefoundBesideRestarts(t *testing.T) {
	forSeeds(t, min(seeds(2), 5), func(cfg sim.Config) error {
		r := newRestart(cfg, 10, 20, 29)
		smallest := 0
		for i := range r.nodes {
			r.join(i)
			if r.ID(i).Less(r.ID(smallest)) {
				smallest = i
			}
		}
		var again func()
		again = func() {
			if r.founders == 0 {
				r.Restart(smallest)
				r.join(smallest)
				r.After(3*time.Second, again)
			}
		}
		r.After(3*time.Second, again)
		return r.check(2 * time.Minute)
	})
}

// TestRefoundImpatiently has everybody told to join again every two seconds.
func TestRefoundImpatiently(t *testing.T) {
	forSeeds(t, min(seeds(2), 5), func(cfg sim.Config) error {
		r := newRestart(cfg, 20, 20, 39)
		for i := range r.nodes {
			var again func()
			again = func() {
				if !r.Active(i) {
					r.join(i)
					r.After(2*time.Second, again)
				}
			}
			again()
		}
		return r.check(30 * time.Second)
	})
}

// TestJoinFarApart lets six nodes join a ring of two at the same instant, all with round
// trips of 300 ms, longer than a grant may be old.
func TestJoinFarApart(t *testing.T) {
	forSeeds(t, 10, func(cfg sim.Config) error {
		cfg.Jitter = 0.05
		cfg.Latency = func(int, int) time.Duration { return 150 * time.Millisecond }
		s := sim.New(cfg)
		if err := build(s, 2); err != nil {
			return err
		}
		for range 6 {
			s.Join(s.Add(), 0)
		}
		if took, ok := s.RunUntil(func() bool { return s.CheckActive() == nil }, 100*time.Millisecond, 20*time.Second); !ok {
			return fmt.Errorf("after %v: %w", took, s.CheckActive())
		}
		return s.CheckHistory()
	})
}

// TestRefoundAfterAlone has nodes that know each other start while there is no network
// yet. When there is one, one node begins the ring.
func TestRefoundAfterAlone(t *testing.T) {
	forSeeds(t, min(seeds(2), 5), func(cfg sim.Config) error {
		cfg.Jitter = 0.2
		r := newRestart(cfg, 20, 0, 19)
		r.Partition(func(i int) int { return i })
		for i := range r.nodes {
			r.After(time.Duration(r.Rand().Int64N(int64(time.Minute))), func() { r.join(i) })
		}
		r.Run(20 * time.Minute)
		r.Heal()
		return r.check(time.Minute)
	})
}
