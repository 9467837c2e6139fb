package records

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/secondbit/pastry/ring"
)

// near returns one of the keys around the top of the ring, which small numbers
// name, negative ones included.
func near(i int) ring.ID {
	if i < 0 {
		return ring.ID{}.Sub(ring.FromUint64s(0, uint64(-i)))
	}
	return ring.FromUint64s(0, uint64(i))
}

const nearby = 12 // keys to each side of the top

func randomArcs(rng *rand.Rand) []Arc {
	arcs := make([]Arc, rng.IntN(5))
	for i := range arcs {
		arcs[i] = Arc{First: near(rng.IntN(2*nearby) - nearby), Last: near(rng.IntN(2*nearby) - nearby)}
		switch rng.IntN(10) {
		case 0:
			arcs[i] = Arc{First: arcs[i].First, Last: prior(arcs[i].First)}
		case 1, 2, 3, 4:
			arcs[i].Last = arcs[i].First.Add(near(rng.IntN(4)))
		}
	}
	return arcs
}

// TestArcSets compares sets of arcs with what they say of each of some keys.
func TestArcSets(t *testing.T) {
	keys := []ring.ID{ring.FromUint64s(1<<63, 0), ring.FromUint64s(1<<62, 7)}
	for i := -nearby - 2; i < nearby+6; i++ {
		keys = append(keys, near(i))
	}
	for seed := range uint64(3000) {
		rng := newRand(seed)
		as, bs := randomArcs(rng), randomArcs(rng)
		a, b := newArcSet(as...), newArcSet(bs...)
		within, overlaps := true, false
		for _, k := range keys {
			inA := slices.ContainsFunc(as, func(arc Arc) bool { return arc.Contains(k) })
			inB := slices.ContainsFunc(bs, func(arc Arc) bool { return arc.Contains(k) })
			within, overlaps = within && (!inA || inB), overlaps || inA && inB
			for _, tt := range []struct {
				name string
				set  arcSet
				want bool
			}{
				{"new", a, inA},
				{"union", a.union(b), inA || inB},
				{"intersect", a.intersect(b), inA && inB},
				{"complement", a.complement(), !inA},
				{"arcs", newArcSet(a.arcs()...), inA},
			} {
				if got := tt.set.contains(k); got != tt.want {
					t.Fatalf("seed %d: %s of %v, %v contains %v: got %t, want %t", seed, tt.name, as, bs, k, got, tt.want)
				}
				checkNormal(t, tt.set)
			}
		}
		if got := a.within(b); got != within {
			t.Fatalf("seed %d: %v within %v: got %t", seed, as, bs, got)
		}
		if got := a.overlaps(b); got != overlaps {
			t.Fatalf("seed %d: %v overlaps %v: got %t", seed, as, bs, got)
		}
		if n := len(a.arcs()); n > len(as) {
			t.Fatalf("seed %d: %v as %d arcs", seed, as, n)
		}
	}
}

func checkNormal(t *testing.T, s arcSet) {
	t.Helper()
	for i, a := range s {
		if a.wraps() || i > 0 && !s[i-1].Last.Less(prior(a.First)) {
			t.Fatalf("%v is not in order", s)
		}
	}
}
