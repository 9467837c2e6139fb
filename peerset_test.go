package pastry

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/secondbit/pastry/ring"
)

// TestPeerSetAgainstModel compares the set of peers with a map, also for ids that
// all want the same slot.
func TestPeerSetAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 9))
		s := peerSet{salt: rng.Uint64() | 1}
		if seed%4 == 0 {
			s.salt = 0
		}
		model := make(map[ring.ID]*peerState)
		for range 600 {
			id := ring.FromUint64s(rng.Uint64N(2), rng.Uint64N(60))
			switch p := model[id]; {
			case rng.IntN(50) == 0:
				odd := func(id ring.ID) bool { _, lo := id.Uint64s(); return lo%2 == 1 }
				s.removeIf(func(id ring.ID, _ *peerState) bool { return odd(id) })
				maps.DeleteFunc(model, func(id ring.ID, _ *peerState) bool { return odd(id) })
			case p == nil:
				p = &peerState{c: contactAt(id)}
				s.add(p)
				model[id] = p
			case rng.IntN(3) > 0:
				s.remove(id)
				s.remove(id)
				delete(model, id)
			}
			if got, want := s.get(id), model[id]; got != want {
				t.Fatalf("seed %d: peer %v is %p, want %p", seed, id, got, want)
			}
		}
		all := make(map[ring.ID]*peerState)
		for p := range s.all() {
			all[p.c.ID] = p
		}
		if !maps.Equal(all, model) || s.len() != len(model) {
			t.Fatalf("seed %d: %d peers, %v; want %d, %v", seed, s.len(), all, len(model), model)
		}
	}
}

// TestPlaceByIDAgainstModel compares the places of contacts with a search.
func TestPlaceByIDAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 10))
	var places placeByID
	var all []*Contact
	for range 3000 {
		id := ring.FromUint64s(rng.Uint64N(3), rng.Uint64N(500)<<rng.IntN(50))
		want := -1
		for i, c := range all {
			if c.ID == id {
				want = i
			}
		}
		if got := places.find(all, id); got != want {
			t.Fatalf("place of %v is %d, want %d", id, got, want)
		}
		if want < 0 {
			all = append(all, contactAt(id))
			places.added(all)
		}
	}
}
