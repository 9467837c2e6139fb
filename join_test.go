package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// joiner returns a script for the node at 500 that joins through the one at
// 400, which is active and alone.
func joiner(t *testing.T) *script {
	t.Helper()
	s := newScript(t, 500)
	s.step(Input{Kind: InJoin, Contacts: contactsAt(point(400))})
	if a := s.only(ActState); a.State != StateJoining {
		t.Fatalf("state is %v, want joining", a.State)
	}
	return s
}

// lookedUp answers the joiner's first probe and its join, the latter with the
// nodes at the points given.
func (s *script) lookedUp(named ...int) {
	s.t.Helper()
	s.replies(contactAt(point(400)), s.one(400, KindProbe))
	p := s.one(400, KindRoute)
	m := p.Msg
	if !m.Join || m.Key != point(500) || m.OriginID != point(500) {
		s.t.Errorf("message is %+v, want a join to the own id", m)
	}
	var contacts []*Contact
	for _, at := range named {
		contacts = append(contacts, contactAt(point(at)))
	}
	s.hear(contactAt(point(400)), &Packet{Kind: KindReply, Seq: 2, Acks: []uint64{p.Seq},
		Answer: &Answer{ID: m.ID, Origin: m.Origin, OriginID: m.OriginID, Root: contactAt(point(400)).Peer, Contacts: contacts}})
}

// grants answers the joiner's request for the place on one side of a neighbour.
func (s *script) grants(at int, larger bool, code Code, named ...*Contact) {
	s.t.Helper()
	p := s.one(at, KindGrant)
	if p.Larger != larger || p.State != StateJoining {
		s.t.Errorf("joiner asks %d for its larger side: %t, want %t", at, p.Larger, larger)
	}
	s.hear(contactAt(point(at)), &Packet{Kind: KindGrantReply, Seq: p.Seq, Code: code, Larger: larger, Contacts: named})
}

func (s *script) activated() bool {
	for _, a := range s.did(ActState) {
		if a.State == StateActive {
			return true
		}
	}
	return false
}

// TestJoinOfSecondNode takes a join apart, packet by packet: seek, join to the
// own id, probe of every leaf, grants of both sides, active, announced.
func TestJoinOfSecondNode(t *testing.T) {
	s := joiner(t)
	if p := s.one(400, KindProbe); p.Want&WantHood == 0 || p.Want&WantLeaves == 0 || p.State != StateJoining {
		t.Errorf("first probe wants %b as %v, want neighborhood and leaf set as joining", p.Want, p.State)
	}
	s.lookedUp(400)
	s.grants(400, true, CodeOK)
	if s.activated() {
		t.Fatal("active with one grant")
	}
	s.grants(400, false, CodeOK)
	if !s.activated() || s.n.Stats().Joins != 1 {
		t.Errorf("actions after both grants are %v, want it active", s.out)
	}
	s.one(400, KindProbe)
	wantPoints(t, "the leaf set", s.n.leaves.AppendMembers(nil), 400)
	if len(s.did(ActLeaves)) == 0 {
		t.Error("the new leaf set is not told")
	}
}

// TestJoinerWaitsForEveryLeaf has three leaves named, of which one is silent:
// the joiner is active only when that one is known to be dead.
func TestJoinerWaitsForEveryLeaf(t *testing.T) {
	s := joiner(t)
	s.lookedUp(400, 300, 600, 700)
	s.none(KindGrant)
	probes := map[int]*Packet{300: s.one(300, KindProbe), 600: s.one(600, KindProbe), 700: s.one(700, KindProbe)}
	s.replies(contactAt(point(300)), probes[300])
	s.replies(contactAt(point(700)), probes[700])
	s.none(KindGrant)
	for len(s.sentTo(400, KindGrant)) == 0 && s.now < Time(time.Hour+20*time.Second) {
		s.wait(50 * time.Millisecond)
		s.answerProbes(600)
		if len(s.sentTo(600, KindGrant)) > 0 || s.activated() {
			t.Fatalf("the joiner goes on before the leaf at 600 has answered: %v", s.out)
		}
	}
	s.grants(400, true, CodeOK)
	s.grants(700, false, CodeOK) // the right neighbour, since 600 is dead
	if !s.activated() {
		t.Errorf("actions after both grants are %v, want it active", s.out)
	}
}

// TestJoinerHoldsMessages has messages for the joiner's keys come before it is
// active: it keeps them unacknowledged and delivers them then, once.
func TestJoinerHoldsMessages(t *testing.T) {
	s := joiner(t)
	s.lookedUp(400)
	question := s.out
	route := func(id int) {
		s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(490), id), uint64(10+id)))
	}
	for _, id := range []int{1, 2, 1} {
		route(id)
		s.none(KindAck)
		if len(s.did(ActDeliver)) > 0 {
			t.Fatal("a message was delivered by a node that is not active")
		}
	}
	s.out = question
	s.grants(400, true, CodeOK)
	s.grants(400, false, CodeOK)
	delivered := s.did(ActDeliver)
	if len(delivered) != 2 || delivered[0].Msg.ID != messageID(1) || delivered[1].Msg.ID != messageID(2) {
		t.Fatalf("%d messages were delivered when active, want the two that were held", len(delivered))
	}
	s.step(answered(CodeOK))
	s.one(400, KindReply)
	if route(1); len(s.did(ActDeliver)) > 0 {
		t.Error("a held message was delivered twice")
	}
}

func TestJoinerHoldsFew(t *testing.T) {
	s := joiner(t)
	s.lookedUp(400)
	for i := range maxHeld + 10 {
		s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(490), i), uint64(i)))
	}
	if got := s.n.Stats().Drops[DropHeld]; got != 10 || len(s.n.held) != maxHeld {
		t.Errorf("%d messages are held and %d dropped, want %d and 10", len(s.n.held), got, maxHeld)
	}
}

// TestJoinerRefusesBefore has a message come before anybody granted anything.
func TestJoinerRefusesBefore(t *testing.T) {
	s := joiner(t)
	s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(490), 1), 10))
	if got := s.one(400, KindAck).Code; got != CodeNotActive {
		t.Errorf("a joiner without a grant answers %v, want %v", got, CodeNotActive)
	}
}

// TestJoinerTakesOver has the neighbour name a message that it delivered for a
// key which is the joiner's now.
func TestJoinerTakesOver(t *testing.T) {
	s := joiner(t)
	s.lookedUp(400)
	p := s.one(400, KindGrant)
	s.hear(contactAt(point(400)), &Packet{Kind: KindGrantReply, Seq: p.Seq, Larger: true,
		Delivered: []Delivery{{ID: messageID(1), Key: point(490), By: "somebody"}}})
	s.grants(400, false, CodeOK)
	s.hear(contactAt(point(400)), routePacket(messageFrom(300, point(490), 1), 10))
	if len(s.did(ActDeliver)) > 0 {
		t.Error("a message that was delivered before the join was delivered again")
	}
}

// TestJoinerAsksAgain has a neighbour that helps another joiner first, one that
// is none, and grants that are too old when the other one comes.
func TestJoinerAsksAgain(t *testing.T) {
	t.Run("busy", func(t *testing.T) {
		s := joiner(t)
		s.lookedUp(400)
		s.grants(400, true, CodeBusy)
		s.none(KindGrant)
		for len(s.sentTo(400, KindGrant)) == 0 && s.now < Time(time.Hour+5*time.Second) {
			s.wait(10 * time.Millisecond)
		}
		s.grants(400, true, CodeOK)
		s.grants(400, false, CodeOK)
		if !s.activated() {
			t.Error("not active after both grants")
		}
	})
	t.Run("not a neighbour", func(t *testing.T) {
		s := joiner(t)
		s.lookedUp(400)
		s.grants(400, true, CodeNotNeighbor, contactAt(point(450)))
		s.none(KindGrant)
		s.replies(contactAt(point(450)), s.one(450, KindProbe))
		s.grants(450, true, CodeOK)
		s.grants(400, false, CodeOK)
		if !s.activated() {
			t.Error("not active after both grants")
		}
	})
	t.Run("a neighbour thought dead", func(t *testing.T) {
		s := joiner(t)
		s.lookedUp(400)
		s.grants(400, true, CodeNotNeighbor, contactAt(point(450)))
		for end := s.now + Time(10*time.Second); len(s.sentTo(400, KindGrant)) == 0 && s.now < end; { // it is found dead
			s.wait(10 * time.Millisecond)
			s.answerProbes(450)
		}
		s.grants(400, true, CodeNotNeighbor, contactAt(point(450)))
		for _, at := range []int{400, 450} {
			if p := s.one(at, KindSuspect); !slices.Equal(p.Suspects, []ring.ID{point(450)}) {
				t.Errorf("told %d that %v are dead, want 450", at, p.Suspects)
			}
		}
		s.hear(contactAt(point(450)), &Packet{Kind: KindProbe, Seq: 1, State: StateActive})
		s.replies(contactAt(point(450)), s.one(450, KindProbe))
		s.grants(450, true, CodeOK)
		s.grants(400, false, CodeOK)
		if !s.activated() {
			t.Error("not active after both grants")
		}
	})
	t.Run("old lease", func(t *testing.T) {
		s := joiner(t)
		s.lookedUp(400)
		s.grants(400, true, CodeOK)
		question := s.one(400, KindGrant)
		again := 0
		for end := s.now + Time(5*time.Second); s.now < end; {
			s.wait(50 * time.Millisecond)
			s.answerProbes()
			for _, p := range s.sentTo(400, KindGrant) {
				again += boolToInt(p.Larger)
			}
		}
		if again == 0 {
			t.Error("the grant of the left neighbour was not asked for again though it is old")
		}
		s.hear(contactAt(point(400)), &Packet{Kind: KindGrantReply, Seq: question.Seq, Code: CodeOK})
		if s.activated() {
			t.Fatal("active by a grant that is 5s old")
		}
		s.hear(contactAt(point(400)), &Packet{Kind: KindGrantReply, Seq: s.n.join.seq, Larger: true, Code: CodeOK})
		s.grants(400, false, CodeOK)
		if !s.activated() {
			t.Error("not active after both grants")
		}
	})
	t.Run("another answers", func(t *testing.T) {
		s := joiner(t)
		s.lookedUp(400)
		p := s.one(400, KindGrant)
		s.hear(contactAt(point(400)), &Packet{Kind: KindGrantReply, Seq: p.Seq + 1, Code: CodeOK})
		s.none(KindGrant)
		if s.activated() {
			t.Error("active by the answer to another question")
		}
	})
}

// TestJoinStartsOver has the only seed silent, and answer after a while.
func TestJoinStartsOver(t *testing.T) {
	s := joiner(t)
	tries := 0
	for range 300 {
		s.wait(100 * time.Millisecond)
		tries += len(s.sentTo(400, KindProbe))
	}
	if tries < 5 || s.n.State() != StateJoining {
		t.Errorf("%d probes in 30s and state %v, want it to go on trying", tries, s.n.State())
	}
	for len(s.sentTo(400, KindProbe)) == 0 {
		s.wait(10 * time.Millisecond)
	}
	s.lookedUp(400)
	s.grants(400, true, CodeOK)
	s.grants(400, false, CodeOK)
	if !s.activated() {
		t.Error("not active after the seed came back")
	}
}

// TestJoinGivenUp has a node stop while it joins, and join once more: nothing of
// the first time is in the way.
func TestJoinGivenUp(t *testing.T) {
	s := joiner(t)
	s.step(Input{Kind: InLeave})
	if got := s.n.State(); got != StateIdle {
		t.Fatalf("state is %v, want idle", got)
	}
	if at, ok := s.n.Deadline(); ok {
		t.Errorf("an idle node waits until %v", at)
	}
	s.step(Input{Kind: InJoin, Contacts: contactsAt(point(400))})
	s.lookedUp(400)
	s.grants(400, true, CodeOK)
	s.grants(400, false, CodeOK)
	if !s.activated() {
		t.Error("not active at the second time")
	}
}

// TestAllJoinAtOnce restarts a whole ring: nobody is active, each has the others
// as seeds. The one with the smallest id starts the ring, the others join it.
func TestAllJoinAtOnce(t *testing.T) {
	w := &world{now: Time(time.Hour)}
	at := []int{300, 500, 700, 900}
	for _, a := range at {
		w.add(t, a, false, at...)
	}
	active := func() bool {
		for _, a := range w.nodes {
			if !a.active() {
				return false
			}
		}
		return true
	}
	if !w.run(30*time.Second, active) {
		t.Fatal("not all are active after 30s")
	}
	w.run(5*time.Second, never)
	for _, a := range w.nodes {
		if got := len(a.n.leaves.AppendMembers(nil)); got != 3 {
			t.Errorf("%v has %d leaves, want all 3 others", a.n.self.ID, got)
		}
	}
}

// TestClientJoins ends as a client: with contacts to route through, without a
// leaf set, and in nobody's tables.
func TestClientJoins(t *testing.T) {
	w := &world{now: Time(time.Hour)}
	for i, at := range []int{100, 300, 500, 700, 900} {
		a := w.add(t, at, false, []int{100}[:min(i, 1)]...)
		if !w.run(10*time.Second, a.active) {
			t.Fatalf("node at %d is not active", at)
		}
	}
	client := w.add(t, 610, true, 300)
	if !w.run(5*time.Second, func() bool { return client.n.State() == StateClient }) {
		t.Fatalf("client is %v after 5s", client.n.State())
	}
	w.run(2*time.Minute, never)
	if len(client.n.known) == 0 || len(client.n.leaves.AppendMembers(nil)) > 0 {
		t.Errorf("client knows %d hops and %d leaves, want some and none", len(client.n.known), len(client.n.leaves.AppendMembers(nil)))
	}
	for _, a := range w.nodes[:5] {
		if a.n.holds(point(610)) {
			t.Errorf("%v has the client in a table", a.n.self.ID)
		}
	}
	m := messageFrom(610, point(290), 1)
	w.input(client, Input{Kind: InRoute, Msg: m, TTL: 10 * time.Second})
	w.run(time.Second, never)
	if len(w.ended) != 1 || w.ended[0].Code != CodeOK || w.ended[0].Root != contactAt(point(300)).Peer {
		t.Errorf("the client's message ended with %+v, want delivered at 300", w.ended)
	}
}

// TestTwoNodesOneDies leaves the other alone and root of everything.
func TestTwoNodesOneDies(t *testing.T) {
	w := &world{now: Time(time.Hour)}
	first := w.add(t, 100, false)
	second := w.add(t, 600, false, 100)
	if !w.run(10*time.Second, second.active) {
		t.Fatal("the second node is not active")
	}
	w.run(10*time.Second, never)
	first.down = true
	w.run(30*time.Second, never)
	if got := second.n.leaves.AppendMembers(nil); len(got) != 0 {
		t.Errorf("the dead node is still a leaf")
	}
	w.input(second, Input{Kind: InRoute, Msg: messageFrom(600, point(100), 1), TTL: 10 * time.Second})
	w.run(time.Second, never)
	if len(w.ended) != 1 || w.ended[0].Code != CodeOK || w.ended[0].Root != second.n.self.Peer {
		t.Errorf("a message to the dead node's key ended with %+v, want delivered here", w.ended)
	}
}

// TestJoinerAsksAll gives a joiner more contacts than it keeps in mind. It asks others of
// them in each attempt.
func TestJoinerAsksAll(t *testing.T) {
	s := newScript(t, 500)
	var seeds []*Contact
	for i := range maxPool + 100 {
		seeds = append(seeds, contactAt(point(i+1000)))
	}
	s.step(Input{Kind: InJoin, Contacts: seeds})
	asked := make(map[PeerID]bool)
	for range 4 * 600 {
		for _, a := range s.out {
			if a.Kind == ActSend && a.Packet.Kind == KindProbe {
				asked[a.To.Peer] = true
			}
		}
		s.wait(100 * time.Millisecond)
	}
	if len(asked) != len(seeds) {
		t.Errorf("%d of %d are asked within four minutes", len(asked), len(seeds))
	}
}

// TestJoinerAloneIsPatient leaves a joiner alone with contacts of whom none answers: the
// more it knows, the less often it asks each.
func TestJoinerAloneIsPatient(t *testing.T) {
	for _, tt := range []struct{ contacts, most int }{{1, 70}, {100, 2500}, {1000, 7500}} {
		s := newScript(t, 500)
		var seeds []*Contact
		for i := range tt.contacts {
			seeds = append(seeds, contactAt(point(i+1000)))
		}
		s.step(Input{Kind: InJoin, Contacts: seeds})
		packets := 0
		for range 600 {
			packets += len(s.did(ActSend))
			s.wait(100 * time.Millisecond)
		}
		if packets == 0 || packets > tt.most {
			t.Errorf("with %d contacts %d packets are sent in a minute, want at most %d", tt.contacts, packets, tt.most)
		}
	}
}

// TestJoinerAloneIsVisited has a joiner that reached nobody, and waits for long, be probed
// by another one, or be told of one more. It asks again at once.
func TestJoinerAloneIsVisited(t *testing.T) {
	for _, visit := range []bool{true, false} {
		s := newScript(t, 500)
		var seeds []*Contact
		for i := range 1000 {
			seeds = append(seeds, contactAt(point(i+1000)))
		}
		s.step(Input{Kind: InJoin, Contacts: seeds})
		for s.n.join.phase != joinNone {
			s.wait(100 * time.Millisecond)
		}
		s.wait(time.Second)
		other := contactAt(point(700))
		if visit {
			s.hear(other, &Packet{Kind: KindProbe, State: StateJoining, Seq: 1, Want: WantHood})
		} else {
			s.step(Input{Kind: InJoin, Contacts: []*Contact{other}})
		}
		asked := false
		for until := s.now + Time(3*time.Second); s.now < until; s.wait(10 * time.Millisecond) {
			for _, a := range s.out {
				asked = asked || a.Kind == ActSend && a.Packet.Kind == KindProbe && a.To.ID == other.ID
			}
		}
		if !asked {
			t.Errorf("visited: %t: the other node is not asked within three seconds", visit)
		}
	}
}
