package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// delivers has the node be root of message 1, which comes from the node at from,
// and returns the script after the application was asked.
func delivers(t *testing.T, from int) *script {
	t.Helper()
	s := forwarder(t)
	s.hear(contactAt(point(from)), routePacket(messageFrom(300, point(510), 1), 7))
	s.only(ActDeliver)
	return s
}

// answered is what the application says about message 1.
func answered(code Code) Input {
	return Input{Kind: InDelivered, ID: messageID(1), Code: code, Payload: []byte("reply"), Auth: []byte("signature")}
}

func TestDeliver(t *testing.T) {
	s := forwarder(t)
	m := messageFrom(300, point(510), 1)
	p := routePacket(m, 7)
	p.Path, p.Hops = []PeerID{"first"}, 2
	s.hear(contactAt(point(400)), p)
	a := s.only(ActDeliver)
	want := Action{Kind: ActDeliver, To: contactAt(point(400)), Msg: m, Hops: 2, TTL: 30 * time.Second,
		Path: []PeerID{"first", s.n.self.Peer}}
	if diff := cmp.Diff(a, want, sameWire); diff != "" {
		t.Errorf("delivery is not as wanted (-got +want):\n%s", diff)
	}
	s.step(answered(CodeOK))
	got := s.one(400, KindReply)
	wantAnswer := &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID, Root: s.n.self.Peer, Hops: 2, Path: want.Path,
		Payload: []byte("reply"), Auth: []byte("signature")}
	if diff := cmp.Diff(got.Answer, wantAnswer, sameWire); diff != "" {
		t.Errorf("answer is not as wanted (-got +want):\n%s", diff)
	}
	s.hear(contactAt(point(400)), &Packet{Kind: KindAck, Seq: got.Seq})
	if s.wait(10 * time.Second); len(s.sentTo(400, KindReply)) > 0 {
		t.Error("an acknowledged reply was sent again")
	}
}

// TestDeliveredOnce has copies of a delivered message come by any way and in
// any attempt: none is delivered, and the answer goes back by the latest way.
func TestDeliveredOnce(t *testing.T) {
	s := delivers(t, 400)
	m := messageFrom(300, point(510), 1)
	if s.hear(contactAt(point(600)), routePacket(m, 8)); len(s.did(ActDeliver)) > 0 {
		t.Error("a copy was delivered while the application was at it")
	}
	s.none(KindReply)
	s.step(answered(CodeOK))
	s.one(600, KindReply)
	for i, from := range []int{400, 600, 700} {
		again := routePacket(m, uint64(9+i))
		again.Attempt = uint32(i)
		s.hear(contactAt(point(from)), again)
		if len(s.did(ActDeliver)) > 0 {
			t.Error("a copy was delivered again")
		}
		if got := s.one(from, KindReply).Answer; string(got.Payload) != "reply" {
			t.Errorf("answer repeated is %q, want the first one", got.Payload)
		}
	}
	if s.step(answered(CodeAppError)); len(s.out) > 0 {
		t.Errorf("a second word of the application caused %v", s.out)
	}
}

// TestDeliveryIsForgotten has a copy come long after anybody could send one.
func TestDeliveryIsForgotten(t *testing.T) {
	s := delivers(t, 400)
	s.step(answered(CodeOK))
	s.now += Time(maxTTL + 2*memoryTime)
	s.n.Advance(s.now, nil)
	if len(s.n.deliveries.m) != 0 || len(s.n.relays.m) != 0 {
		t.Errorf("%d deliveries and %d ways back are remembered for ever", len(s.n.deliveries.m), len(s.n.relays.m))
	}
}

// TestForgedMessage has the application find that the message is not from whom
// it says: the true one with the same id is delivered.
func TestForgedMessage(t *testing.T) {
	s := delivers(t, 400)
	s.step(answered(CodeForged))
	if got := s.one(400, KindReply).Answer.Code; got != CodeForged {
		t.Errorf("answer is %v, want %v", got, CodeForged)
	}
	if got := s.n.Stats().Drops[DropForged]; got != 1 {
		t.Errorf("%d forged messages are counted, want 1", got)
	}
	s.hear(contactAt(point(600)), routePacket(messageFrom(300, point(510), 1), 8))
	s.only(ActDeliver)
	s.step(answered(CodeOK))
	s.one(600, KindReply)
	s.wait(memoryTime / 2)
	s.hear(contactAt(point(700)), routePacket(messageFrom(300, point(510), 1), 9))
	if len(s.did(ActDeliver)) > 0 {
		t.Error("the true message was delivered twice")
	}
}

// TestUnsignedAnswer checks when an answer is signed: when it goes through others.
func TestUnsignedAnswer(t *testing.T) {
	unsigned := answered(CodeOK)
	unsigned.Auth = nil
	s := delivers(t, 300) // the origin itself
	s.step(unsigned)
	s.one(300, KindReply)

	s = delivers(t, 400)
	s.step(unsigned)
	s.none(KindReply)
	a := s.only(ActVouch).Answer
	s.step(Input{Kind: InVouched, ID: a.ID, Auth: []byte("late signature")})
	if got := s.one(400, KindReply).Answer; string(got.Auth) != "late signature" || string(got.Payload) != "reply" {
		t.Errorf("answer is %+v, want it signed", got)
	}
}

// TestReplyRedirected has the way back die: the answer goes straight to the
// origin if it is a neighbour, else towards the origin's id.
func TestReplyRedirected(t *testing.T) {
	for _, tt := range []struct {
		name         string
		origin, want int
	}{
		{"to the origin", 600, 600},
		{"towards the origin", 620, 600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.hear(contactAt(point(400)), routePacket(messageFrom(tt.origin, point(510), 1), 7))
			s.step(answered(CodeOK))
			s.one(400, KindReply)
			for range 300 {
				s.wait(10 * time.Millisecond)
				s.answerProbes(400)
				if len(s.sentTo(tt.want, KindReply)) > 0 {
					break
				}
			}
			p := s.one(tt.want, KindReply)
			if p.Answer.ID != messageID(1) {
				t.Errorf("reply is to %x", p.Answer.ID)
			}
			s.hear(contactAt(point(tt.want)), &Packet{Kind: KindAck, Seq: p.Seq})
			if s.wait(100 * time.Millisecond); len(s.sentTo(tt.want, KindReply)) > 0 {
				t.Error("the reply was sent again after its acknowledgement")
			}
		})
	}
}

// TestReplyOfForwarder passes answers on by the way the message came, or another
// if there is none.
func TestReplyOfForwarder(t *testing.T) {
	answer := func(origin int) *Answer {
		c := contactAt(point(origin))
		return &Answer{ID: messageID(1), Origin: c.Peer, OriginID: c.ID, Payload: []byte("reply")}
	}
	s := forwarder(t)
	s.routed(905)
	s.hear(contactAt(point(900)), &Packet{Kind: KindReply, Seq: 5, Answer: answer(300)})
	if got := s.one(400, KindReply); got.Hops != 1 || string(got.Answer.Payload) != "reply" {
		t.Errorf("reply passed on is %+v, want the same answer one hop on", got)
	}

	s = forwarder(t)
	s.hear(contactAt(point(900)), &Packet{Kind: KindReply, Seq: 5, Answer: answer(600)})
	s.one(600, KindReply) // it was never seen on its way; the origin is a neighbour

	s = forwarder(t)
	s.hear(contactAt(point(900)), &Packet{Kind: KindReply, Seq: 5, Answer: answer(501)})
	s.none(KindReply)
	if got := s.n.Stats().Drops[DropNoReplyWay]; got != 1 {
		t.Errorf("%d replies without a way are counted, want 1", got)
	}

	s = forwarder(t)
	s.hear(contactAt(point(900)), &Packet{Kind: KindReply, Seq: 5, Hops: s.n.cfg.HopLimit, Answer: answer(600)})
	s.none(KindReply)
	if got := s.n.Stats().Drops[DropHopLimit]; got != 1 {
		t.Errorf("%d replies over the hop limit are counted, want 1", got)
	}
}

// TestCalls checks the messages of the node's own: each ends with one receipt.
func TestCalls(t *testing.T) {
	ask := func(s *script, key int, ttl time.Duration) *Routed {
		m := messageFrom(500, point(key), 1)
		s.step(Input{Kind: InRoute, Msg: m, TTL: ttl})
		return m
	}
	receipt := func(s *script, want Code) {
		t.Helper()
		if got := s.only(ActReceipt).Answer; got.Code != want || got.ID != messageID(1) {
			t.Errorf("receipt is %v for %x, want %v", got.Code, got.ID, want)
		}
		s.wait(time.Hour)
		if n := len(s.did(ActReceipt)); n > 0 || len(s.n.calls) > 0 {
			t.Errorf("%d more receipts came, %d calls are left", n, len(s.n.calls))
		}
	}
	t.Run("answered", func(t *testing.T) {
		s := forwarder(t)
		m := ask(s, 600, time.Minute)
		p := s.one(600, KindRoute)
		if p.Hops != 1 || len(p.Path) != 0 || p.Attempt != 0 || p.TTL != time.Minute {
			t.Errorf("packet is %+v, want the first attempt after one hop, with an empty path", p)
		}
		s.hear(contactAt(point(600)), &Packet{Kind: KindReply, Seq: 3, Acks: []uint64{p.Seq},
			Answer: &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID}})
		if from := s.only(ActReceipt).To; from == nil || from.ID != point(600) {
			t.Errorf("answer came from %v, want 600", from)
		}
		receipt(s, CodeOK)
	})
	t.Run("own root", func(t *testing.T) {
		s := forwarder(t)
		ask(s, 510, time.Minute)
		if a := s.only(ActDeliver); a.Hops != 0 || a.To != nil {
			t.Errorf("delivery is after %d hops from %v, want none", a.Hops, a.To)
		}
		s.step(answered(CodeOK))
		receipt(s, CodeOK)
	})
	t.Run("no answer", func(t *testing.T) {
		s := forwarder(t)
		ask(s, 600, 20*time.Second)
		attempts := map[uint32]bool{0: true}
		s.hear(contactAt(point(600)), &Packet{Kind: KindAck, Seq: s.one(600, KindRoute).Seq})
		for range 2100 {
			s.wait(10 * time.Millisecond)
			s.answerProbes()
			for _, p := range s.sentTo(600, KindRoute) {
				attempts[p.Attempt] = true
				out := s.out
				s.hear(contactAt(point(600)), &Packet{Kind: KindAck, Seq: p.Seq})
				s.out = out
			}
			if len(s.did(ActReceipt)) > 0 {
				break
			}
		}
		if len(attempts) < 3 || len(attempts) > 6 {
			t.Errorf("%d attempts in 20s, want a few, ever more seldom", len(attempts))
		}
		receipt(s, CodeTimeout)
	})
	t.Run("cancelled", func(t *testing.T) {
		s := forwarder(t)
		m := ask(s, 600, time.Minute)
		s.step(Input{Kind: InCancel, ID: m.ID})
		receipt(s, CodeCancelled)
		if len(s.n.pending) > 0 {
			t.Error("a cancelled message is still sent again")
		}
	})
	t.Run("before the node is active", func(t *testing.T) {
		s := newScript(t, 500)
		ask(s, 510, time.Minute)
		s.none(KindRoute)
		s.step(Input{Kind: InJoin})
		s.only(ActDeliver)
		s.step(answered(CodeOK))
		receipt(s, CodeOK)
	})
	t.Run("through a chosen hop", func(t *testing.T) {
		s := forwarder(t)
		s.step(Input{Kind: InRoute, Msg: messageFrom(500, point(600), 1), TTL: time.Minute, From: contactAt(point(300))})
		wantHops(t, "the first hop", s.hops(), 300)
	})
}

// TestHandedOver has the node be root of a key whose messages another delivered
// before it: a late copy goes to that one, or is answered as a duplicate.
func TestHandedOver(t *testing.T) {
	former := NewContact("former root")
	former.Epoch = 1
	handed := func(s *script, by PeerID) {
		s.hear(contactAt(point(400)), &Packet{Kind: KindLeave, Seq: 4,
			Delivered: []Delivery{{ID: messageID(1), Key: point(510), By: by}}})
		s.one(400, KindAck)
	}
	s := forwarder(t)
	know(s.n, former, 10*time.Millisecond)
	s.n.take()
	handed(s, former.Peer)
	s.hear(contactAt(point(600)), routePacket(messageFrom(300, point(510), 1), 7))
	if to, _ := s.sent(KindRoute); len(to) != 1 || to[0].ID != former.ID || len(s.did(ActDeliver)) > 0 {
		t.Errorf("a late copy caused %v, want it sent to who delivered it", s.out)
	}

	// This node itself asks again, and has become root meanwhile.
	s = forwarder(t)
	s.step(Input{Kind: InRoute, Msg: messageFrom(500, point(420), 1), TTL: time.Minute})
	p := s.one(400, KindRoute)
	s.hear(contactAt(point(400)), &Packet{Kind: KindAck, Seq: p.Seq})
	s.hear(contactAt(point(400)), &Packet{Kind: KindLeave, Seq: 4,
		Delivered: []Delivery{{ID: messageID(1), Key: point(420), By: contactAt(point(400)).Peer}}})
	s.hear(contactAt(point(300)), &Packet{Kind: KindLeave, Seq: 4})
	for end := s.now + Time(20*time.Second); s.now < end && len(s.did(ActReceipt)) == 0; {
		s.wait(50 * time.Millisecond)
		s.answerProbes()
	}
	if got := s.only(ActReceipt).Answer.Code; got != CodeDuplicate {
		t.Errorf("a message whose root left before it answered ended with %v, want %v", got, CodeDuplicate)
	}

	s = forwarder(t)
	handed(s, "somebody unknown")
	s.hear(contactAt(point(600)), routePacket(messageFrom(300, point(510), 1), 7))
	if got := s.one(600, KindReply).Answer.Code; got != CodeDuplicate || len(s.did(ActDeliver)) > 0 {
		t.Errorf("a late copy was answered %v, want %v", got, CodeDuplicate)
	}
}

// TestHandover checks what is named to a joiner and to a new neighbour.
func TestHandover(t *testing.T) {
	s := forwarder(t)
	for i, key := range []int{480, 510, 520, 540} {
		s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(key), i), uint64(i)))
	}
	named := func(id int) (keys []int) {
		for _, d := range s.n.handover(point(id)) {
			if d.By != s.n.self.Peer {
				t.Errorf("delivered by %v, want this node", d.By)
			}
			keys = append(keys, points([]*Contact{contactAt(d.Key)})...)
		}
		slices.Sort(keys)
		return keys
	}
	for _, tt := range []struct {
		name string
		to   int
		want []int
	}{
		{"joiner above", 550, []int{540}},
		{"joiner right above", 502, []int{510, 520, 540}},
		{"joiner below", 450, nil},
		{"joiner right below", 490, []int{480}},
	} {
		if got := named(tt.to); !slices.Equal(got, tt.want) {
			t.Errorf("%s: keys %v are handed over, want %v", tt.name, got, tt.want)
		}
	}
}
