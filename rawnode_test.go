package pastry

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// script drives one RawNode by hand: every packet it gets is written out in the
// test, and every action it takes is there to be looked at.
type script struct {
	t   testing.TB
	n   *RawNode
	now Time
	out []Action // of the last call of step, hear or wait
}

// newScript returns a script for an idle node at a point.
func newScript(t testing.TB, self int, change ...func(*Config)) *script {
	t.Helper()
	cfg := Config{Self: contactAt(point(self)), Rand: rand.New(rand.NewPCG(1, 13)), LeafSetSize: 4, NeighborhoodSize: 4}
	for _, f := range change {
		f(&cfg)
	}
	n, err := NewRawNode(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &script{t: t, n: n, now: Time(time.Hour)}
}

// activeScript returns a script for an active node that knows the members at
// the points given, 10 ms away, and waits for nothing.
func activeScript(t testing.TB, self int, members ...int) *script {
	t.Helper()
	s := newScript(t, self)
	s.acquainted(members...)
	return s
}

// activeScriptWith is activeScript for a node at 500 of another configuration.
func activeScriptWith(t testing.TB, change func(*Config), members ...int) *script {
	t.Helper()
	s := newScript(t, 500, change)
	s.acquainted(members...)
	return s
}

// acquainted makes the node active, and makes it know members and wait for nothing.
func (s *script) acquainted(members ...int) {
	s.t.Helper()
	s.step(Input{Kind: InJoin})
	for _, m := range members {
		know(s.n, contactAt(point(m)), 10*time.Millisecond)
	}
	s.n.take()
	s.n.stopWaiting()
}

func (s *script) step(in Input) []Action {
	s.t.Helper()
	s.out = s.n.Step(s.now, in, nil)
	s.check()
	return s.out
}

// hear gives the node a packet from the contact, which says that it is active
// unless the packet says otherwise.
func (s *script) hear(from *Contact, p *Packet) []Action {
	s.t.Helper()
	if p.State == StateIdle {
		p.State = StateActive
	}
	return s.step(Input{Kind: InPacket, From: from, Packet: p})
}

// wait lets time pass, calling Advance at every deadline on the way.
func (s *script) wait(d time.Duration) []Action {
	s.t.Helper()
	end := s.now + Time(d)
	s.out = nil
	for {
		at, ok := s.n.Deadline()
		if !ok || at > end {
			break
		}
		s.now = max(s.now, at)
		s.out = s.n.Advance(s.now, s.out)
		if next, ok := s.n.Deadline(); ok && next <= s.now {
			s.t.Fatalf("after Advance at %v the deadline is still %v", s.now, next)
		}
		s.check()
	}
	s.now = end
	return s.out
}

func (s *script) check() {
	s.t.Helper()
	if err := checkNode(s.n); err != nil {
		s.t.Fatal(err)
	}
}

// sent returns the packets of a kind among the last actions, and to whom.
func (s *script) sent(kind Kind) (to []*Contact, ps []*Packet) {
	for _, a := range s.out {
		if a.Kind == ActSend && a.Packet.Kind == kind {
			to, ps = append(to, a.To), append(ps, a.Packet)
		}
	}
	return to, ps
}

// sentTo returns the packets of a kind to the node at a point.
func (s *script) sentTo(at int, kind Kind) (ps []*Packet) {
	for _, a := range s.out {
		if a.Kind == ActSend && a.Packet.Kind == kind && a.To.ID == point(at) {
			ps = append(ps, a.Packet)
		}
	}
	return ps
}

// one returns the only packet of a kind to the node at a point.
func (s *script) one(at int, kind Kind) *Packet {
	s.t.Helper()
	ps := s.sentTo(at, kind)
	if len(ps) != 1 {
		s.t.Fatalf("%d packets of kind %v to %d, want one; actions are %v", len(ps), kind, at, s.out)
	}
	return ps[0]
}

// none fails if a packet of the kind was sent to anybody.
func (s *script) none(kind Kind) {
	s.t.Helper()
	if to, _ := s.sent(kind); len(to) > 0 {
		s.t.Fatalf("a packet of kind %v was sent to %v, want none", kind, points(to))
	}
}

// did returns the actions of a kind.
func (s *script) did(kind ActionKind) (as []Action) {
	for _, a := range s.out {
		if a.Kind == kind {
			as = append(as, a)
		}
	}
	return as
}

// only returns the only action of a kind.
func (s *script) only(kind ActionKind) Action {
	s.t.Helper()
	as := s.did(kind)
	if len(as) != 1 {
		s.t.Fatalf("%d actions of kind %v, want one; actions are %v", len(as), kind, s.out)
	}
	return as[0]
}

func (a Action) String() string {
	switch a.Kind {
	case ActSend:
		return fmt.Sprintf("send %v to %v", a.Packet.Kind, points([]*Contact{a.To}))
	case ActDeliver:
		return fmt.Sprintf("deliver %x", a.Msg.ID[8:])
	case ActReceipt:
		return fmt.Sprintf("receipt %v", a.Answer.Code)
	case ActState:
		return "state " + a.State.String()
	}
	return fmt.Sprintf("action %d", a.Kind)
}

// messageFrom returns a signed message of the node at a point, to a key.
func messageFrom(origin int, key ring.ID, id int) *Routed {
	c := contactAt(point(origin))
	return &Routed{ID: messageID(id), App: "app", Key: key, Origin: c.Peer, OriginID: c.ID, Payload: []byte{byte(id)},
		Auth: []byte("signature")}
}

func routePacket(m *Routed, seq uint64) *Packet {
	return &Packet{Kind: KindRoute, Seq: seq, Msg: m, Hops: 1, TTL: 30 * time.Second}
}

func TestStepAppends(t *testing.T) {
	s := newScript(t, 500)
	first := Action{Kind: ActForget}
	got := s.n.Step(s.now, Input{Kind: InJoin}, []Action{first})
	if len(got) < 2 || got[0].Kind != ActForget {
		t.Errorf("Step returned %v, want what it was given and then its own", got)
	}
	if got := s.n.Advance(s.now, []Action{first}); len(got) < 1 || got[0].Kind != ActForget {
		t.Errorf("Advance returned %v, want what it was given first", got)
	}
}

func TestIdleNodeWaitsForNothing(t *testing.T) {
	s := newScript(t, 500)
	if at, ok := s.n.Deadline(); ok {
		t.Errorf("an idle node has the deadline %v", at)
	}
	if out := s.n.Advance(s.now, nil); len(out) != 0 {
		t.Errorf("an idle node did %v", out)
	}
}

// TestDeadlines checks that each thing that is waited for appears in Deadline.
func TestDeadlines(t *testing.T) {
	key := point(600)
	for _, tt := range []struct {
		name   string
		within time.Duration
		start  func(s *script)
	}{
		{"a packet not acknowledged", time.Second, func(s *script) { s.hear(contactAt(point(400)), routePacket(messageFrom(400, key, 1), 7)) }},
		{"a probe", time.Second, func(s *script) { s.step(Input{Kind: InDisconnected, From: contactAt(point(600))}) }},
		{"a call", time.Second, func(s *script) { s.step(Input{Kind: InRoute, Msg: messageFrom(500, key, 1), TTL: time.Minute}) }},
		{"an application asked", time.Minute, func(s *script) {
			s.n.apps["app"] = true
			s.hear(contactAt(point(400)), routePacket(messageFrom(400, key, 1), 7))
			s.only(ActForward)
		}},
		{"a delivery to forget", time.Hour, func(s *script) { s.hear(contactAt(point(400)), routePacket(messageFrom(400, point(500), 1), 7)) }},
		{"a grant", 10 * time.Second, func(s *script) {
			s.hear(contactAt(point(550)), &Packet{Kind: KindGrant, State: StateJoining, Larger: true})
		}},
		{"leaving", 2 * time.Second, func(s *script) { s.step(Input{Kind: InLeave}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScript(t, 500, 300, 400, 600, 700)
			if at, ok := s.n.Deadline(); ok {
				t.Fatalf("before, the deadline is %v, want none", at)
			}
			tt.start(s)
			at, ok := s.n.Deadline()
			if !ok || at < s.now || at > s.now+Time(tt.within) {
				t.Errorf("deadline is in %v, %t; want it within %v", time.Duration(at-s.now), ok, tt.within)
			}
		})
	}
}

// TestActiveNodeHasDeadlines has a lone node: it watches and looks for others,
// so there is always a deadline, and never one that is over.
func TestActiveNodeHasDeadlines(t *testing.T) {
	s := newScript(t, 500)
	s.step(Input{Kind: InJoin})
	for range 100 {
		if _, ok := s.n.Deadline(); !ok {
			t.Fatal("an active node has no deadline")
		}
		s.wait(time.Minute)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700)
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	before, _ := s.n.Deadline()
	late := s.now
	s.now -= Time(time.Minute)
	s.hear(contactAt(point(400)), &Packet{Kind: KindHeartbeat})
	s.wait(0)
	if s.n.now != late {
		t.Errorf("the node's time is %v after an earlier input, want %v", s.n.now, late)
	}
	if after, _ := s.n.Deadline(); after != before {
		t.Errorf("deadline is %v after an earlier input, want %v", after, before)
	}
	if got := s.n.peers.get(point(400)).heard; got != late {
		t.Errorf("a packet was heard at %v, want %v, the latest time seen", got, late)
	}
}

// TestTimeJumpsAhead lets a year pass at once, as after a suspension: nobody is
// dead before a probe went unanswered.
func TestTimeJumpsAhead(t *testing.T) {
	s := newScript(t, 500)
	s.step(Input{Kind: InJoin})
	for _, m := range []int{300, 400, 600, 700} {
		know(s.n, contactAt(point(m)), 10*time.Millisecond)
	}
	s.n.take()
	s.now += Time(365 * 24 * time.Hour)
	s.out = s.n.Advance(s.now, nil)
	s.check()
	if got := s.did(ActGone); len(got) > 0 {
		t.Errorf("%d nodes were found dead by the jump alone", len(got))
	}
	wantPoints(t, "the leaf set", s.n.leaves.AppendMembers(nil), 300, 400, 600, 700)
	if s.n.State() != StateActive {
		t.Errorf("state is %v after the jump", s.n.State())
	}
	if at, ok := s.n.Deadline(); !ok || at <= s.now {
		t.Errorf("deadline is %v after Advance at %v", at, s.now)
	}
	_, probes := s.sent(KindProbe)
	if len(probes) == 0 {
		t.Error("nobody was probed after the jump")
	}
	for _, a := range s.did(ActSend) {
		if a.Packet.Kind == KindProbe {
			s.hear(a.To, &Packet{Kind: KindProbeReply, Seq: a.Packet.Seq, Want: a.Packet.Want})
		}
	}
	wantPoints(t, "the leaf set", s.n.leaves.AppendMembers(nil), 300, 400, 600, 700)
}

// TestRTTSurvivesJump has an answer that crosses a jump of the clock: it says
// nothing about the link.
func TestRTTSurvivesJump(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700)
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	probe := s.one(600, KindProbe)
	s.now += Time(24 * time.Hour)
	s.hear(contactAt(point(600)), &Packet{Kind: KindProbeReply, Seq: probe.Seq})
	if got := s.n.RTT(point(600)); got != 10*time.Millisecond {
		t.Errorf("the round trip is %v after the jump, want 10ms as before", got)
	}
}

// TestSenselessPackets has what a decoder lets through and makes no sense.
func TestSenselessPackets(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700)
	for i, p := range []*Packet{{Kind: 0}, {Kind: numKinds}, {Kind: 255}} {
		s.step(Input{Kind: InPacket, From: contactAt(point(400)), Packet: p})
		if got := s.n.Stats().Drops[DropMalformed]; got != uint64(i+1) || len(s.out) != 0 {
			t.Errorf("kind %d: %d drops and %v, want it dropped", p.Kind, got, s.out)
		}
	}
	s.hear(contactAt(point(500)), &Packet{Kind: KindProbe})
	if got := s.n.Stats().Drops[DropMalformed]; got != 4 || len(s.out) != 0 {
		t.Errorf("a packet from oneself: %d drops and %v, want it dropped", got, s.out)
	}
	// Answers to nothing are ignored.
	for _, p := range []*Packet{
		{Kind: KindAck, Seq: 99}, {Kind: KindProbeReply, Seq: 99}, {Kind: KindGrantReply, Seq: 99},
	} {
		if s.hear(contactAt(point(400)), p); len(s.out) != 0 {
			t.Errorf("a %v to nothing caused %v", p.Kind, s.out)
		}
	}
	// A heartbeat counts as one from the right neighbour only.
	heartbeat := &Packet{Kind: KindHeartbeat}
	if s.hear(contactAt(point(400)), heartbeat); len(s.out) != 0 {
		t.Errorf("a heartbeat from the left caused %v", s.out)
	}
	if s.hear(contactAt(point(600)), heartbeat); len(s.out) != 1 || s.out[0].Kind != ActHeartbeat {
		t.Errorf("a heartbeat from the right caused %v, want only that the driver hears of it", s.out)
	}
	for _, in := range []Input{
		{Kind: InForwarded, ID: messageID(9)}, {Kind: InDelivered, ID: messageID(9)}, {Kind: InCancel, ID: messageID(9)},
		{Kind: InDisconnected, From: contactAt(point(999))}, {Kind: InSendFailed, From: contactAt(point(999)), Packet: &Packet{Kind: KindProbe}},
	} {
		if s.step(in); len(s.out) != 0 {
			t.Errorf("input %d about nothing caused %v", in.Kind, s.out)
		}
	}
}

// TestConfigFaults has every setting wrong: all faults are reported at once.
func TestConfigFaults(t *testing.T) {
	_, err := NewRawNode(Config{DigitBits: 9, LeafSetSize: 3, NeighborhoodSize: 300, ProbeTries: -1, HopLimit: 256,
		Memory: 3, LossTarget: 2, Heartbeat: -1, ProbeTimeout: -1, MinProbeTimeout: -1, MinHopTimeout: -1,
		JoinTimeout: -1, GrantLease: -1})
	if err == nil {
		t.Fatal("a configuration of faults was accepted")
	}
	for _, want := range []string{"Self", "Rand", "digit bits", "leaf set", "neighborhood", "probe tries", "hop limit",
		"memory", "loss target", "Heartbeat", "ProbeTimeout", "MinProbeTimeout", "MinHopTimeout", "JoinTimeout", "GrantLease"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %q:\n%v", want, err)
		}
	}
}
