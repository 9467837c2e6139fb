package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// replies gives the node the answer to a probe, naming contacts.
func (s *script) replies(from *Contact, probe *Packet, named ...*Contact) []Action {
	s.t.Helper()
	return s.hear(from, &Packet{Kind: KindProbeReply, Seq: probe.Seq, Want: probe.Want, Row: probe.Row, Version: 9, Contacts: named})
}

// exchange has the node ask a leaf for its leaf set, and returns the question.
func (s *script) exchange(at int) *Packet {
	s.t.Helper()
	s.n.ask(s.n.peers.get(point(at)), whyExchange, WantLeaves, 0)
	s.out = s.n.take()
	return s.one(at, KindProbe)
}

// goneAfter lets time pass until a node is given up, while all others answer
// probes, and returns how many probes it got.
func (s *script) goneAfter(at int, limit time.Duration) (probes int, gone bool) {
	s.t.Helper()
	probes = len(s.sentTo(at, KindProbe))
	for end := s.now + Time(limit); s.now < end; {
		s.wait(5 * time.Millisecond)
		s.answerProbes(at)
		probes += len(s.sentTo(at, KindProbe))
		if slices.ContainsFunc(s.did(ActGone), func(a Action) bool { return a.To.ID == point(at) }) {
			return probes, true
		}
	}
	return probes, false
}

// TestProbeBeforeRemoval has a leaf lose its connection: only when several
// probes went unanswered is it dead, and then those hear of it that have it in
// their leaf sets.
func TestProbeBeforeRemoval(t *testing.T) {
	s := forwarder(t)
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	s.one(600, KindProbe)
	if s.n.leaves.Get(point(600)) == nil {
		t.Fatal("a closed connection made a node dead")
	}
	probes, gone := s.goneAfter(600, 10*time.Second)
	if !gone || probes < 2 {
		t.Errorf("gone: %t, after %d probes; want it gone after at least two", gone, probes)
	}
	if s.n.leaves.Get(point(600)) != nil || s.n.table.Contains(point(600)) || s.n.hood.Contains(point(600)) {
		t.Error("a dead node is still in a table")
	}
	for _, leaf := range []int{400, 700} {
		if got := s.one(leaf, KindSuspect).Suspects; !slices.Equal(got, []ring.ID{point(600)}) {
			t.Errorf("%d hears that %v is dead, want 600", leaf, got)
		}
	}
	if got := s.only(ActForget).To.ID; got != point(600) {
		t.Errorf("connections to %v are of no use, want 600", got)
	}
}

// TestLateAnswerSaves has the answer to the first try come after the second was
// sent: it counts.
func TestLateAnswerSaves(t *testing.T) {
	s := forwarder(t)
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	first := s.one(600, KindProbe)
	s.wait(1100 * time.Millisecond)
	if len(s.sentTo(600, KindProbe)) == 0 {
		t.Fatal("there was no second try")
	}
	s.replies(contactAt(point(600)), first)
	if _, gone := s.goneAfter(600, 10*time.Second); gone {
		t.Error("a node that answered late was taken for dead")
	}
}

// TestAnyWordSaves has the probed node say something else.
func TestAnyWordSaves(t *testing.T) {
	s := forwarder(t)
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
	if _, gone := s.goneAfter(600, 10*time.Second); gone {
		t.Error("a node that spoke was taken for dead")
	}
}

// TestDeadLeafAbsentFromTheTable has a leaf die that the table has no room for:
// it must go all the same.
func TestDeadLeafAbsentFromTheTable(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700, 601, 602, 603)
	near := proximities{point(601): 1, point(602): 2, point(603): 3, point(600): 4}
	for _, c := range s.n.table.AppendAll(nil) {
		s.n.table.Remove(c.ID)
	}
	for _, at := range []int{601, 602, 603} {
		s.n.table.Insert(contactAt(point(at)), near.of)
	}
	if s.n.leaves.Get(point(600)) == nil || s.n.table.Contains(point(600)) {
		t.Fatal("600 must be a leaf and not in the table")
	}
	s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
	if _, gone := s.goneAfter(600, 10*time.Second); !gone || s.n.leaves.Get(point(600)) != nil {
		t.Error("a dead leaf that is not in the table was not removed")
	}
}

// TestSuspicionIsConfirmed has a neighbour believe that a leaf is dead.
func TestSuspicionIsConfirmed(t *testing.T) {
	s := forwarder(t)
	suspect := &Packet{Kind: KindSuspect, Suspects: []ring.ID{point(600), point(123)}}
	s.now += Time(s.n.cfg.MinProbeTimeout)
	s.hear(contactAt(point(400)), suspect)
	probe := s.one(600, KindProbe)
	if to, _ := s.sent(KindProbe); len(to) != 1 || len(s.did(ActGone)) > 0 {
		t.Errorf("a suspicion caused %v, want one probe", s.out)
	}
	s.replies(contactAt(point(600)), probe)
	if s.n.leaves.Get(point(600)) == nil {
		t.Error("a suspicion removed a node that answers")
	}
	s.now += Time(s.n.cfg.MinProbeTimeout)
	s.hear(contactAt(point(400)), suspect)
	if probes, gone := s.goneAfter(600, 10*time.Second); !gone || probes < 2 {
		t.Errorf("gone: %t, after %d probes; want it gone after at least two", gone, probes)
	}
}

// TestSuspectedItself has somebody believe that this node is dead: it shows
// itself.
func TestSuspectedItself(t *testing.T) {
	s := forwarder(t)
	s.hear(contactAt(point(400)), &Packet{Kind: KindSuspect, Suspects: []ring.ID{point(500)}})
	s.one(400, KindProbe)
}

// TestProbeBeforeAdmission has a neighbour name a node: hearsay alone lets
// nobody in.
func TestProbeBeforeAdmission(t *testing.T) {
	s := forwarder(t)
	newcomer := contactAt(point(550))
	s.replies(contactAt(point(600)), s.exchange(600), newcomer)
	probe := s.one(550, KindProbe)
	if s.n.holds(point(550)) || len(s.did(ActJoined)) > 0 {
		t.Fatal("a node entered by hearsay")
	}
	s.replies(newcomer, probe)
	if s.n.leaves.Get(point(550)) == nil || !s.n.table.Contains(point(550)) {
		t.Error("a node that answered did not enter")
	}
	if got := s.only(ActJoined).To.ID; got != point(550) {
		t.Errorf("%v has joined, want 550", got)
	}
	if len(s.did(ActLeaves)) != 1 {
		t.Errorf("%d changes of the leaf set are told, want one", len(s.did(ActLeaves)))
	}
}

// TestSilentNewcomer is named and never answers.
func TestSilentNewcomer(t *testing.T) {
	s := forwarder(t)
	s.replies(contactAt(point(600)), s.exchange(600), contactAt(point(550)))
	tries := len(s.sentTo(550, KindProbe))
	for range 1000 {
		s.wait(10 * time.Millisecond)
		s.answerProbes(550)
		tries += len(s.sentTo(550, KindProbe))
	}
	if s.n.holds(point(550)) || len(s.n.leafProbes) != 0 {
		t.Error("a node that never answered is in a table, or still asked")
	}
	if tries > 2*s.n.cfg.ProbeTries {
		t.Errorf("it was probed %d times, want %d", tries, s.n.cfg.ProbeTries)
	}
}

// TestClientsAreNotAdmitted has a client show itself, be named, and claim to be
// active.
func TestClientsAreNotAdmitted(t *testing.T) {
	client := contactAt(point(550))
	client.Client = true
	s := forwarder(t)
	s.step(Input{Kind: InConnected, From: client})
	s.hear(client, &Packet{Kind: KindProbe, Seq: 3, Want: WantLeaves, State: StateClient})
	if got := s.one(550, KindProbeReply).Contacts; len(got) != 4 {
		t.Errorf("a client is told %d leaves, want 4", len(got))
	}
	s.hear(client, &Packet{Kind: KindHeartbeat, State: StateActive})
	s.hear(client, &Packet{Kind: KindGrant, State: StateJoining, Larger: true})
	if got := s.one(550, KindGrantReply).Code; got != CodeNotActive {
		t.Errorf("a client that wants a place gets %v, want %v", got, CodeNotActive)
	}
	s.replies(contactAt(point(600)), s.exchange(600), client)
	if len(s.sentTo(550, KindProbe)) > 0 || s.n.holds(point(550)) {
		t.Error("a client was admitted, or probed for it")
	}
}

// TestMemberBecomesClient has a member come back as a client.
func TestMemberBecomesClient(t *testing.T) {
	s := forwarder(t)
	client := contactAt(point(600))
	client.Client, client.Epoch = true, 2
	s.hear(client, &Packet{Kind: KindProbe, State: StateClient})
	if s.n.holds(point(600)) {
		t.Error("a member that became a client is still in a table")
	}
}

// TestStaleIncarnation has packets of an earlier life of a node come late.
func TestStaleIncarnation(t *testing.T) {
	s := forwarder(t)
	s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
	reborn := contactAt(point(600))
	reborn.Epoch = 5
	s.hear(reborn, &Packet{Kind: KindProbe, State: StateJoining, Want: WantLeaves})
	if s.n.holds(point(600)) {
		t.Error("a node that started anew and still joins is in a table")
	}
	s.hear(contactAt(point(600)), &Packet{Kind: KindLeave, Seq: 9})
	if got := s.n.Stats().Drops[DropStale]; got != 1 || len(s.out) != 0 {
		t.Errorf("%d stale packets are counted and %v done, want it dropped", got, s.out)
	}
	s.hear(reborn, &Packet{Kind: KindHeartbeat})
	s.replies(reborn, s.one(600, KindProbe))
	if s.n.leaves.Get(point(600)) == nil {
		t.Error("the new incarnation is active and not in the leaf set")
	}
}

// TestQuarantine has hearsay about a node that was found dead: it is ignored for
// a while, unless it is about a later incarnation or from the node itself.
func TestQuarantine(t *testing.T) {
	dead := func(t *testing.T) *script {
		s := forwarder(t)
		s.step(Input{Kind: InDisconnected, From: contactAt(point(600))})
		if _, gone := s.goneAfter(600, 10*time.Second); !gone {
			t.Fatal("600 is not dead")
		}
		return s
	}
	named := func(s *script, c *Contact) []*Packet {
		s.replies(contactAt(point(700)), s.exchange(700), c)
		return s.sentTo(600, KindProbe)
	}
	s := dead(t)
	if got := named(s, contactAt(point(600))); len(got) != 0 {
		t.Error("hearsay about a dead node was followed at once")
	}
	s = dead(t)
	later := contactAt(point(600))
	later.Epoch = 2
	if got := named(s, later); len(got) != 1 {
		t.Error("hearsay about the node's next life was ignored")
	}
	s = dead(t)
	s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
	s.one(600, KindProbe)
	s = dead(t)
	for s.now < Time(2*time.Hour) && len(s.n.dead) > 0 {
		s.wait(time.Second)
		s.answerProbes(600)
	}
	if got := named(s, contactAt(point(600))); len(got) != 1 {
		t.Error("hearsay is ignored for ever")
	}
}

// TestHeartbeats go to the left neighbour, but for one to the right neighbour, which is
// new, and silence of that one is looked into.
func TestHeartbeats(t *testing.T) {
	s := newScript(t, 500)
	s.step(Input{Kind: InJoin})
	for _, m := range []int{300, 400, 600, 700} {
		know(s.n, contactAt(point(m)), 10*time.Millisecond)
	}
	s.n.take()
	beats := map[int]int{}
	for range 600 {
		s.wait(100 * time.Millisecond)
		s.answerProbes()
		to, _ := s.sent(KindHeartbeat)
		for _, at := range points(to) {
			beats[at]++
		}
	}
	if len(beats) != 2 || beats[400] < 6 || beats[400] > 12 || beats[600] != 1 {
		t.Errorf("heartbeats in a minute are %v, want about 12 at most to 400, and one to 600", beats)
	}
	if _, gone := s.goneAfter(600, 30*time.Second); !gone {
		t.Error("the silence of the right neighbour was not noticed")
	}
	if s.n.leaves.Get(point(600)) != nil || s.n.leaves.Right().ID != point(700) {
		t.Errorf("right neighbour is %v, want 700", s.n.leaves.Right().ID)
	}
}

// TestSecondConnectionMeasuresNothing has another connection to a connected
// peer open while a probe is under way: the round trip counts from when the
// probe was sent.
func TestSecondConnectionMeasuresNothing(t *testing.T) {
	for _, tt := range []struct {
		name      string
		connected bool
		want      time.Duration
	}{
		{"first connection", false, 10 * time.Millisecond},
		{"second connection", true, 100 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			c := contactAt(point(550))
			if tt.connected {
				s.step(Input{Kind: InConnected, From: c})
			}
			s.hear(c, &Packet{Kind: KindHeartbeat})
			probe := s.one(550, KindProbe)
			s.wait(90 * time.Millisecond)
			s.step(Input{Kind: InConnected, From: c})
			s.wait(10 * time.Millisecond)
			s.replies(c, probe)
			if got := s.n.RTT(point(550)); got != tt.want {
				t.Errorf("round trip is %v, want %v", got, tt.want)
			}
		})
	}
}
