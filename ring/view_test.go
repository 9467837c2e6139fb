package ring

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// randomRing returns n members going up the ring from a random one.
func randomRing(rng *rand.Rand, n int) []ID {
	ids := make([]ID, n)
	for i := range ids {
		ids[i] = Random(rng)
	}
	slices.SortFunc(ids, ID.Compare)
	turn := rng.IntN(n)
	return slices.Concat(ids[turn:], ids[:turn])
}

// nearest returns the places of the k members closest to key, by sorting.
func nearest(ids []ID, key ID, k int) []int {
	places := make([]int, len(ids))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return CompareDistance(key, ids[a], ids[b]) })
	return places[:min(k, len(ids))]
}

// TestViewReplicas compares a whole view with sorting, and a part of it with the
// whole: what a part says is true.
func TestViewReplicas(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	said := 0
	for round := range 2000 {
		n := 1 + rng.IntN(40)
		ids := randomRing(rng, n)
		key, k := Random(rng), rng.IntN(12)
		if rng.IntN(4) == 0 {
			key = ids[rng.IntN(n)]
		}
		want := nearest(ids, key, k)
		got, ok := View{IDs: ids, Whole: true}.AppendReplicas(nil, key, k)
		if !ok || !slices.Equal(got, want) {
			t.Fatalf("seed %d, round %d: whole view: got %v, %t, want %v", seed, round, got, ok, want)
		}
		part := View{IDs: ids[:1+rng.IntN(n)]}
		got, ok = part.AppendReplicas([]int{-7}, key, k)
		if ok && k > 0 {
			said++
			if !slices.Equal(got[1:], want) {
				t.Fatalf("seed %d, round %d: part: got %v, want %v", seed, round, got[1:], want)
			}
		}
		if got[0] != -7 || !ok && len(got) != 1 {
			t.Fatalf("seed %d, round %d: got %v appended to [-7], %t", seed, round, got, ok)
		}
	}
	if said < 100 {
		t.Errorf("parts of rings named %d replica sets, want 100 or more", said)
	}
}

// TestViewRange checks that a member is among the rank+1 closest to the ends of
// its range, and not right beyond.
func TestViewRange(t *testing.T) {
	const seed = 2
	rng := rand.New(rand.NewPCG(seed, seed))
	one := FromUint64s(0, 1)
	for round := range 2000 {
		n := 2 + rng.IntN(40)
		ids := randomRing(rng, n)
		rank, place := rng.IntN(n-1), rng.IntN(n)
		first, last, ok := View{IDs: ids, Whole: true}.Range(place, rank)
		if !ok {
			t.Fatalf("seed %d, round %d: no range", seed, round)
		}
		for key, in := range map[ID]bool{first: true, last: true, first.Sub(one): false, last.Add(one): false} {
			if got := slices.Contains(nearest(ids, key, rank+1), place); got != in {
				t.Fatalf("seed %d, round %d: n=%d rank=%d: key %v of [%v, %v]: among the closest %t, want %t", seed, round, n, rank, key, first, last, got, in)
			}
		}
		part := View{IDs: ids[:1+rng.IntN(n)]}
		if f, l, ok := part.Range(min(place, len(part.IDs)-1), rank); ok && place < len(part.IDs) && (f != first || l != last) {
			t.Fatalf("seed %d, round %d: part: got [%v, %v], want [%v, %v]", seed, round, f, l, first, last)
		}
	}
}

func TestViewEdges(t *testing.T) {
	a, b := FromUint64s(0, 10), FromUint64s(0, 20)
	two := View{IDs: []ID{a, b}, Whole: true}
	if first, last, ok := two.Range(1, 1); !ok || first != b || last != FromUint64s(0, 19) {
		t.Errorf("got [%v, %v], %t, want the whole ring from %v", first, last, ok, b)
	}
	if got, ok := (View{}).AppendReplicas(nil, a, 1); ok || got != nil {
		t.Errorf("an empty view named %v", got)
	}
	if got := []int{two.Index(a), two.Index(b), two.Index(FromUint64s(0, 15))}; !cmp.Equal(got, []int{0, 1, -1}) {
		t.Errorf("got places %v", got)
	}
	for _, place := range []int{-1, 2} {
		if _, _, ok := two.Range(place, 0); ok {
			t.Errorf("a range at place %d", place)
		}
	}
}
