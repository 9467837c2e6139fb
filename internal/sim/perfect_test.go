package sim_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// TestPerfectTables compares the tables of every node with what a search of all
// nodes finds: leaf sets exact, every entry filled that can be, each by the
// nearest there are, and the neighborhood set by the nearest of all.
func TestPerfectTables(t *testing.T) {
	tests := []struct {
		name string
		cfg  sim.Config
	}{
		{"plane", paper(t, "plane")},
		{"sphere", paper(t, "sphere")},
		{"regions", paper(t, "regions")},
		{"default", sim.Config{}},
		{"any latency", sim.Config{Latency: func(i, j int) time.Duration {
			return time.Duration(1+(i*j)%97) * time.Millisecond
		}}},
		{"three bits", sim.Config{Topology: open(t, "plane"), Tune: func(_ int, c *pastry.Config) {
			c.LeafSetSize, c.DigitBits, c.NeighborhoodSize = 8, 3, 5
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{1, 2, 10, 700} {
				s := newSim(t, 107, tt.cfg)
				check(t, s.Perfect(t.Context(), n, nil))
				if got := s.CountActive(); got != n {
					t.Errorf("%d active nodes, want %d", got, n)
				}
				for i := range n {
					checkPerfect(t, s, i)
				}
				check(t, s.Ring(nil).CheckLeafSets())
				if s.Counts() != (sim.Counts{}) {
					t.Errorf("%d nodes: %+v happened", n, s.Counts())
				}
			}
		})
	}
}

// checkPerfect compares the tables of one node with the truth.
func checkPerfect(t *testing.T, s *sim.Sim, i int) {
	t.Helper()
	node := s.Node(i)
	byRTT := make([]int, 0, s.Len())
	for j := range s.Len() {
		if j != i {
			byRTT = append(byRTT, j)
		}
	}
	slices.SortStableFunc(byRTT, func(a, b int) int { return cmp.Compare(s.RTT(i, a), s.RTT(i, b)) })
	bits, size := 4, 24
	if cfg := (pastry.Config{}); s.Tune != nil {
		s.Tune(i, &cfg)
		bits, size = cmp.Or(cfg.DigitBits, bits), cmp.Or(cfg.NeighborhoodSize, size)
	}
	hood := names(s, node.Neighborhood().AppendMembers(nil))
	if got, want := rtts(s, i, hood), rtts(s, i, byRTT[:min(size, len(byRTT))]); !slices.Equal(got, want) {
		t.Fatalf("round trips from node %d to its neighborhood set are %v, want %v", i, got, want)
	}
	type place struct{ row, column int }
	want := make(map[place][]int)
	for _, j := range byRTT {
		row := ring.SharedPrefixLen(s.ID(i), s.ID(j), bits)
		at := place{row, s.ID(j).Digit(row, bits)}
		if len(want[at]) < 3 {
			want[at] = append(want[at], j)
		}
	}
	got := make(map[place][]int)
	for _, c := range node.Table().AppendAll(nil) {
		row := ring.SharedPrefixLen(s.ID(i), c.ID, bits)
		at := place{row, c.ID.Digit(row, bits)}
		got[at] = append(got[at], s.Index(c.Peer))
		if rtt := node.RTT(c.ID); rtt != s.RTT(i, s.Index(c.Peer)) {
			t.Fatalf("node %d takes the round trip to node %d for %v, want %v", i, s.Index(c.Peer), rtt, s.RTT(i, s.Index(c.Peer)))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("node %d has %d entries, want %d", i, len(got), len(want))
	}
	for at := range want {
		if got, want := rtts(s, i, got[at]), rtts(s, i, want[at]); !slices.Equal(got, want) {
			t.Fatalf("round trips from node %d to entry %v are %v, want %v", i, at, got, want)
		}
	}
}

func rtts(s *sim.Sim, i int, others []int) []time.Duration {
	var ds []time.Duration
	for _, j := range others {
		ds = append(ds, s.RTT(i, j))
	}
	return ds
}

// TestPerfectLookups sends messages over perfect tables. Only the nodes they
// reach are made, all go to their root, and twice the same happens.
func TestPerfectLookups(t *testing.T) {
	run := func() *sim.Sim {
		s := newSim(t, 109, paper(t, "sphere"))
		check(t, s.Perfect(t.Context(), 20000, nil))
		for range 300 {
			s.Route(s.RandomActive(), s.RandomKey(), 10*time.Second)
		}
		s.Run(2 * time.Second)
		return s
	}
	s := run()
	if made := sim.Made(s); made < 300 || made > 3000 {
		t.Errorf("%d nodes were made, want some that are reached by 300 messages", made)
	}
	for _, m := range s.Messages() {
		if len(m.Deliveries) != 1 || !m.OK() || m.Deliveries[0].Node != s.Root(m.Msg.Key) {
			t.Fatalf("%v: %v, answer %v, want delivery by node %d", m, m.Deliveries, m.Answer, s.Root(m.Msg.Key))
		}
	}
	check(t, s.CheckHistory())
	if got, want := run().Hash(), s.Hash(); got != want {
		t.Errorf("second run has hash %x, want %x", got, want)
	}
}

// TestPerfectLives lets a perfect ring live on: it repairs crashes, takes in
// joiners, and stays exact.
func TestPerfectLives(t *testing.T) {
	s := newSim(t, 113, paper(t, "plane"))
	check(t, s.Perfect(t.Context(), 200, nil))
	for i := range 20 {
		s.Crash(i * 7)
	}
	if made := sim.Made(s); made != 200 {
		t.Errorf("%d nodes were made before the first crash, want all", made)
	}
	settles(t, s, time.Minute)
	check(t, s.Grow(t.Context(), 220, 20, nil))
	check(t, s.Ring(nil).CheckKeys(200, 10*time.Second))
	s.Run(10 * time.Minute)
	check(t, s.Ring(nil).CheckLeafSets())
	check(t, s.CheckHistory())
}

func TestPerfectRefuses(t *testing.T) {
	s := newSim(t, 127, sim.Config{})
	if err := s.Perfect(t.Context(), 0, nil); err == nil || !strings.Contains(err.Error(), "0 nodes, must be at least 1") {
		t.Errorf("error is %v", err)
	}
	s.Add()
	if err := s.Perfect(t.Context(), 10, nil); err == nil || !strings.Contains(err.Error(), "there are nodes already") {
		t.Errorf("error is %v", err)
	}
}

// TestPerfectCancelled ends the making of a ring, and of the members that are made
// later.
func TestPerfectCancelled(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := newSim(t, 131, paper(t, "plane"))
		if err := s.Perfect(ctx, 1<<30, nil); !errors.Is(err, context.Canceled) || s.Len() > 0 {
			t.Errorf("error is %v after %d nodes, want %v after none", err, s.Len(), context.Canceled)
		}
	})
	t.Run("meanwhile", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSim(t, 131, paper(t, "plane"))
		err := s.Perfect(ctx, 1<<30, func(float64) {
			if s.Len() > 5000 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || s.Len() > 10000 {
			t.Errorf("error is %v after %d nodes, want %v after few", err, s.Len(), context.Canceled)
		}
	})
	for _, tt := range []struct {
		name string
		do   func(s *sim.Sim)
	}{
		{"in all at once", func(s *sim.Sim) { s.Crash(0) }},
		{"by messages", func(s *sim.Sim) {
			for i := range s.Len() {
				s.Route(i, s.RandomKey(), 10*time.Second)
				s.Run(time.Millisecond)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			made := 0
			cfg := paper(t, "plane")
			cfg.Watch = func(_ int, a *pastry.Action) {
				if a.Kind != pastry.ActState {
					return
				}
				if made++; made == 50 {
					cancel()
				}
			}
			s := newSim(t, 131, cfg)
			check(t, s.Perfect(ctx, 1000, nil))
			tt.do(s)
			if got := sim.Made(s); got != 50 {
				t.Errorf("%d nodes were made, want the 50 before the end", got)
			}
			for i := range s.Len() {
				s.Crash(i)
				s.Restart(i)
			}
			s.Run(time.Minute)
		})
	}
}
