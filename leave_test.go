package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// acksLeaves acknowledges every Leave among the last actions, but to the silent ones,
// and keeps what the node did since.
func (s *script) acksLeaves(silent ...int) (told []int) {
	s.t.Helper()
	to, ps := s.sent(KindLeave)
	told = points(to)
	var out []Action
	for i, p := range ps {
		if !slices.Contains(silent, told[i]) {
			out = append(out, s.hear(to[i], &Packet{Kind: KindAck, Seq: p.Seq})...)
		}
	}
	s.out = out
	return told
}

// TestLeave has a node leave: first its two neighbours, with what it delivered,
// then all others; then it is idle.
func TestLeave(t *testing.T) {
	s := forwarder(t)
	s.routed2(510, 1)
	s.step(answered(CodeOK))
	s.step(Input{Kind: InLeave})
	for _, at := range []int{400, 600} {
		if got := s.one(at, KindLeave).Delivered; len(got) != 1 || got[0].ID != messageID(1) {
			t.Errorf("%d is handed %v, want message 1", at, got)
		}
	}
	if to, _ := s.sent(KindLeave); len(to) != 2 {
		t.Errorf("%d nodes are told first, want the two neighbours", len(to))
	}
	s.acksLeaves()
	if got := s.n.State(); got != StateLeaving {
		t.Errorf("state is %v after the neighbours know, want leaving", got)
	}
	for _, at := range []int{300, 700, 900, 910} {
		s.one(at, KindLeave)
	}
	s.acksLeaves()
	s.wait(5 * time.Second)
	if got := s.n.State(); got != StateIdle {
		t.Errorf("state is %v after everybody knows, want idle", got)
	}
	if at, ok := s.n.Deadline(); ok {
		t.Errorf("a node that has left waits until %v", at)
	}
	s.hear(contactAt(point(400)), &Packet{Kind: KindProbe, Seq: 4})
	if got := s.one(400, KindProbeReply).State; got != StateLeaving {
		t.Errorf("a node that has left says it is %v, want leaving", got)
	}
	if s.step(Input{Kind: InJoin, Contacts: contactsAt(point(400))}); s.n.State() != StateIdle {
		t.Error("a node that has left joined again in the same incarnation")
	}
}

// TestLeaveOfSilentNeighbors has nobody answer: leaving ends by itself.
func TestLeaveOfSilentNeighbors(t *testing.T) {
	s := forwarder(t)
	s.step(Input{Kind: InLeave})
	s.wait(handTimeout + leaveTimeout + 10*time.Millisecond)
	if got := s.n.State(); got != StateIdle {
		t.Errorf("state is %v, want idle", got)
	}
}

// TestLeavingNodeDeliversNothing has messages come while the neighbours take
// over: what is for them waits there, the rest goes on as before.
func TestLeavingNodeDeliversNothing(t *testing.T) {
	s := forwarder(t)
	s.step(Input{Kind: InLeave})
	s.routed2(510, 1)
	s.none(KindAck)
	if len(s.did(ActDeliver)) > 0 {
		t.Error("a leaving node delivered a new message")
	}
	s.routed2(905, 2)
	wantHops(t, "a message for others", s.hops(), 900)
	s.acksLeaves()
}

func TestLeaveAlone(t *testing.T) {
	s := newScript(t, 500)
	s.step(Input{Kind: InJoin})
	s.step(Input{Kind: InLeave})
	if s.wait(time.Second); s.n.State() != StateIdle {
		t.Errorf("state is %v, want idle", s.n.State())
	}
}

// TestLeaveEndsCalls has messages of the node's own on their way when it leaves:
// each ends with a receipt.
func TestLeaveEndsCalls(t *testing.T) {
	s := forwarder(t)
	for i := range 3 {
		s.step(Input{Kind: InRoute, Msg: messageFrom(500, point(600+i), i), TTL: time.Minute})
	}
	s.step(Input{Kind: InLeave})
	s.wait(5 * time.Second)
	if got := len(s.did(ActReceipt)); got != 3 || len(s.n.calls) != 0 {
		t.Errorf("%d receipts, %d calls left; want 3 and none", got, len(s.n.calls))
	}
}

// TestNeighborLeaves has a leaf say goodbye: it is gone at once, without a hole
// in the leaf set, since who is beyond is asked for.
func TestNeighborLeaves(t *testing.T) {
	s := forwarder(t)
	s.hear(contactAt(point(600)), &Packet{Kind: KindLeave, Seq: 5})
	s.one(600, KindAck)
	if a := s.only(ActGone); a.To.ID != point(600) || a.Code != CodeNotActive {
		t.Errorf("gone is %v with %v, want 600, which has left", a.To.ID, a.Code)
	}
	probe := s.one(700, KindProbe)
	if probe.Want&WantLeaves == 0 {
		t.Errorf("the farthest leaf is asked for %v, want its leaf set", probe.Want)
	}
	s.replies(contactAt(point(700)), probe, contactAt(point(800)), contactAt(point(600)))
	if len(s.sentTo(600, KindProbe)) > 0 {
		t.Error("a node that has left is asked back by hearsay")
	}
	s.replies(contactAt(point(800)), s.one(800, KindProbe))
	wantPoints(t, "the larger side", s.n.leaves.Larger(), 700, 800)
}

// TestLeaveAtOnce has a node told to leave again while it waits for the others.
func TestLeaveAtOnce(t *testing.T) {
	s := forwarder(t)
	s.step(Input{Kind: InRoute, Msg: messageFrom(500, point(700), 1), TTL: time.Minute})
	s.step(Input{Kind: InLeave})
	s.step(Input{Kind: InLeave})
	if got := s.only(ActReceipt).Answer.Code; got != CodeNotActive {
		t.Errorf("a call under way ends with %v, want %v", got, CodeNotActive)
	}
	if got := s.n.State(); got != StateIdle {
		t.Errorf("state is %v, want idle", got)
	}
	if s.step(Input{Kind: InJoin}); s.n.State() != StateIdle {
		t.Error("a node that has left joined again in the same incarnation")
	}
}

// TestLeaveNamesAnHeir has the neighbour at 600 leave and name whom the node is to
// share its keys with: it knows of the leaving only when it has met that one.
func TestLeaveNamesAnHeir(t *testing.T) {
	heir, client := contactAt(point(650)), contactAt(point(650))
	client.Client = true
	says := func(st State) func(*script) {
		return func(s *script) { s.hear(heir, &Packet{Kind: KindAck, Seq: 99, State: st}) }
	}
	for _, tt := range []struct {
		name   string
		before func(*script)
		heir   *Contact
		asked  bool
	}{
		{"never heard", func(*script) {}, heir, true},
		{"heard while it was joining", says(StateJoining), heir, true},
		{"heard, has not answered yet", says(StateActive), heir, true},
		{"met", func(s *script) { know(s.n, heir, time.Millisecond) }, heir, false},
		{"has left", says(StateLeaving), heir, false},
		{"a client", func(*script) {}, client, false},
		{"found dead", func(s *script) { s.n.dead[heir.ID] = grave{at: s.now, epoch: 1}; s.n.armExpire() }, heir, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			tt.before(s)
			goodbye := &Packet{Kind: KindLeave, Seq: 5, Contacts: []*Contact{s.n.self, tt.heir}}
			s.hear(contactAt(point(600)), goodbye)
			if tt.asked {
				probe := s.one(650, KindProbe)
				s.none(KindAck)
				if s.n.leaves.Get(point(600)) == nil {
					t.Fatal("the neighbour is gone before the heir was met")
				}
				s.replies(heir, probe)
				s.hear(contactAt(point(600)), goodbye)
			}
			if got := s.one(600, KindAck); got.Seq != 5 || got.Code != CodeOK {
				t.Errorf("acknowledgement is %+v, want of packet 5", got)
			}
			if s.n.leaves.Get(point(600)) != nil {
				t.Error("the neighbour that has left is a leaf")
			}
		})
	}
}

// TestLeaveWithoutJoiner has a joiner that holds a place not become active while the
// node waits for it to leave: the node forgets it, and hands its keys to the members
// beside it.
func TestLeaveWithoutJoiner(t *testing.T) {
	s := forwarder(t)
	s.asks(550, true)
	s.step(Input{Kind: InLeave})
	s.none(KindLeave)
	s.wait(handTimeout)
	if s.n.leaves.Get(point(550)) != nil {
		t.Error("a joiner whose place was taken back is a leaf")
	}
	to, ps := s.sent(KindLeave)
	for _, p := range ps {
		if diff := cmp.Diff(points(p.Contacts), []int{400, 600}); diff != "" {
			t.Errorf("the heirs differ (-got +want):\n%s", diff)
		}
	}
	if got := points(to); !slices.Contains(got, 400) || !slices.Contains(got, 600) || slices.Contains(got, 550) {
		t.Errorf("%v are told, want 400 and 600, not the joiner", got)
	}
}
