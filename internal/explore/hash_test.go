package explore

import (
	"slices"
	"testing"
)

// TestEqualStatesGoOnEqually holds the hash of a state against what it stands
// for: where two ways lead to states of one hash, the same steps must be possible
// and lead to states of the same hashes.
func TestEqualStatesGoOnEqually(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
	}{
		{"concurrent joins", Config{Nodes: 3, Members: []int{0}}},
		{"joins with faults", Config{Nodes: 3, Members: []int{0}, Faults: 2}},
		{"joins and crashes", Config{Nodes: 4, Members: []int{0, 2}, Faults: 1, Crashes: 1}},
		{"no member", Config{Nodes: 3, Faults: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(tt.cfg)
			first := make(map[uint64]*world)
			layer := []*world{l.begin(nil)}
			compared := 0
			for len(first) < 6000 && len(layer) > 0 {
				var next []*world
				for _, w := range layer {
					for _, c := range l.choices(w, nil) {
						u := w.clone()
						l.take(u, c)
						h := l.hash(u)
						was := first[h]
						if was == nil {
							first[h] = u
							next = append(next, u)
							continue
						}
						compared++
						if got, want := l.nextHashes(u), l.nextHashes(was); !slices.Equal(got, want) {
							t.Fatalf("two states of hash %x lead to %x and to %x", h, got, want)
						}
					}
				}
				layer = next
			}
			t.Logf("%d states, %d compared with one of the same hash", len(first), compared)
		})
	}
}

// nextHashes returns the hashes of all states that follow, in order.
func (l *lab) nextHashes(w *world) []uint64 {
	var hs []uint64
	for _, c := range l.choices(w, nil) {
		u := w.clone()
		l.take(u, c)
		hs = append(hs, l.hash(u))
	}
	slices.Sort(hs)
	return hs
}
