package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// The nodes of these tests sit at 300, 400 | 500 | 600, 700, which is the leaf
// set, and at 900 and 910, which share an entry of the routing table.
func forwarder(t *testing.T) *script {
	t.Helper()
	return activeScript(t, 500, 300, 400, 600, 700, 900, 910)
}

// routed gives the node message 1 for a key from the node at 400.
func (s *script) routed(key int) {
	s.t.Helper()
	s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(key), 1), 7))
}

// hops returns where message packets went, in order.
func (s *script) hops() []int {
	to, _ := s.sent(KindRoute)
	return points(to)
}

func wantHops(t *testing.T, what string, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: message went to %v, want %v", what, got, want)
	}
}

func TestForward(t *testing.T) {
	s := forwarder(t)
	s.routed(905)
	if ack := s.one(400, KindAck); ack.Seq != 7 || ack.Code != CodeOK {
		t.Errorf("acknowledgement is %+v, want of packet 7", ack)
	}
	p := s.one(900, KindRoute)
	if p.Hops != 2 || p.TTL != 30*time.Second || p.State != StateActive || p.Seq == 7 {
		t.Errorf("packet sent on is %+v, want hop 2, the time left and a sequence number of its own", p)
	}
	if want := []PeerID{s.n.self.Peer}; !slices.Equal(p.Path, want) {
		t.Errorf("path is %v, want %v", p.Path, want)
	}
	s.hear(contactAt(point(900)), &Packet{Kind: KindAck, Seq: p.Seq})
	wantHops(t, "after the acknowledgement", s.hops())
	if s.wait(time.Minute); len(s.hops()) > 0 {
		t.Errorf("an acknowledged message was sent again, to %v", s.hops())
	}
}

// TestSilentTableHop has the next hop say nothing: after one timeout of that
// link the message goes round it, and the hop is probed but not given up.
func TestSilentTableHop(t *testing.T) {
	s := forwarder(t)
	s.routed(905)
	s.one(900, KindRoute)
	s.wait(15 * time.Millisecond)
	wantHops(t, "before the timeout", s.hops())
	for waited := 0; len(s.hops()) == 0 && waited < 25; waited++ {
		s.wait(time.Millisecond)
	}
	wantHops(t, "after the timeout", s.hops(), 910)
	s.one(900, KindProbe)
	if got := s.n.Stats().Reroutes; got != 1 {
		t.Errorf("%d reroutes are counted, want 1", got)
	}
	if len(s.did(ActGone)) > 0 || !s.n.table.Contains(point(900)) {
		t.Error("one missed acknowledgement made a node dead")
	}
	s.wait(50 * time.Millisecond)
	for _, to := range s.hops() {
		if !ring.Closer(point(905), point(to), point(500)) {
			t.Errorf("message went to %d, want only to those that are closer", to)
		}
	}
}

// TestSilentRoot has the root of the key, a leaf, say nothing. As long as it is
// not known to be dead nobody else may deliver: the message is sent to it again.
func TestSilentRoot(t *testing.T) {
	s := forwarder(t)
	s.routed(610)
	first := s.one(600, KindRoute)
	sends, dead := 1, false
	for range 200 {
		s.wait(10 * time.Millisecond)
		s.answerProbes(600)
		if len(s.did(ActDeliver)) > 0 {
			t.Fatal("a message was delivered by a node that is not its root")
		}
		dead = dead || slices.ContainsFunc(s.did(ActGone), func(a Action) bool { return a.To.ID == point(600) })
		for _, to := range s.hops() {
			if !dead && to != 600 {
				t.Fatalf("message went to %d while its root at 600 was not known to be dead", to)
			}
			if dead && to != 700 {
				t.Fatalf("message went to %d, want 700, the root now that 600 is dead", to)
			}
			sends++
		}
		for _, p := range s.sentTo(600, KindRoute) {
			if p.Seq != first.Seq {
				t.Error("a message sent again on a link has another sequence number")
			}
		}
		if dead {
			break
		}
	}
	if !dead || sends < 4 {
		t.Errorf("root is known to be dead: %t, after %d sends; want it so after some", dead, sends)
	}
}

// answerProbes has everybody but the nodes at the points given answer the probes
// among the last actions, and keeps those actions.
func (s *script) answerProbes(silent ...int) {
	s.t.Helper()
	out := s.out
	for i := 0; i < len(out); i++ {
		a := out[i]
		if a.Kind != ActSend || a.Packet.Kind != KindProbe || slices.Contains(silent, points([]*Contact{a.To})[0]) {
			continue
		}
		out = append(out, s.hear(a.To, &Packet{Kind: KindProbeReply, Seq: a.Packet.Seq, Want: a.Packet.Want, Version: 1})...)
	}
	s.out = out
}

// TestRootAmongLeavesIsWaitedFor has a message for a key of this node's own come
// while a leaf is silent: that is nobody's business.
func TestRootAmongLeavesIsWaitedFor(t *testing.T) {
	s := forwarder(t)
	s.routed(510)
	s.only(ActDeliver)
	wantHops(t, "at the root", s.hops())
}

func TestFailedSend(t *testing.T) {
	s := forwarder(t)
	s.n.peers.get(point(900)).rtt = rttOf(Time(500 * time.Millisecond))
	s.n.peers.get(point(910)).rtt = rttOf(Time(600 * time.Millisecond))
	s.routed(905)
	p := s.one(900, KindRoute)
	s.step(Input{Kind: InSendFailed, From: contactAt(point(900)), Packet: p})
	s.one(900, KindProbe)
	if s.wait(50 * time.Millisecond); !slices.Equal(s.hops(), []int{910}) {
		t.Errorf("50ms after the failure the message went to %v, want 910, long before the timeout of the link", s.hops())
	}
	// The same packet failing again, or one that nobody waits for, is nothing.
	s.step(Input{Kind: InSendFailed, From: contactAt(point(900)), Packet: p})
	s.wait(10 * time.Millisecond)
	wantHops(t, "after another report", s.hops())
}

func TestFailedProbe(t *testing.T) {
	s := forwarder(t)
	s.n.peers.get(point(600)).rtt = rttOf(Time(900 * time.Millisecond))
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	probe := s.one(600, KindProbe)
	s.step(Input{Kind: InSendFailed, From: contactAt(point(600)), Packet: probe})
	if s.wait(200 * time.Millisecond); len(s.sentTo(600, KindProbe)) == 0 {
		t.Error("no second try within 200ms of a failed send")
	}
	if s.n.leaves.Get(point(600)) == nil {
		t.Error("a failed send made a node dead")
	}
}

// TestRefusingHop has the hop answer that it is not active any more.
func TestRefusingHop(t *testing.T) {
	s := forwarder(t)
	s.routed(905)
	p := s.one(900, KindRoute)
	s.hear(contactAt(point(900)), &Packet{Kind: KindAck, State: StateLeaving, Seq: p.Seq, Code: CodeNotActive})
	wantHops(t, "after the refusal", s.hops(), 910)
	if s.n.table.Contains(point(900)) {
		t.Error("a leaving node is still in the table")
	}
}

// TestHopLeaves has the hop leave the ring with a message in hand.
func TestHopLeaves(t *testing.T) {
	s := forwarder(t)
	s.routed(905)
	s.one(900, KindRoute)
	s.hear(contactAt(point(900)), &Packet{Kind: KindLeave, Seq: 3})
	wantHops(t, "after the leave", s.hops(), 910)
}

// TestForwarderSuppressesDuplicates has copies come by the same and by another
// way: an attempt is sent on once, a later one again, and answers take the way
// of the latest.
func TestForwarderSuppressesDuplicates(t *testing.T) {
	s := forwarder(t)
	m := messageFrom(300, point(905), 1)
	s.hear(contactAt(point(400)), routePacket(m, 7))
	sent := s.one(900, KindRoute)
	s.hear(contactAt(point(900)), &Packet{Kind: KindAck, Seq: sent.Seq})
	for _, from := range []int{400, 600} {
		s.hear(contactAt(point(from)), routePacket(m, 8))
		s.one(from, KindAck)
		wantHops(t, "a copy of the same attempt", s.hops())
	}
	if got := s.n.Stats().Drops[DropDuplicate]; got != 2 {
		t.Errorf("%d duplicates are counted, want 2", got)
	}
	again := routePacket(m, 9)
	again.Attempt = 1
	s.hear(contactAt(point(700)), again)
	wantHops(t, "another attempt", s.hops(), 900)
	s.hear(contactAt(point(900)), &Packet{Kind: KindReply, Seq: 5, Answer: &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID}})
	s.one(700, KindReply)
}

func TestForwarderKeepsTheOriginsWay(t *testing.T) {
	s := forwarder(t)
	own := messageFrom(500, point(905), 1)
	s.hear(contactAt(point(400)), routePacket(own, 7))
	wantHops(t, "the node's own message coming back", s.hops())
	if got := s.n.Stats().Drops[DropDuplicate]; got != 1 {
		t.Errorf("%d duplicates are counted, want 1", got)
	}
}

func TestHopLimit(t *testing.T) {
	s := forwarder(t)
	p := routePacket(messageFrom(300, point(905), 1), 7)
	p.Hops = s.n.cfg.HopLimit
	s.hear(contactAt(point(400)), p)
	wantHops(t, "at the limit", s.hops())
	if got := s.one(400, KindReply).Answer; got.Code != CodeHopLimit || got.Hops != p.Hops {
		t.Errorf("answer is %v after %d hops, want %v after %d", got.Code, got.Hops, CodeHopLimit, p.Hops)
	}
}

func TestMessageExpires(t *testing.T) {
	s := forwarder(t)
	p := routePacket(messageFrom(300, point(905), 1), 7)
	p.TTL = 0
	s.hear(contactAt(point(400)), p)
	wantHops(t, "without time left", s.hops())
	if got := s.n.Stats().Drops[DropExpired]; got != 1 {
		t.Errorf("%d expired messages are counted, want 1", got)
	}
	// One that expires on the way is sent again until then.
	p = routePacket(messageFrom(300, point(610), 2), 8)
	p.TTL = 300 * time.Millisecond
	s.hear(contactAt(point(400)), p)
	start := s.now
	for s.now < start+Time(5*time.Second) {
		s.wait(5 * time.Millisecond)
		s.answerProbes()
		for _, again := range s.sentTo(600, KindRoute) {
			if left := p.TTL - time.Duration(s.now-start); again.TTL <= 0 || again.TTL > left+5*time.Millisecond {
				t.Errorf("a copy says %v is left %v after it came with %v", again.TTL, time.Duration(s.now-start), p.TTL)
			}
		}
	}
	if len(s.n.pending) != 0 || s.n.Stats().Drops[DropExpired] != 2 {
		t.Errorf("%d packets are pending and %d expired, want 0 and 2", len(s.n.pending), s.n.Stats().Drops[DropExpired])
	}
}

// TestApplicationForwards asks the application about a message that passes, and
// takes its word.
func TestApplicationForwards(t *testing.T) {
	ask := func(t *testing.T) (*script, *Routed) {
		s := forwarder(t)
		s.step(Input{Kind: InRegister, App: "app"})
		s.routed(905)
		a := s.only(ActForward)
		wantHops(t, "before the application answers", s.hops())
		if a.To.ID != point(900) || a.Hops != 1 || a.TTL != 30*time.Second {
			t.Errorf("question is %+v, want about 900 after one hop", a)
		}
		return s, a.Msg
	}
	t.Run("pass", func(t *testing.T) {
		s, m := ask(t)
		s.step(Input{Kind: InForwarded, ID: m.ID, Msg: m})
		if got := s.one(900, KindRoute).Msg; got != m {
			t.Error("another message was sent on, want the same")
		}
		if s.step(Input{Kind: InForwarded, ID: m.ID, Msg: m}); len(s.out) > 0 {
			t.Errorf("a second answer caused %v", s.out)
		}
	})
	t.Run("change", func(t *testing.T) {
		s, m := ask(t)
		changed := *m
		changed.Payload = []byte("changed")
		s.step(Input{Kind: InForwarded, ID: m.ID, Msg: &changed})
		if got := s.one(900, KindRoute).Msg; got != &changed {
			t.Errorf("payload sent on is %q, want the changed one", got.Payload)
		}
	})
	t.Run("stop", func(t *testing.T) {
		s, m := ask(t)
		s.step(Input{Kind: InForwarded, ID: m.ID})
		wantHops(t, "after the stop", s.hops())
		if got := s.one(400, KindReply).Answer; got.Code != CodeStopped {
			t.Errorf("answer is %v, want %v", got.Code, CodeStopped)
		}
	})
	t.Run("silence", func(t *testing.T) {
		s, m := ask(t)
		s.wait(time.Minute)
		wantHops(t, "after the message's time", s.hops())
		if s.step(Input{Kind: InForwarded, ID: m.ID, Msg: m}); len(s.out) > 0 || len(s.n.forwarding) > 0 {
			t.Errorf("an answer after the message's time caused %v", s.out)
		}
	})
	t.Run("unregistered", func(t *testing.T) {
		s := forwarder(t)
		s.step(Input{Kind: InRegister, App: "app"})
		s.step(Input{Kind: InUnregister, App: "app"})
		s.routed(905)
		wantHops(t, "without the application", s.hops(), 900)
	})
}

// TestJoinIsNotSentToTheJoiner has the joiner of old still in the tables: its
// join goes to the root of its id without it.
func TestJoinIsNotSentToTheJoiner(t *testing.T) {
	s := forwarder(t)
	m := messageFrom(600, point(600), 1)
	m.Join, m.App = true, ""
	s.hear(contactAt(point(400)), routePacket(m, 7))
	for _, to := range s.hops() {
		if to == 600 {
			t.Error("a join was sent to the joiner")
		}
	}
	if got := s.one(400, KindReply).Answer; slices.ContainsFunc(got.Contacts, func(c *Contact) bool { return c.ID == point(600) }) {
		t.Error("the answer to a join names the joiner")
	}
}

func TestIdleNodeRefuses(t *testing.T) {
	s := newScript(t, 500)
	s.routed(905)
	if got := s.one(400, KindAck); got.Code != CodeNotActive || got.Seq != 7 {
		t.Errorf("an idle node answers %+v, want a refusal", got)
	}
}

func TestAcksTravelAlong(t *testing.T) {
	s := forwarder(t)
	s.routed(510)
	s.none(KindAck)
	s.step(Input{Kind: InDelivered, ID: messageID(1), Auth: []byte("signature")})
	if got := s.one(400, KindReply).Acks; !slices.Equal(got, []uint64{7}) {
		t.Errorf("the reply acknowledges %v, want packet 7", got)
	}
	// Without a packet to travel with they leave soon by themselves.
	s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(511), 2), 8))
	s.wait(10 * time.Millisecond)
	if got := s.one(400, KindAck).Acks; !slices.Equal(got, []uint64{8}) {
		t.Errorf("acknowledged are %v, want packet 8", got)
	}
}

// TestUnsignedMessages checks when a message of the node's own is signed: when
// it goes through others.
func TestUnsignedMessages(t *testing.T) {
	unsigned := func(key int) *Routed {
		m := messageFrom(500, point(key), 1)
		m.Auth = nil
		return m
	}
	signed := func(m *Routed) Input {
		c := *m
		c.Auth = []byte("signature")
		return Input{Kind: InSigned, ID: m.ID, Msg: &c}
	}
	t.Run("to the root", func(t *testing.T) {
		s := forwarder(t)
		s.step(Input{Kind: InRoute, Msg: unsigned(600), TTL: time.Minute})
		s.one(600, KindRoute)
	})
	t.Run("through others", func(t *testing.T) {
		s := forwarder(t)
		s.step(Input{Kind: InRoute, Msg: unsigned(905), TTL: time.Minute})
		wantHops(t, "before it is signed", s.hops())
		s.step(signed(s.only(ActSign).Msg))
		if got := s.one(900, KindRoute).Msg; got.unsigned() {
			t.Error("an unsigned message went through others")
		}
	})
	t.Run("to one that is not the root", func(t *testing.T) {
		s := forwarder(t)
		m := unsigned(600)
		s.step(Input{Kind: InRoute, Msg: m, TTL: time.Minute})
		p := s.one(600, KindRoute)
		s.hear(contactAt(point(600)), &Packet{Kind: KindAck, Seq: p.Seq, Code: CodeUnsigned})
		s.step(signed(s.only(ActSign).Msg))
		if got := s.one(600, KindRoute); got.Msg.unsigned() {
			t.Error("the message was sent unsigned again")
		}
	})
	t.Run("never signed", func(t *testing.T) {
		s := forwarder(t)
		s.step(Input{Kind: InRoute, Msg: unsigned(905), TTL: time.Second})
		s.step(Input{Kind: InSigned, ID: s.only(ActSign).Msg.ID})
		wantHops(t, "without a signature", s.hops())
		s.wait(2 * time.Second)
		if got := s.only(ActReceipt).Answer.Code; got != CodeTimeout {
			t.Errorf("the message ended with %v, want %v", got, CodeTimeout)
		}
	})
	t.Run("taken over by another", func(t *testing.T) {
		s := forwarder(t)
		m := messageFrom(400, point(905), 1)
		m.Auth = nil
		s.hear(contactAt(point(400)), routePacket(m, 7))
		if got := s.one(400, KindAck); got.Code != CodeUnsigned {
			t.Errorf("a node that is not the root answers %v, want %v", got.Code, CodeUnsigned)
		}
		wantHops(t, "unsigned", s.hops())
	})
}

// TestRerouteOfUnsignedMessage has the root of an unsigned message die, after
// which the leaf set does not reach its key: it must be signed to go on, and
// nothing of the first try is left.
func TestRerouteOfUnsignedMessage(t *testing.T) {
	s := forwarder(t)
	m := messageFrom(500, point(700), 1)
	m.Auth = nil
	s.step(Input{Kind: InRoute, Msg: m, TTL: time.Minute})
	s.one(700, KindRoute)
	s.hear(contactAt(point(700)), &Packet{Kind: KindLeave, Seq: 3})
	if s.n.leaves.Covers(point(700)) {
		t.Fatal("the leaf set still reaches 700: the test does not test anything")
	}
	s.only(ActSign)
	s.wait(100 * time.Millisecond)
	wantHops(t, "before it is signed", s.hops())
	signed := *m
	signed.Auth = []byte("signature")
	s.step(Input{Kind: InSigned, ID: m.ID, Msg: &signed})
	if len(s.hops()) != 1 {
		t.Errorf("the signed message went to %v, want to one hop", s.hops())
	}
}

// TestDirectMessages go to one member, or nowhere.
func TestDirectMessages(t *testing.T) {
	direct := func(key int) *Packet {
		m := messageFrom(300, point(key), 1)
		m.Direct = true
		return routePacket(m, 7)
	}
	s := forwarder(t)
	s.hear(contactAt(point(400)), direct(500))
	s.only(ActDeliver)

	s = forwarder(t)
	s.hear(contactAt(point(400)), direct(501))
	if got := s.one(400, KindReply).Answer.Code; got != CodeUnreachable {
		t.Errorf("answer for a node that does not exist is %v, want %v", got, CodeUnreachable)
	}

	s = forwarder(t)
	client := contactAt(point(950))
	client.Client = true
	s.step(Input{Kind: InConnected, From: client})
	s.hear(client, &Packet{Kind: KindProbe, State: StateClient})
	s.hear(contactAt(point(400)), direct(950))
	s.one(950, KindRoute)
}

// TestFillsGap has a key go through an empty entry: the next hop is asked for
// the row, once in a while.
func TestFillsGap(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700, 900)
	s.routed(810) // digit c; the hop is 900, digit e, by the rare case
	wantHops(t, "rare case", s.hops(), 900)
	if probe := s.one(900, KindProbe); probe.Want&WantRow == 0 || probe.Row != ring.SharedPrefixLen(point(500), point(810), 4) {
		t.Errorf("the hop is asked for %v of row %d, want the row of the gap", probe.Want, probe.Row)
	}
}
