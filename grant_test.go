package pastry

import (
	"testing"
	"time"
)

// asks has a joiner at a point ask for the place on a side of the node.
func (s *script) asks(joiner int, larger bool) *Packet {
	s.t.Helper()
	s.hear(contactAt(point(joiner)), &Packet{Kind: KindGrant, State: StateJoining, Seq: 77, Larger: larger})
	p := s.one(joiner, KindGrantReply)
	if p.Seq != 77 || p.Larger != larger {
		s.t.Errorf("answer to a joiner is %+v, want of question 77 about the same side", p)
	}
	return p
}

func TestGrant(t *testing.T) {
	s := forwarder(t)
	p := s.asks(550, true)
	if p.Code != CodeOK || len(p.Contacts) < 4 {
		t.Errorf("answer is %v with %d contacts, want a grant with the leaf set", p.Code, len(p.Contacts))
	}
	if s.n.table.Contains(point(550)) || s.n.hood.Contains(point(550)) {
		t.Error("a joiner is in the table before it is active")
	}
	if len(s.did(ActJoined)) != 0 {
		t.Error("a joiner is told to have joined")
	}
	// From now on messages for its keys go to it, and to nobody else.
	s.routed(545)
	wantHops(t, "for the joiner's keys", s.hops(), 550)
	s.routed2(510, 2)
	s.only(ActDeliver)
	if p := s.asks(550, true); p.Code != CodeOK {
		t.Errorf("the same joiner asking again gets %v", p.Code)
	}
}

// routed2 gives the node another message for a key.
func (s *script) routed2(key, id int) {
	s.t.Helper()
	s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(key), id), uint64(100+id)))
}

func TestGrantRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		joiner int
		larger bool
		want   Code
	}{
		{"right above", 501, true, CodeOK},
		{"right below the next", 599, true, CodeOK},
		{"beyond the next", 601, true, CodeNotNeighbor},
		{"on the other side", 450, true, CodeNotNeighbor},
		{"below", 450, false, CodeOK},
		{"beyond the next below", 399, false, CodeNotNeighbor},
		{"above, said to be below", 550, false, CodeNotNeighbor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			p := s.asks(tt.joiner, tt.larger)
			if p.Code != tt.want || len(p.Contacts) < 4 {
				t.Errorf("answer is %v with %d contacts, want %v with the leaf set", p.Code, len(p.Contacts), tt.want)
			}
			if granted := s.n.leaves.Get(point(tt.joiner)) != nil; granted != (tt.want == CodeOK) {
				t.Errorf("the joiner is in the leaf set: %t", granted)
			}
		})
	}
	s := newScript(t, 500)
	if got := s.asks(550, true).Code; got != CodeNotActive {
		t.Errorf("an idle node answers %v, want %v", got, CodeNotActive)
	}
	s = forwarder(t)
	s.hear(contactAt(point(550)), &Packet{Kind: KindGrant, State: StateActive, Larger: true})
	if got := s.one(550, KindGrantReply).Code; got != CodeNotActive {
		t.Errorf("an active node that asks for a place gets %v, want %v", got, CodeNotActive)
	}
}

// TestConcurrentJoiners has two joiners in one gap of the ring: one waits until
// the other is active, and then finds out whose neighbour it is.
func TestConcurrentJoiners(t *testing.T) {
	s := forwarder(t)
	if got := s.asks(550, true).Code; got != CodeOK {
		t.Fatalf("the first joiner gets %v", got)
	}
	for _, joiner := range []int{520, 560} {
		want := CodeBusy
		if joiner == 560 {
			want = CodeNotNeighbor // beyond the one that was granted
		}
		if got := s.asks(joiner, true).Code; got != want {
			t.Errorf("the joiner at %d gets %v meanwhile, want %v", joiner, got, want)
		}
	}
	if got := s.asks(450, false).Code; got != CodeOK {
		t.Errorf("a joiner on the other side gets %v meanwhile", got)
	}
	s.hear(contactAt(point(550)), &Packet{Kind: KindHeartbeat})
	if s.n.granted(point(550)) || s.n.leaves.Get(point(550)) == nil {
		t.Error("the first joiner is active: its grant must be over, and it a leaf")
	}
	if got := s.asks(520, true).Code; got != CodeOK {
		t.Errorf("the second joiner gets %v then", got)
	}
	wantPoints(t, "the right neighbour", []*Contact{s.n.leaves.Right()}, 520)
}

// TestGrantRunsOut has joiners that never become active.
func TestGrantRunsOut(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(s *script, probe *Packet) // nil for silence
		stays  bool
	}{
		{"silent", nil, false},
		{"still joining", func(s *script, probe *Packet) {
			s.hear(contactAt(point(550)), &Packet{Kind: KindProbeReply, State: StateJoining, Seq: probe.Seq})
		}, false},
		{"active", func(s *script, probe *Packet) { s.replies(contactAt(point(550)), probe) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.asks(550, true)
			lease := s.now + Time(s.n.cfg.GrantLease)
			s.joins(550, lease-Time(100*time.Millisecond))
			if s.n.leaves.Get(point(550)) == nil {
				t.Fatal("the place was taken back before the lease is over")
			}
			for s.now < lease+Time(10*time.Second) && s.n.granted(point(550)) {
				s.wait(50 * time.Millisecond)
				probes := s.sentTo(550, KindProbe)
				s.answerProbes(550)
				if tt.answer != nil && len(probes) > 0 {
					tt.answer(s, probes[0])
				}
			}
			if s.n.granted(point(550)) {
				t.Error("the place is still held")
			}
			if got := s.n.leaves.Get(point(550)) != nil; got != tt.stays {
				t.Errorf("the joiner is in the leaf set: %t, want %t", got, tt.stays)
			}
			if !tt.stays {
				s.routed2(545, 3)
				if len(s.sentTo(550, KindRoute)) > 0 {
					t.Error("messages still go to a joiner that did not make it")
				}
			}
		})
	}
}

// joins lets time pass, while everybody answers probes, the joiner at a point as
// one that still joins.
func (s *script) joins(joiner int, until Time) {
	s.t.Helper()
	for s.now < until {
		s.wait(time.Duration(min(until-s.now, Time(50*time.Millisecond))))
		probes := s.sentTo(joiner, KindProbe)
		s.answerProbes(joiner)
		for _, p := range probes {
			s.hear(contactAt(point(joiner)), &Packet{Kind: KindProbeReply, State: StateJoining, Seq: p.Seq, Want: p.Want})
		}
	}
}

// TestGrantRenewed has the joiner ask again while it is asked what became of it.
func TestGrantRenewed(t *testing.T) {
	s := forwarder(t)
	s.asks(550, true)
	s.joins(550, s.now+Time(s.n.cfg.GrantLease)-1)
	s.wait(time.Millisecond)
	s.asks(550, true)
	p := s.n.peers.get(point(550))
	if p.probe == nil {
		t.Fatal("the joiner is not being asked")
	}
	s.hear(contactAt(point(550)), &Packet{Kind: KindProbeReply, State: StateJoining, Seq: p.probe.seq})
	if !s.n.granted(point(550)) || s.n.leaves.Get(point(550)) == nil {
		t.Error("a renewed grant was taken back")
	}
}

// TestGrantHandsOverDeliveries has the node name what it delivered of late for
// the keys it grants away.
func TestGrantHandsOverDeliveries(t *testing.T) {
	s := forwarder(t)
	s.routed2(510, 1)
	s.routed2(540, 2)
	p := s.asks(550, true)
	if len(p.Delivered) != 1 || p.Delivered[0] != (Delivery{ID: messageID(2), Key: point(540), By: s.n.self.Peer}) {
		t.Errorf("handed over are %v, want message 2 alone", p.Delivered)
	}
}

// TestGrantedIsMeasured has a joiner become active that was let in by a grant and never
// asked anything: it is probed, so that its silence is told from its distance later.
func TestGrantedIsMeasured(t *testing.T) {
	s := forwarder(t)
	s.asks(550, true)
	joiner := contactAt(point(550))
	s.n.stopWaiting()
	s.hear(joiner, &Packet{Kind: KindProbe, State: StateActive, Seq: 5})
	probe := s.one(550, KindProbe)
	if s.n.peers.get(joiner.ID).rtt.smoothed != 0 {
		t.Fatal("the joiner was measured before it was asked")
	}
	s.now += Time(7 * time.Millisecond)
	s.replies(joiner, probe)
	if got := time.Duration(s.n.peers.get(joiner.ID).rtt.smoothed); got != 7*time.Millisecond {
		t.Errorf("the joiner is %v away, want 7ms", got)
	}
	s.hear(joiner, &Packet{Kind: KindProbe, State: StateActive, Seq: 6})
	s.none(KindProbe)
}
