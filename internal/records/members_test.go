package records

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/secondbit/pastry/ring"
)

// randomMembers returns the ids of n members in ascending order, at times close
// together.
func randomMembers(rng *rand.Rand, n int) []ring.ID {
	ids := make([]ring.ID, n)
	narrow := rng.IntN(3) == 0
	for i := range ids {
		ids[i] = ring.Random(rng)
		if narrow {
			ids[i] = near(rng.IntN(1<<20) - 1<<19)
		}
	}
	slices.SortFunc(ids, ring.ID.Compare)
	return slices.Compact(ids)
}

// viewOf returns what a member sees that has so many leaves on a side.
func viewOf(ids []ring.ID, place, side int) ring.View {
	n := len(ids)
	if n <= 2*side+1 {
		return ring.View{IDs: slices.Concat(ids[place:], ids[:place]), Whole: true}
	}
	var v ring.View
	for i := place - side; i <= place+side; i++ {
		v.IDs = append(v.IDs, ids[(i+n)%n])
	}
	return v
}

// closest returns the k members closest to a key in ascending order.
func closest(ids []ring.ID, key ring.ID, k int) []ring.ID {
	s := slices.Clone(ids)
	slices.SortFunc(s, func(a, b ring.ID) int { return ring.CompareDistance(key, a, b) })
	s = s[:min(k, len(s))]
	slices.SortFunc(s, ring.ID.Compare)
	return s
}

// telling returns keys at which replica sets change, and others.
func telling(rng *rand.Rand, ids []ring.ID) []ring.ID {
	var keys []ring.ID
	for range 30 {
		k := halfway(ids[rng.IntN(len(ids))], ids[rng.IntN(len(ids))])
		keys = append(keys, prior(k), k, after(k), after(after(k)), ring.Random(rng), ids[rng.IntN(len(ids))])
	}
	return keys
}

// TestMembers checks what the view of a member says of keys against sorting all
// members of the ring.
func TestMembers(t *testing.T) {
	for seed := range uint64(1500) {
		rng := newRand(seed)
		ids := randomMembers(rng, 1+rng.IntN(40))
		r, side, place := 1+rng.IntN(9), 1+rng.IntN(14), rng.IntN(len(ids))
		self := ids[place]
		m := newMembers(viewOf(ids, place, side), self, true, r)
		own, ok := m.own()
		if want := m.view.Whole || side >= r; ok != want {
			t.Fatalf("seed %d: %d members, %d a side: own range is seen: %t", seed, len(ids), side, ok)
		}
		for _, k := range telling(rng, ids) {
			set := closest(ids, k, r)
			mine := slices.Contains(set, self)
			if got := own.contains(k); ok && got != mine {
				t.Fatalf("seed %d: %v is a replica of %v: got %t", seed, self, k, got)
			}
			for i, id := range m.view.IDs {
				want := ok && id != self && mine && slices.Contains(set, id)
				if got := m.shared(i).contains(k); ok && got != want {
					t.Fatalf("seed %d: %v shared with %v: got %t", seed, k, id, got)
				}
			}
			if among := slices.Contains(closest(ids, k, r+r/2), self); among && !m.mayBeAmong(k, r+r/2) {
				t.Fatalf("seed %d: cannot be among the closest to %v", seed, k)
			}
			checkReplicas(t, seed, m, k, set)
		}
	}
}

// checkReplicas checks the replica set of a key and the arc in which it is the
// same: at its ends, and right beyond.
func checkReplicas(t *testing.T, seed uint64, m members, key ring.ID, want []ring.ID) {
	t.Helper()
	sees := func(k ring.ID) ([]ring.ID, bool) {
		places, ok := m.view.AppendReplicas(nil, k, m.replicas)
		var set []ring.ID
		for _, p := range places {
			set = append(set, m.view.IDs[p])
		}
		slices.SortFunc(set, ring.ID.Compare)
		return set, ok
	}
	got, arc, ok := m.replicasOf(key)
	if _, seen := sees(key); ok != seen {
		t.Fatalf("seed %d: replicas of %v are seen: %t", seed, key, ok)
	}
	if !ok {
		return
	}
	slices.SortFunc(got, ring.ID.Compare)
	if !slices.Equal(got, want) || !arc.Contains(key) {
		t.Fatalf("seed %d: replicas of %v in %v: got %v, want %v", seed, key, arc, got, want)
	}
	for _, k := range []ring.ID{arc.First, arc.Last} {
		if set, ok := sees(k); !ok || !slices.Equal(set, want) {
			t.Fatalf("seed %d: replicas at the end %v of %v: got %v, %t, want %v", seed, k, arc, set, ok, want)
		}
	}
	if m.few() {
		return
	}
	for _, k := range []ring.ID{prior(arc.First), after(arc.Last)} {
		if set, ok := sees(k); ok && slices.Equal(set, want) {
			t.Fatalf("seed %d: replicas at %v beyond %v are the same", seed, k, arc)
		}
	}
}

// TestMembersTogether checks that members with exact views share the same keys,
// from both sides.
func TestMembersTogether(t *testing.T) {
	for seed := range uint64(300) {
		rng := newRand(seed)
		ids := randomMembers(rng, 2+rng.IntN(30))
		r := 1 + rng.IntN(8)
		side := r + rng.IntN(5)
		a, b := rng.IntN(len(ids)), rng.IntN(len(ids))
		ma := newMembers(viewOf(ids, a, side), ids[a], true, r)
		mb := newMembers(viewOf(ids, b, side), ids[b], true, r)
		pa, pb := ma.view.Index(ids[b]), mb.view.Index(ids[a])
		if a == b || pa < 0 {
			continue
		}
		if ab, ba := ma.shared(pa), mb.shared(pb); !slices.Equal(ab, ba) {
			t.Fatalf("seed %d: shared are %v and %v", seed, ab, ba)
		}
	}
}

func TestMembersGone(t *testing.T) {
	a, b := near(1), near(5)
	m := newMembers(ring.View{IDs: []ring.ID{a, b}, Whole: true}, a, false, 2)
	if set, _, ok := m.replicasOf(a); !ok || !slices.Equal(set, []ring.ID{b}) {
		t.Errorf("without a, replicas are %v, %t", set, ok)
	}
	if _, ok := m.own(); ok || m.shared(0) != nil || m.mayBeAmong(a, 9) {
		t.Error("one that is no member is a replica")
	}
}
