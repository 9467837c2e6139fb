package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// TestLongPath has a neighbour send a path that would grow beyond what the next
// hop accepts: passed on, it would cost this node its link there.
func TestLongPath(t *testing.T) {
	for _, key := range []int{510, 710} { // delivered here, passed on
		s := forwarder(t)
		p := routePacket(messageFrom(300, point(key), 1), 7)
		p.Hops, p.Path = 1, slices.Repeat([]PeerID{"somebody"}, maxPath)
		s.hear(contactAt(point(400)), p)
		if len(s.out) > 0 {
			t.Errorf("key %d: a path longer than the way caused %v", key, s.out)
		}
		if got := s.n.Stats().Drops[DropMalformed]; got != 1 {
			t.Errorf("key %d: %d malformed packets are counted, want 1", key, got)
		}
	}
}

// TestFalseDeliveries has neighbours say that others delivered a message, each
// the next one: it must not go round between them for ever.
func TestFalseDeliveries(t *testing.T) {
	s := forwarder(t)
	by := NewContact("somebody")
	know(s.n, by, 10*time.Millisecond)
	s.hear(contactAt(point(400)), &Packet{Kind: KindLeave, Seq: 3,
		Delivered: []Delivery{{ID: messageID(1), Key: point(510), By: by.Peer}}})
	p := routePacket(messageFrom(300, point(510), 1), 7)
	if s.hear(contactAt(point(300)), p); len(s.did(ActDeliver)) > 0 {
		t.Error("a message was delivered a second time")
	}
	if to, _ := s.sent(KindRoute); len(to) != 1 || to[0].ID != by.ID {
		t.Errorf("the message went to %v, want the node that delivered it", to)
	}
	late := *p
	late.Hops, late.Attempt = s.n.cfg.HopLimit, 1
	s.hear(contactAt(point(300)), &late)
	s.none(KindRoute)
	if got := s.one(300, KindReply).Answer.Code; got != CodeHopLimit {
		t.Errorf("answer is %v, want %v", got, CodeHopLimit)
	}
}

// TestForeignHandover has nodes that were nobody's neighbour hand over what they
// did not deliver.
func TestForeignHandover(t *testing.T) {
	s := forwarder(t)
	var ds []Delivery
	for i := range 5000 {
		ds = append(ds, Delivery{ID: messageID(i), Key: point(510), By: "nobody"})
	}
	s.hear(contactAt(point(950)), &Packet{Kind: KindLeave, Seq: 3, Delivered: ds})
	if got := len(s.n.deliveries.m); got != 0 {
		t.Errorf("%d deliveries were taken over from a node outside the leaf set, want none", got)
	}
	for seq := range uint64(2) {
		s.hear(contactAt(point(400)), &Packet{Kind: KindLeave, Seq: 4 + seq, Delivered: ds[2500*seq : 5000 : 5000]})
	}
	if got := len(s.n.deliveries.m); got != maxHandover {
		t.Errorf("%d deliveries were taken over from a leaf, want %d", got, maxHandover)
	}
}

// TestMessagesAreLetGo checks that a node does not keep what it has passed on.
func TestMessagesAreLetGo(t *testing.T) {
	s := forwarder(t)
	for i := range 100 {
		s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(700), i), uint64(i)))
		s.hear(contactAt(point(700)), &Packet{Kind: KindAck, Seq: s.one(700, KindRoute).Seq})
	}
	for id, r := range s.n.relays.m {
		if r.transit != nil {
			t.Fatalf("message %x was acknowledged and is kept", id)
		}
	}
}

// TestAnswersAreLetGo checks that the answers kept for late copies have a limit
// in bytes, and that a late copy of a message whose answer went is not delivered.
func TestAnswersAreLetGo(t *testing.T) {
	s := forwarder(t)
	reply := make([]byte, 1<<20)
	const messages = maxAnswers>>20 + 10
	for i := range messages {
		s.hear(contactAt(point(300)), routePacket(messageFrom(300, point(510), i), uint64(i)))
		s.step(Input{Kind: InDelivered, ID: messageID(i), Payload: reply})
		s.hear(contactAt(point(300)), &Packet{Kind: KindAck, Seq: s.one(300, KindReply).Seq})
	}
	kept := 0
	for _, d := range s.n.deliveries.m {
		kept += len(d.answer.Payload)
	}
	if kept > maxAnswers {
		t.Errorf("%d bytes of answers are kept, want at most %d", kept, maxAnswers)
	}
	s.hear(contactAt(point(300)), routePacket(messageFrom(300, point(510), 0), messages))
	if got := s.one(300, KindReply).Answer.Code; got != CodeDuplicate {
		t.Errorf("answer to a copy is %v, want %v", got, CodeDuplicate)
	}
	s.hear(contactAt(point(300)), routePacket(messageFrom(300, point(510), messages-1), messages+1))
	if got := s.one(300, KindReply).Answer; got.Code != CodeOK || len(got.Payload) != len(reply) {
		t.Errorf("answer to a copy of a late message is %v with %d bytes, want all of it", got.Code, len(got.Payload))
	}
	s.now += Time(maxTTL + 2*memoryTime)
	s.n.Advance(s.now, nil)
	if len(s.n.answers.fifo) > 0 || s.n.answers.bytes != 0 {
		t.Errorf("%d answers with %d bytes are kept for ever", len(s.n.answers.fifo), s.n.answers.bytes)
	}
}

// TestTransitsAreBounded floods a node with messages for a hop that lives and
// takes none of them.
func TestTransitsAreBounded(t *testing.T) {
	s := newScript(t, 500, func(c *Config) { c.Memory = 64 })
	s.step(Input{Kind: InJoin})
	for _, m := range []int{300, 400, 600, 700} {
		know(s.n, contactAt(point(m)), 10*time.Millisecond)
	}
	for i := range 1000 {
		s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(600), i), uint64(i)))
		s.hear(contactAt(point(400)), &Packet{Kind: KindReply, Seq: uint64(1000 + i),
			Answer: &Answer{ID: messageID(i + 5000), OriginID: point(600)}})
	}
	if got := len(s.n.pending); got > s.n.cfg.Memory {
		t.Errorf("%d packets are waited for, want at most %d", got, s.n.cfg.Memory)
	}
}

// TestSuspicionsOfTheLiving has a neighbour cast suspicion on nodes that were
// heard a moment ago, again and again.
func TestSuspicionsOfTheLiving(t *testing.T) {
	s := forwarder(t)
	s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
	s.hear(contactAt(point(400)), &Packet{Kind: KindSuspect, Suspects: idsAt(600)})
	s.none(KindProbe)
	s.now += Time(s.n.cfg.MinProbeTimeout)
	s.hear(contactAt(point(400)), &Packet{Kind: KindSuspect, Suspects: idsAt(600)})
	s.one(600, KindProbe)
}

// TestUnsignedTwice has a hop ask for the signature of a message that has one.
func TestUnsignedTwice(t *testing.T) {
	s := forwarder(t)
	m := messageFrom(500, point(600), 1)
	m.Origin, m.OriginID, m.Auth = s.n.self.Peer, s.n.self.ID, []byte("signature")
	s.step(Input{Kind: InRoute, Msg: m, TTL: time.Minute})
	s.hear(contactAt(point(600)), &Packet{Kind: KindAck, Seq: s.one(600, KindRoute).Seq, Code: CodeUnsigned})
	if got := s.did(ActSign); len(got) > 0 {
		t.Error("a signed message was signed again")
	}
}

// TestFalseGrant has a node that was not asked answer for the neighbour.
func TestFalseGrant(t *testing.T) {
	s := joiner(t)
	s.lookedUp(400)
	asked := s.one(400, KindGrant)
	s.hear(contactAt(point(600)), &Packet{Kind: KindGrantReply, Seq: asked.Seq, Larger: true,
		Delivered: []Delivery{{ID: messageID(1), Key: point(500), By: "nobody"}}})
	if len(s.n.deliveries.m) > 0 {
		t.Error("what a node that was not asked handed over was taken")
	}
}

func idsAt(ns ...int) (ids []ring.ID) {
	for _, n := range ns {
		ids = append(ids, point(n))
	}
	return ids
}

// TestStraight checks for which messages the link they came by stands in for a
// signature.
func TestStraight(t *testing.T) {
	const self = PeerID("self")
	tests := []struct {
		name   string
		to     *Contact
		origin PeerID
		want   bool
	}{
		{"own", nil, self, true},
		{"from its origin", &Contact{Peer: "a"}, "a", true},
		{"through another", &Contact{Peer: "b"}, "a", false},
		{"its way here forgotten", nil, "a", false},
	}
	for _, tt := range tests {
		a := &Action{Kind: ActDeliver, To: tt.to, Msg: &Routed{Origin: tt.origin}}
		if got := straight(self, a); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}
