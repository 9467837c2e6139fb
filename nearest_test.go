package pastry

import (
	"math"
	"slices"
	"testing"
	"time"
)

// onLine is a Proximity of nodes that lie on a line, where a coordinate is the place
// in milliseconds.
type onLine struct {
	measured
	at float32
}

func (l onLine) Coordinate() []float32 { return []float32{l.at} }

func (l onLine) Between(a, b []float32) (time.Duration, bool) {
	if len(a) != 1 || len(b) != 1 {
		return 0, false
	}
	return time.Duration(math.Abs(float64(a[0]-b[0])) * float64(time.Millisecond)), true
}

// replicaScript is a script for a node at 500, which is at 50 ms of a line. Its leaf
// set is 300, 400, 600 and 700, each at a tenth of its point. All round trips it has
// measured are 10 ms, but the one to 700, which is 9.
func replicaScript(t *testing.T) *script {
	t.Helper()
	s := activeScriptWith(t, func(c *Config) { c.Proximity = onLine{at: 50} }, 900)
	for _, m := range []int{300, 400, 600, 700} {
		c := contactAt(point(m))
		c.Coord = []float32{float32(m) / 10}
		know(s.n, c, 10*time.Millisecond-time.Duration(boolToInt(m == 700))*time.Millisecond)
	}
	s.n.take()
	s.n.stopWaiting()
	return s
}

// anyOf gives the node a message from 910 by way of 900, which any of so many members
// closest to the key may deliver. Its origin is at the place given.
func (s *script) anyOf(replicas, key int, at float32, change ...func(*Packet)) {
	s.t.Helper()
	p := routePacket(messageFrom(910, point(key), 1), 7)
	p.Msg.Replicas, p.Msg.Coord = replicas, []float32{at}
	p.Hops, p.Path = 2, []PeerID{contactAt(point(900)).Peer}
	for _, f := range change {
		f(p)
	}
	s.hear(contactAt(point(900)), p)
}

func TestNearestReplica(t *testing.T) {
	passed := func(at int) func(*Packet) {
		return func(p *Packet) {
			p.Hops++
			p.Path = append([]PeerID{contactAt(point(at)).Peer}, p.Path...)
		}
	}
	from := func(at int) func(*Packet) {
		return func(p *Packet) {
			c := contactAt(point(at))
			p.Msg.Origin, p.Msg.OriginID = c.Peer, c.ID
		}
	}
	nowhere := func(p *Packet) { p.Msg.Coord = nil }
	chosen := func(p *Packet) { p.Chosen = true }
	const here = 500
	for _, tt := range []struct {
		name     string
		replicas int
		key      int
		at       float32
		change   []func(*Packet)
		want     int
		chosen   bool // the hop is
	}{
		{"the root alone", 0, 510, 40, nil, here, false},
		{"of one", 1, 510, 40, nil, here, false},
		{"below", 3, 510, 42, nil, 400, true},
		{"above", 3, 510, 58, nil, 600, true},
		{"here", 3, 510, 51, nil, here, false},
		{"beyond those that may", 3, 510, 70, nil, 600, true},
		{"not here", 2, 640, 51, nil, 600, true},
		{"far from the root", 2, 640, 90, nil, 700, true},
		{"nobody knows where, here is near", 3, 510, 0, []func(*Packet){nowhere}, here, false},
		{"nobody knows where, the nearest to here", 2, 640, 0, []func(*Packet){nowhere}, 700, true},
		{"not back to who passed it on", 3, 510, 42, []func(*Packet){passed(400)}, here, false},
		{"not back to its origin", 3, 510, 40, []func(*Packet){from(400)}, here, false},
		{"more than can be seen, at the root", 5, 510, 40, nil, here, false},
		{"more than can be seen, elsewhere", 5, 590, 40, nil, 600, false},
		{"out of sight", 2, 880, 40, nil, 900, false},
		{"chosen", 3, 510, 42, []func(*Packet){chosen}, here, false},
		{"chosen, at the outermost", 3, 610, 70, []func(*Packet){chosen}, here, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := replicaScript(t)
			s.anyOf(tt.replicas, tt.key, tt.at, tt.change...)
			if tt.want == here {
				wantHops(t, "delivered here", s.hops())
				s.only(ActDeliver)
				return
			}
			wantHops(t, "handed on", s.hops(), tt.want)
			if p := s.one(tt.want, KindRoute); p.Chosen != tt.chosen {
				t.Errorf("packet says chosen %t, want %t", p.Chosen, tt.chosen)
			}
		})
	}
}

// TestChosenByMistake has the node be chosen of members of which it is none: it refuses.
func TestChosenByMistake(t *testing.T) {
	for _, key := range []int{640, 680} { // it sees the two closest to the first alone
		s := replicaScript(t)
		s.anyOf(2, key, 50, func(p *Packet) { p.Chosen = true })
		if ack := s.one(900, KindAck); ack.Seq != 7 || ack.Code != CodeNotNeighbor {
			t.Errorf("acknowledgement is %+v, want a refusal of packet 7", ack)
		}
		wantHops(t, "refused", s.hops())
		if len(s.did(ActDeliver)) > 0 {
			t.Error("refused and delivered")
		}
	}
}

// TestReplicaRefuses has the ones that were chosen refuse: the next nearest are chosen at
// once, and when all have refused the last is asked again after a while.
func TestReplicaRefuses(t *testing.T) {
	s := replicaScript(t)
	refuse := func(at int) {
		p := s.one(at, KindRoute)
		s.hear(contactAt(point(at)), &Packet{Kind: KindAck, State: StateActive, Seq: p.Seq, Code: CodeNotNeighbor})
	}
	s.anyOf(2, 640, 90)
	refuse(700)
	refuse(600)
	wantHops(t, "when both have refused", s.hops())
	for range 50 {
		if s.wait(time.Millisecond); len(s.hops()) > 0 {
			break
		}
	}
	refuse(600)
	wantHops(t, "right after it has refused again", s.hops())
}

// TestNearestReplicaOfOwn has the node send a message of its own: it goes by what it
// has measured, signs nothing for who is to deliver, and carries where the node is.
func TestNearestReplicaOfOwn(t *testing.T) {
	for _, tt := range []struct{ replicas, key, want int }{{3, 590, 500}, {2, 640, 700}, {2, 360, 400}} {
		s := replicaScript(t)
		m := &Routed{ID: messageID(1), App: "app", Key: point(tt.key), Origin: s.n.self.Peer, OriginID: s.n.self.ID, Replicas: tt.replicas}
		s.step(Input{Kind: InRoute, Msg: m, TTL: time.Minute})
		if tt.want == 500 {
			s.only(ActDeliver)
			continue
		}
		wantHops(t, "own message", s.hops(), tt.want)
		if p := s.one(tt.want, KindRoute); !p.Chosen || !slices.Equal(p.Msg.Coord, []float32{50}) {
			t.Errorf("packet says chosen %t and coordinate %v, want true and 50", p.Chosen, p.Msg.Coord)
		}
		if m.Coord != nil {
			t.Error("the caller's message has changed")
		}
	}
}

// TestSilentReplica has those that were chosen say nothing: the next nearest are
// chosen, and in the end the node itself, which is one of them, delivers.
func TestSilentReplica(t *testing.T) {
	s := replicaScript(t)
	s.anyOf(3, 510, 30)
	var went []int
	delivered := false
	for range 100 {
		for _, to := range s.hops() {
			if !slices.Contains(went, to) {
				went = append(went, to)
			}
		}
		if delivered = delivered || len(s.did(ActDeliver)) > 0; delivered {
			break
		}
		s.wait(time.Millisecond)
	}
	wantHops(t, "before it was delivered here", went, 400)
	if !delivered {
		t.Error("not delivered by the node itself, the next nearest, within 100 ms")
	}
}

// TestSilentReplicas is of a message that the node itself may not deliver, and of which
// those that may are silent but not dead: it is sent to one after the other, and to the
// last more and more seldom.
func TestSilentReplicas(t *testing.T) {
	s := replicaScript(t)
	s.anyOf(2, 640, 90)
	went := make(map[int]int)
	for range 100 {
		for _, to := range s.hops() {
			went[to]++
		}
		s.answerProbes()
		if len(s.did(ActDeliver)) > 0 {
			t.Fatal("delivered by a node that is none of the replicas")
		}
		s.wait(10 * time.Millisecond)
	}
	if went[700] < 1 || went[600] < 3 || went[600] > 8 || len(went) != 2 {
		t.Errorf("sends by hop: %v, want one or more to 700, then a few to 600 at growing intervals, and none elsewhere", went)
	}
}

// TestLeavingReplica has the node leave: it takes no message that others may deliver
// as well.
func TestLeavingReplica(t *testing.T) {
	s := replicaScript(t)
	s.step(Input{Kind: InLeave})
	s.anyOf(3, 510, 50)
	if len(s.did(ActDeliver)) > 0 || len(s.hops()) != 1 {
		t.Errorf("a node that leaves delivers, or hands on to %v, want one other", s.hops())
	}
	s.anyOf(3, 510, 50, func(p *Packet) { p.Chosen, p.Seq, p.Msg.ID = true, 8, messageID(2) })
	if ack := s.one(900, KindAck); ack.Code != CodeNotNeighbor {
		t.Errorf("acknowledgement is %+v, want a refusal", ack)
	}
}
