package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// located is a Proximity whose coordinate the test sets.
type located struct {
	measured
	at *[]float32
}

func (l located) Coordinate() []float32 { return *l.at }

// locatedScript is a script for an active node at a point that is at a coordinate.
func locatedScript(t *testing.T, self int, at *[]float32, members ...int) *script {
	t.Helper()
	s := newScript(t, self, func(c *Config) { c.Proximity = located{at: at} })
	s.acquainted(members...)
	return s
}

// TestSelfIsLocated has the node's own contact carry its coordinate of now, from the
// start, after a round trip that moves it, and when its record is replaced. Contacts
// that others may have are not changed.
func TestSelfIsLocated(t *testing.T) {
	at := []float32{1, 2}
	s := locatedScript(t, 500, &at, 300, 400, 600, 700)
	want := func(what string, coord ...float32) *Contact {
		t.Helper()
		if diff := cmp.Diff(s.n.Self().Coord, coord); diff != "" {
			t.Errorf("%s the coordinate differs (-got +want):\n%s", what, diff)
		}
		return s.n.Self()
	}
	first := want("at the start", 1, 2)
	if cfg := s.n.cfg.Self; cfg.Coord != nil {
		t.Errorf("the contact that the node was made with has changed: %v", cfg.Coord)
	}
	s.replies(contactAt(point(600)), s.exchange(600))
	if again := want("at rest", 1, 2); again != first {
		t.Error("at rest the contact is another value, want the same")
	}
	at = []float32{3, 4}
	s.replies(contactAt(point(600)), s.exchange(600))
	moved := want("after a move", 3, 4)
	if !slices.Equal(first.Coord, []float32{1, 2}) {
		t.Errorf("a contact that was shared has changed: %v", first.Coord)
	}
	at = []float32{3, 4} // another slice that says the same
	s.replies(contactAt(point(600)), s.exchange(600))
	if s.n.Self() != moved {
		t.Error("at rest the contact is another value, want the same")
	}
	replaced := contactAt(point(500))
	replaced.Record = []byte("record")
	s.step(Input{Kind: InSelf, From: replaced})
	if got := want("with a new record", 3, 4); string(got.Record) != "record" || replaced.Coord != nil {
		t.Errorf("the contact is %+v, want the new record, and the driver's own unchanged", got)
	}
}

// TestMovedByAcknowledgement has a round trip be measured by a message.
func TestMovedByAcknowledgement(t *testing.T) {
	at := []float32{1, 2}
	s := locatedScript(t, 500, &at, 300, 400, 600, 700, 900)
	s.routed(905)
	at = []float32{3, 4}
	s.hear(contactAt(point(900)), &Packet{Kind: KindAck, Seq: s.one(900, KindRoute).Seq})
	if diff := cmp.Diff(s.n.Self().Coord, at); diff != "" {
		t.Errorf("the coordinate differs (-got +want):\n%s", diff)
	}
}

// TestContactIsShared has a node probe two others, as in a simulator where a packet
// comes with the sender's own contact: the tables of both hold that very value.
func TestContactIsShared(t *testing.T) {
	at := []float32{1, 2}
	third := locatedScript(t, 600, &at, 500, 700)
	var holders []*RawNode
	for _, self := range []int{500, 700} {
		s := locatedScript(t, self, &at, 300)
		third.exchange(self)
		probe := third.one(self, KindProbe)
		s.hear(third.n.Self(), probe)
		reply := s.one(600, KindProbeReply)
		if &reply.Coord[0] != &s.n.Self().Coord[0] || &probe.Coord[0] != &third.n.Self().Coord[0] {
			t.Errorf("a probe says %v and the reply %v, want the coordinates of the contacts themselves", probe.Coord, reply.Coord)
		}
		third.hear(s.n.Self(), reply)
		s.wait(time.Millisecond)
		question := s.n.peers.get(point(600)).probe
		if question == nil {
			t.Fatal("the node that showed itself is not asked")
		}
		s.hear(third.n.Self(), &Packet{Kind: KindProbeReply, Seq: question.seq, Want: question.want, Version: 2, Coord: third.n.Self().Coord})
		holders = append(holders, s.n)
	}
	for _, n := range holders {
		wantHeld(t, n, third.n.Self())
	}
	// A word later, when the third has moved, both hold what it is then.
	at = []float32{3, 4}
	third.replies(contactAt(point(500)), third.exchange(500))
	for i, n := range holders {
		s := &script{t: t, n: n, now: n.now}
		s.hear(third.n.Self(), &Packet{Kind: KindProbe, Seq: uint64(i), Coord: third.n.Self().Coord})
		wantHeld(t, n, third.n.Self())
	}
	if !slices.Equal(third.n.Self().Coord, at) {
		t.Errorf("the third node is at %v, want %v", third.n.Self().Coord, at)
	}
}

// wantHeld fails unless the tables of n all hold c, and no other value of that node.
func wantHeld(t *testing.T, n *RawNode, c *Contact) {
	t.Helper()
	if got := n.leaves.Get(c.ID); got != c {
		t.Errorf("the leaf set of %v holds %p, want %p", points([]*Contact{n.self}), got, c)
	}
	if all := n.table.AppendAll(nil); !slices.Contains(all, c) {
		t.Errorf("the table of %v does not hold that value", points([]*Contact{n.self}))
	}
	if all := n.hood.AppendMembers(nil); !slices.Contains(all, c) {
		t.Errorf("the neighborhood set of %v does not hold that value", points([]*Contact{n.self}))
	}
}

// TestRefresh has a member that is known to be somewhere say something.
func TestRefresh(t *testing.T) {
	known := contactAt(point(600))
	known.Coord, known.Record = []float32{1, 2}, []byte("record")
	with := func(record string, coord []float32) *Contact {
		c := contactAt(point(600))
		c.Record, c.Coord = []byte(record), coord
		return c
	}
	for _, tt := range []struct {
		name   string
		from   *Contact
		coord  []float32 // of the packet
		same   bool      // the tables hold the value they held before
		record string
		want   []float32
	}{
		{"the same value", known, []float32{1, 2}, true, "record", []float32{1, 2}},
		{"the same value, no coordinate", known, nil, true, "record", []float32{1, 2}},
		{"another value of the same, no coordinate", with("record", nil), nil, true, "record", []float32{1, 2}},
		{"another value of the same, no new coordinate", with("record", nil), []float32{1, 2}, true, "record", []float32{1, 2}},
		{"a new coordinate", with("record", nil), []float32{3, 4}, false, "record", []float32{3, 4}},
		{"a new coordinate of the same value", known, []float32{3, 4}, false, "record", []float32{3, 4}},
		{"a new record, no coordinate", with("newer", nil), nil, false, "newer", []float32{1, 2}},
		{"a new record and coordinate", with("newer", []float32{3, 4}), []float32{3, 4}, false, "newer", []float32{3, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScript(t, 500, 300, 400, 700)
			know(s.n, known, 10*time.Millisecond)
			s.hear(known, &Packet{Kind: KindHeartbeat, Coord: known.Coord})
			wantHeld(t, s.n, known)
			s.hear(tt.from, &Packet{Kind: KindHeartbeat, Coord: tt.coord})
			got := s.n.leaves.Get(point(600))
			wantHeld(t, s.n, got)
			if (got == known) != tt.same {
				t.Errorf("the tables hold the same value: %t, want %t", got == known, tt.same)
			}
			if string(got.Record) != tt.record || !slices.Equal(got.Coord, tt.want) {
				t.Errorf("it is held with %q at %v, want %q at %v", got.Record, got.Coord, tt.record, tt.want)
			}
			if !slices.Equal(known.Coord, []float32{1, 2}) {
				t.Errorf("a contact that was shared has changed: %v", known.Coord)
			}
		})
	}
}

// TestFlappingLink has the connection to a node that is silent come and go twice a
// second. It is found dead nevertheless: that a probe may have left only with the
// connection is believed once.
func TestFlappingLink(t *testing.T) {
	s := forwarder(t)
	c := contactAt(point(600))
	s.step(Input{Kind: InConnected, From: c})
	for i := range 100 {
		switch i % 10 {
		case 0:
			s.step(Input{Kind: InDisconnected, From: c})
		case 5:
			s.step(Input{Kind: InConnected, From: c})
		}
		s.wait(50 * time.Millisecond)
		s.answerProbes(600)
		if s.n.leaves.Get(c.ID) == nil {
			return
		}
	}
	t.Error("the silent node is a leaf after 5s")
}

// TestQuarantineEnds has a neighbour name a dead node: after a minute it is probed
// again, whenever the node tidies up.
func TestQuarantineEnds(t *testing.T) {
	for _, after := range []time.Duration{quarantine - time.Second, quarantine + time.Second} {
		s := forwarder(t)
		dead := contactAt(point(610))
		s.n.dead[dead.ID] = grave{at: s.now, epoch: dead.Epoch}
		s.now += Time(after)
		s.n.now = s.now
		s.n.consider(dead)
		probed := false
		for _, a := range s.n.take() {
			probed = probed || a.Kind == ActSend && a.To.ID == dead.ID
		}
		if want := after > quarantine; probed != want {
			t.Errorf("named %v after its death, it is probed: %t, want %t", after, probed, want)
		}
	}
}
