package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFinders compares the finders with a look at every place, for groups of all
// sizes and for places inside and outside of them.
func TestFinders(t *testing.T) {
	measured, err := regions()
	if err != nil {
		t.Fatal(err)
	}
	for _, topology := range []Topology{plane{}, sphere{}, globe{}, measured} {
		t.Run(topology.Name(), func(t *testing.T) {
			for seed := range uint64(40) {
				rng := rand.New(rand.NewPCG(seed, 1))
				places := make([]Place, 2+rng.IntN(2000))
				for i := range places {
					places[i] = topology.Place(rng)
					if i > 0 && rng.IntN(20) == 0 {
						places[i] = places[i-1] // two at one point
					}
				}
				from := rng.IntN(len(places))
				to := from + 1 + rng.IntN(len(places)-from)
				x := newFinder(topology, places, from, to)
				for range 50 {
					self := rng.IntN(len(places))
					k := 1 + rng.IntN(40)
					got, want := nearestFew{k: k}, nearestFew{k: k}
					x.find(&places[self], int32(self), &got)
					list{topology, places, from, to}.find(&places[self], int32(self), &want)
					if !slices.Equal(got.found, want.found) {
						t.Fatalf("seed %d: the %d nearest to %d in %d to %d are %v, want %v", seed, k, self, from, to, got.found, want.found)
					}
				}
			}
		})
	}
}
