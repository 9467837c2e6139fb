package pastry

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// sightOf returns what a member sees of a ring with members at some points.
func sightOf(whole bool, points ...uint64) *sight {
	s := &sight{member: true, self: ring.FromUint64s(0, points[len(points)/2])}
	s.Whole = whole
	for _, p := range points {
		s.IDs = append(s.IDs, ring.FromUint64s(0, p))
		s.peers = append(s.peers, peer.ID(fmt.Sprint(p)))
	}
	return s
}

func TestSightReplicas(t *testing.T) {
	part := sightOf(false, 100, 200, 300, 400, 500)
	outsider := sightOf(true, 100, 200)
	outsider.member = false
	for _, tt := range []struct {
		name string
		s    *sight
		key  uint64
		r    int
		want []peer.ID // nil: out of sight
	}{
		{"whole ring", sightOf(true, 100, 200, 300), 210, 2, []peer.ID{"200", "300"}},
		{"more than there are", sightOf(true, 100, 200, 300), 210, 8, []peer.ID{"200", "300", "100"}},
		{"ring of one", sightOf(true, 100), 7, 8, []peer.ID{"100"}},
		{"a key that is a member's", part, 300, 1, []peer.ID{"300"}},
		{"a tie goes the way of Closer", part, 250, 2, closest(250, "200", "300")},
		{"all in sight", part, 310, 3, []peer.ID{"300", "400", "200"}},
		{"fewer in sight of the root", part, 310, 5, []peer.ID{"300", "400", "200", "500"}},
		{"fewer in sight of another", part, 410, 5, nil},
		{"only the closest in sight", part, 120, 3, nil},
		{"beyond the view", part, 99, 1, nil},
		{"across the ring", part, 1 << 40, 3, nil},
		{"no member", outsider, 100, 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.s.replicas(ring.FromUint64s(0, tt.key), tt.r)
			if ok != (tt.want != nil) {
				t.Errorf("in sight: got %t, want %t", ok, tt.want != nil)
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("replicas differ (-got +want):\n%s", diff)
			}
		})
	}
}

// closest orders members at points by their distance to a key.
func closest(key uint64, points ...peer.ID) []peer.ID {
	at := func(p peer.ID) ring.ID {
		var n uint64
		fmt.Sscan(string(p), &n)
		return ring.FromUint64s(0, n)
	}
	slices.SortFunc(points, func(a, b peer.ID) int {
		return ring.CompareDistance(ring.FromUint64s(0, key), at(a), at(b))
	})
	return points
}

// Whatever part of a ring a member sees, it names no one as a replica who is not
// among the closest of all.
func TestSightAgreesWithTheRing(t *testing.T) {
	const members, leaves, r = 40, 12, 8
	rng := rand.New(rand.NewPCG(7, 7))
	ids := make([]ring.ID, members)
	for i := range ids {
		ids[i] = ring.Random(rng)
	}
	slices.SortFunc(ids, ring.ID.Compare)
	seen := 0
	for at := range ids {
		s := &sight{member: true, self: ids[at]}
		for k := -leaves / 2; k <= leaves/2; k++ {
			id := ids[(at+k+members)%members]
			s.IDs, s.peers = append(s.IDs, id), append(s.peers, peer.ID(id.String()))
		}
		for range 200 {
			key := ring.Random(rng)
			if rng.IntN(2) == 0 { // near the member
				key = ids[at].Add(ring.FromUint64s(rng.Uint64N(1<<59), 0))
			}
			set, ok := s.replicas(key, r)
			if !ok {
				continue
			}
			seen++
			all := slices.Clone(ids)
			slices.SortFunc(all, func(a, b ring.ID) int { return ring.CompareDistance(key, a, b) })
			for i, p := range set {
				if p != peer.ID(all[i].String()) {
					t.Fatalf("member %d, key %v: replica %d of %d is %s, want %s", at, key, i, len(set), p, all[i])
				}
			}
		}
	}
	if seen < 1000 {
		t.Errorf("replica sets in sight: got %d, want 1,000 at least", seen)
	}
}

func TestSightWithout(t *testing.T) {
	s := sightOf(false, 100, 200, 300)
	got := s.without()
	if diff := cmp.Diff(got.peers, []peer.ID{"100", "300"}); diff != "" || len(got.IDs) != 2 || got.Index(s.self) >= 0 {
		t.Errorf("the others are %v, %v; want the first and the last", got.peers, got.IDs)
	}
	if got.member || got.Whole || got.self != s.self {
		t.Errorf("got member %t, whole %t, self %v; want no member, a part, %v", got.member, got.Whole, got.self, s.self)
	}
	if len(s.IDs) != 3 || !s.member {
		t.Error("the sight itself has changed")
	}
	if again := got.without(); again != got {
		t.Error("a node that is no member sees others without itself")
	}
	if alone := sightOf(true, 100).without(); len(alone.IDs) != 0 || !alone.Whole {
		t.Errorf("a ring of one without its member has %d members, whole %t", len(alone.IDs), alone.Whole)
	}
}

func TestSightPeer(t *testing.T) {
	s := sightOf(false, 100, 200, 300)
	if got, ok := s.peer(ring.FromUint64s(0, 200)); !ok || got != "200" {
		t.Errorf("got %q, %t, want the member", got, ok)
	}
	if got, ok := s.peer(ring.FromUint64s(0, 201)); ok {
		t.Errorf("got %q for an ID that nobody has", got)
	}
}

func TestSightLast(t *testing.T) {
	part := sightOf(false, 100, 200, 300, 400, 500, 600)
	for _, tt := range []struct {
		name string
		s    *sight
		key  uint64
		r    int
		want uint64
	}{
		{"up to where the sets end", part, 310, 2, 400},
		{"one replica", part, 310, 1, 500},
		{"just there", part, 400, 2, 400},
		{"already beyond", part, 410, 2, 410},
		{"a whole ring", sightOf(true, 100, 200, 300), 250, 2, 249},
		{"too small a view", part, 310, 6, 309},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := ring.FromUint64s(0, tt.key)
			if got, want := tt.s.last(key, tt.r), ring.FromUint64s(0, tt.want); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Every key from one up to the last has its replica set in sight.
func TestSightLastIsInSight(t *testing.T) {
	const r = 4
	rng := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		points := make([]uint64, 13)
		for i := range points {
			points[i] = rng.Uint64()
		}
		slices.Sort(points)
		s := sightOf(false, points...)
		key := ring.FromUint64s(0, points[6]) // the member's own
		last := s.last(key, r)
		reach := ring.Clockwise(key, last)
		for range 20 {
			_, low := reach.Uint64s()
			at := key.Add(ring.FromUint64s(0, rng.Uint64N(max(low, 1))))
			if _, ok := s.AppendReplicas(nil, at, r); !ok {
				t.Fatalf("points %v: the replicas of %v are out of sight, %v is the last key", points, at, last)
			}
		}
	}
}
