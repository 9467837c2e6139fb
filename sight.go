package pastry

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// sight is what a node sees of the ring at one moment. It is immutable.
type sight struct {
	ring.View
	peers  []peer.ID // the members, in the order of View.IDs
	self   ring.ID
	member bool // this node is one of them
}

// newSight returns what r sees.
func newSight(r *RawNode) *sight {
	if r.State() != StateActive {
		return &sight{self: r.self.ID}
	}
	v, all := r.view()
	return &sight{View: v, peers: peersOf(all), self: r.self.ID, member: true}
}

// without returns what s shows to a node that leaves: the others.
func (s *sight) without() *sight {
	if !s.member {
		return s
	}
	out := &sight{self: s.self, View: ring.View{Whole: s.Whole}}
	for i, id := range s.IDs {
		if id != s.self {
			out.IDs, out.peers = append(out.IDs, id), append(out.peers, s.peers[i])
		}
	}
	return out
}

// replicas returns the r members closest to key, closest first; on the root of
// key, while its leaf set is being repaired, fewer, but more than half. It reports
// false when the node is no member, or they are out of sight.
func (s *sight) replicas(key ring.ID, r int) ([]peer.ID, bool) {
	if !s.member {
		return nil, false
	}
	var buf [16]int
	r = s.count(r)
	for k := r; k > r/2; k-- {
		places, ok := s.AppendReplicas(buf[:0], key, k)
		if !ok {
			if first, ok := s.AppendReplicas(buf[:0], key, 1); !ok || s.IDs[first[0]] != s.self {
				return nil, false
			}
			continue
		}
		set := make([]peer.ID, len(places))
		for i, at := range places {
			set[i] = s.peers[at]
		}
		return set, true
	}
	return nil, false
}

// count returns how many members hold a record: r, or all if they are fewer.
func (s *sight) count(r int) int {
	if s.Whole {
		r = min(r, len(s.IDs))
	}
	return r
}

// peer returns the member with the given id.
func (s *sight) peer(id ring.ID) (peer.ID, bool) {
	if i := s.Index(id); i >= 0 {
		return s.peers[i], true
	}
	return "", false
}

// last returns the last key, going up from the given one, whose replica set of r
// is in sight; the key itself if no other is.
func (s *sight) last(key ring.ID, r int) ring.ID {
	n := len(s.IDs)
	if s.Whole || n <= r {
		return key.Sub(ring.FromUint64s(0, 1)) // all, or who can tell
	}
	// Half of the replicas are on either side of a key, so one that lies r places
	// before the end of the view has its set in sight.
	last := s.IDs[n-1-r]
	if ring.Clockwise(s.IDs[0], last).Less(ring.Clockwise(s.IDs[0], key)) {
		return key
	}
	return last
}
