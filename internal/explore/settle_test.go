package explore

import "testing"

// TestSettlingIsFollowed holds what a search knows of how a state settles, from the
// states that follow, against a run from that state. Of states that count as equal the
// packets may have been sent in another order, and arrive so in the run: most, not
// all, take as long.
func TestSettlingIsFollowed(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"concurrent joins", Config{Nodes: 3, Members: []int{0}, Depth: 14}},
		{"joins with faults", Config{Nodes: 3, Members: []int{0}, Faults: 2, Depth: 8}},
		{"joins and crashes", Config{Nodes: 4, Members: []int{0, 2}, Faults: 1, Crashes: 1, Depth: 6}},
		{"no member", Config{Nodes: 3, Faults: 1, Depth: 6}},
		{"after a rest", Config{Nodes: 4, Members: []int{0, 1, 2, 3}, Crashes: 2, Rests: 1, Script: rest, Depth: 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Limit = unlimited
			s := &search{lab: newLab(tt.cfg), seen: make(map[uint64]int32)}
			s.meet(s.begin(nil), -1, Choice{})
			var all []frontier
			for s.Complete < tt.cfg.Depth {
				all = append(all, s.nodes...)
				s.layer()
			}
			s.settleAll()
			alike := 0
			for _, f := range all {
				took, err := s.settles(f.w)
				if got := s.visits[f.at]; err != nil || !got.settled {
					t.Fatalf("state %d of %d settles %t, want true: %v", f.at, s.States, got.settled, err)
				} else if got.took == took {
					alike++
				}
			}
			if 4*alike < 3*len(all) {
				t.Errorf("%d of %d states settle after another time", len(all)-alike, len(all))
			}
			t.Logf("%d states, %d of them tried; of %d held against it %d take as long", s.States, s.Tried, len(all), alike)
		})
	}
}
