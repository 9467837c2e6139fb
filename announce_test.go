package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// words returns to whom the last actions sent word for holders, and for whom, and fails
// unless it is of one death and has crossed so many links.
func (s *script) words(dead, hops int) map[int][]int {
	s.t.Helper()
	told := make(map[int][]int)
	to, ps := s.sent(KindSuspect)
	for i, p := range ps {
		at := points(to[i : i+1])[0]
		switch {
		case len(p.Holders) == 0:
		case len(told[at]) > 0:
			s.t.Errorf("two packets to %d", at)
		case p.Hops != hops || !slices.Equal(points(contactsAt(p.Suspects...)), []int{dead}):
			s.t.Errorf("packet to %d is %+v, want %d dead, after %d hops", at, p, dead, hops)
		default:
			told[at] = placesOf(p.Holders)
		}
	}
	return told
}

// keeperIDs returns ids at points, ascending.
func keeperIDs(at ...int) (ids []ring.ID) {
	for _, n := range at {
		ids = append(ids, point(n))
	}
	return ids
}

// TestAnnounce has a node go: who keeps it is told by its left neighbour, those for
// whom the next hop is the same by one packet. The node at 650 is gone, since it is not
// in the leaf set.
func TestAnnounce(t *testing.T) {
	dies := func(at int) func(s *script) {
		return func(s *script) {
			s.step(Input{Kind: InDisconnected, From: contactAt(point(at))})
			if _, gone := s.goneAfter(at, 10*time.Second); !gone {
				s.t.Fatal("a silent node is not dead")
			}
		}
	}
	leaves := func(s *script) {
		s.hear(contactAt(point(600)), &Packet{Kind: KindLeave, Seq: 8})
	}
	keepers := keeperIDs(120, 300, 400, 500, 600, 650, 700, 903, 904, 910, 912)
	all := map[int][]int{300: {120, 300}, 400: {400}, 700: {700}, 900: {903, 904}, 910: {910, 912}}
	for _, tt := range []struct {
		name    string
		holders []ring.ID
		goes    func(s *script)
		dead    int
		want    map[int][]int
	}{
		{"right neighbour dies", keepers, dies(600), 600, all},
		{"right neighbour leaves", keepers, leaves, 600, all},
		{"left neighbour dies", keepers, dies(400), 400, nil},
		{"next to the right neighbour", keepers, dies(700), 700, nil},
		{"nobody keeps it", nil, dies(600), 600, nil},
		{"only one that is gone", keeperIDs(650), dies(600), 600, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat, Holders: tt.holders})
			tt.goes(s)
			want := tt.want
			if want == nil {
				want = map[int][]int{}
			}
			if diff := cmp.Diff(s.words(tt.dead, 1), want); diff != "" {
				t.Errorf("holders told, by next hop (-got +want):\n%s", diff)
			}
			leaves(s)
			if got := s.words(600, 1); tt.dead == 600 && len(got) > 0 {
				t.Errorf("%v are told a second time", got)
			}
		})
	}
}

// TestAnnounceWhileJoining has a node that is no member, and so no left neighbour, bury
// one whose holders it has in mind.
func TestAnnounceWhileJoining(t *testing.T) {
	s := forwarder(t)
	s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat, Holders: keeperIDs(400, 910)})
	s.n.state = StateLeaving
	s.n.announce(point(600))
	s.out = s.n.take()
	s.none(KindSuspect)
	if s.n.ward.id == point(600) {
		t.Error("it keeps the holders of a dead node in mind")
	}
}
