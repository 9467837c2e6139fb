package pastry

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// checkHolders returns what is wrong with what a node knows of holders, whatever
// happened to it.
func checkHolders(n *RawNode) error {
	w := &n.ward
	switch all := n.holders.ids(); {
	case len(all) > maxHolders || len(w.ids) > maxHolders || len(n.holders.changed) > maxHolders:
		return fmt.Errorf("%d holders, %d changes, %d holders of the right neighbour, at most %d",
			len(all), len(n.holders.changed), len(w.ids), maxHolders)
	case !slices.IsSortedFunc(all, ring.ID.Compare) || !slices.IsSortedFunc(w.ids, ring.ID.Compare):
		return errors.New("holders are out of order")
	case len(slices.Compact(all)) < len(n.holders.all) || len(slices.Compact(slices.Clone(w.ids))) < len(w.ids):
		return errors.New("somebody is a holder twice")
	case n.holders.digest != digestOf(n.holders.ids()...) || w.digest != digestOf(w.ids...):
		return errors.New("a digest is not that of the holders")
	case len(n.tuning.silent) > failureHistory:
		return fmt.Errorf("%d failures are remembered, at most %d", len(n.tuning.silent), failureHistory)
	}
	return nil
}

func digestOf(ids ...ring.ID) (d uint64) {
	for _, id := range ids {
		d ^= lowHalf(id)
	}
	return d
}

// seat returns an id at the same point of the ring as point does, to what points
// returns, but with a lower half of its own, of which digests are made.
func seat(n int) ring.ID {
	hi, _ := point(n).Uint64s()
	return ring.FromUint64s(hi, uint64(n+1)*0x9e3779b97f4a7c15)
}

func seats(ns ...int) (ids []ring.ID) {
	for _, n := range ns {
		ids = append(ids, seat(n))
	}
	return ids
}

// placesOf returns the points at which ids are, in order.
func placesOf(ids []ring.ID) []int {
	at := points(contactsAt(ids...))
	slices.Sort(at)
	return at
}

// seated is activeScript with ids from seat.
func seated(t *testing.T, self int, members ...int) *script {
	t.Helper()
	s := newScript(t, self, func(c *Config) { c.Self = contactAt(seat(self)) })
	s.step(Input{Kind: InJoin})
	for _, m := range members {
		know(s.n, contactAt(seat(m)), 10*time.Millisecond)
	}
	s.n.take()
	s.n.stopWaiting()
	return s
}

// gets returns the packets of a kind among the last actions to the node at a point,
// whichever of the ids there it has.
func (s *script) gets(at int, kind Kind) (ps []*Packet) {
	to, all := s.sent(kind)
	for i, p := range all {
		if points(to[i : i+1])[0] == at {
			ps = append(ps, p)
		}
	}
	return ps
}

// heldBy has nodes that are known say that they keep this one.
func (s *script) heldBy(at ...int) {
	s.t.Helper()
	for _, m := range at {
		s.hear(contactAt(seat(m)), &Packet{Kind: KindHold})
	}
}

// TestHeartbeatTellsHolders follows the heartbeats of one node, five seconds apart.
func TestHeartbeatTellsHolders(t *testing.T) {
	s := seated(t, 500, 300, 400, 600, 700, 900, 910)
	s.n.arm(timerHeartbeat, s.n.cfg.Heartbeat)
	for _, step := range []struct {
		what    string
		do      func()
		to      int
		changes []int
		held    []int
	}{
		{"the first", func() {}, 400, nil, nil},
		{"a holder comes", func() { s.heldBy(900) }, 400, []int{900}, []int{900}},
		{"nothing new", func() {}, 400, nil, []int{900}},
		{"it says so again, and another one", func() { s.heldBy(900, 910) }, 400, []int{910}, []int{900, 910}},
		{"with a probe", func() {
			s.hear(contactAt(seat(700)), &Packet{Kind: KindProbe, Seq: 3, Holding: true})
		}, 400, []int{700}, []int{700, 900, 910}},
		{"with the answer to one", func() {
			s.hear(contactAt(seat(300)), &Packet{Kind: KindProbeReply, Seq: 3, Holding: true})
		}, 400, []int{300}, []int{300, 700, 900, 910}},
		{"two go", func() {
			for i := range s.n.holders.all[:2] {
				s.n.holders.all[i].at -= Time(holdLease)
			}
			s.n.holders.expire(s.now)
		}, 400, []int{300, 700}, []int{900, 910}},
		{"no holders", func() {
			s.hear(contactAt(seat(900)), &Packet{Kind: KindProbe, Seq: 4})
			s.hear(contactAt(seat(40)), &Packet{Kind: KindHold, State: StateJoining})
			client := *contactAt(seat(777))
			client.Client = true
			s.hear(&client, &Packet{Kind: KindHold})
		}, 400, nil, []int{900, 910}},
		{"a new left neighbour, which will ask for all", func() {
			know(s.n, contactAt(seat(450)), 10*time.Millisecond)
			s.n.due[timerLeaves], s.n.due[timerMonitor] = 0, 0
			s.heldBy(700)
		}, 450, nil, []int{700, 900, 910}},
		{"nothing new to that one", func() {}, 450, nil, []int{700, 900, 910}},
	} {
		step.do()
		s.wait(s.n.cfg.Heartbeat)
		to, ps := s.sent(KindHeartbeat)
		if len(ps) != 1 {
			t.Fatalf("%s: %d heartbeats, want one", step.what, len(ps))
		}
		got := &Packet{Kind: KindHeartbeat, State: StateActive, Held: ps[0].Held, Digest: ps[0].Digest}
		want := &Packet{Kind: KindHeartbeat, State: StateActive, Held: digestOf(seats(step.held...)...), Digest: s.n.leaves.overlap(false)}
		if diff := cmp.Diff(got, want); diff != "" || points(to)[0] != step.to {
			t.Errorf("%s: heartbeat to %v, want to %d (-got +want):\n%s", step.what, points(to), step.to, diff)
		}
		if diff := cmp.Diff(placesOf(ps[0].Holders), append([]int{}, step.changes...)); diff != "" {
			t.Errorf("%s: changes told (-got +want):\n%s", step.what, diff)
		}
	}
}

// TestHeartbeatSpared sends the left neighbour something else all the time: heartbeats
// are due only when there is something to tell, and one in a minute.
func TestHeartbeatSpared(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoke bool // something else is sent
		news  func(s *script)
		want  int // heartbeats in 59 s
	}{
		{"nothing sent, nothing new", false, nil, 11},
		{"nothing new", true, nil, 0},
		{"a holder came", true, func(s *script) { s.heldBy(900) }, 1},
		{"a holder said so again", true, func(s *script) { s.heldBy(910) }, 0},
		{"a leaf went that the other sees", true, func(s *script) { s.replaced(600, 900) }, 1},
		{"a leaf went that it does not see", true, func(s *script) { s.replaced(700, 900) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seated(t, 500, 300, 400, 600, 700, 900, 910)
			s.heldBy(910)
			s.n.due[timerHold] = 0
			s.n.arm(timerHeartbeat, 0)
			s.wait(0)
			got := 0
			for second := range 65 {
				if second == 20 && tt.news != nil {
					tt.news(s)
				}
				if s.n.now = s.now; tt.spoke && second%2 == 0 {
					s.n.send(s.n.peers.get(seat(400)), &Packet{Kind: KindAck})
					s.n.take()
				}
				s.wait(time.Second)
				got += len(s.gets(400, KindHeartbeat))
				if second == 58 && got != tt.want {
					t.Errorf("%d heartbeats in 59s, want %d", got, tt.want)
				}
			}
			if got == 0 {
				t.Error("no heartbeat in 65s, want one in a minute at least")
			}
		})
	}
}

// replaced has another node take the place of a leaf.
func (s *script) replaced(gone, by int) {
	s.n.leaves.Remove(seat(gone))
	s.n.leaves.Insert(contactAt(seat(by)))
}

// TestWard has the left neighbour of the node at 500 hear its heartbeats, and lose
// some: it asks for all holders when, and only when, it cannot have them all.
func TestWard(t *testing.T) {
	s := seated(t, 400, 200, 300, 500, 600)
	right, reborn := contactAt(seat(500)), contactAt(seat(500))
	reborn.Epoch = 2
	beat := func(from *Contact, changes, all []int) {
		s.hear(from, &Packet{Kind: KindHeartbeat, Holders: seats(changes...), Held: digestOf(seats(all...)...)})
	}
	answer := func(from *Contact, all ...int) func() {
		return func() {
			p := s.n.peer(from).probe
			s.hear(from, &Packet{Kind: KindProbeReply, Seq: p.seq, Want: p.want, Holders: seats(all...)})
		}
	}
	for _, step := range []struct {
		what string
		do   func()
		asks bool
		want []int
	}{
		{"no holders", func() { beat(right, nil, nil) }, false, nil},
		{"two came", func() { beat(right, []int{900, 910}, []int{900, 910}) }, false, []int{900, 910}},
		{"one went, one came", func() { beat(right, []int{900, 100}, []int{100, 910}) }, false, []int{100, 910}},
		{"one heartbeat was lost", func() { beat(right, []int{50}, []int{50, 60, 100, 910}) }, true, []int{50, 100, 910}},
		{"another while the question is open", func() { beat(right, []int{60}, []int{60, 70, 100, 910}) }, false, []int{50, 60, 100, 910}},
		{"the answer", answer(right, 60, 70, 100, 910), false, []int{60, 70, 100, 910}},
		{"it is right", func() { beat(right, nil, []int{60, 70, 100, 910}) }, false, []int{60, 70, 100, 910}},
		{"somebody else's heartbeat", func() { beat(contactAt(seat(600)), []int{1, 2}, []int{1, 2}) }, false, []int{60, 70, 100, 910}},
		{"the left neighbour's", func() { beat(contactAt(seat(300)), []int{1, 2}, []int{1, 2}) }, false, []int{60, 70, 100, 910}},
		{"somebody else's holders", func() {
			s.n.ask(s.n.peers.get(seat(600)), whyAlive, WantHolders, 0)
			s.n.take()
			answer(contactAt(seat(600)), 1, 2)()
		}, false, []int{60, 70, 100, 910}},
		{"all went", func() { beat(right, []int{60, 70, 100, 910}, nil) }, false, nil},
		{"of one that was its left neighbour just now", func() { beat(right, nil, []int{20, 30}) }, true, nil},
		{"its holders", answer(right, 20, 30), false, []int{20, 30}},
	} {
		step.do()
		ps := s.gets(500, KindProbe)
		if asks := len(ps) == 1 && ps[0].Want == WantHolders; asks != step.asks || len(ps) > 1 {
			t.Errorf("%s: %d probes, asks for all holders: %t, want %t", step.what, len(ps), asks, step.asks)
		}
		if diff := cmp.Diff(placesOf(s.n.ward.ids), append([]int{}, step.want...)); diff != "" {
			t.Errorf("%s: holders of the right neighbour (-got +want):\n%s", step.what, diff)
		}
	}
	// A new incarnation has none of the old one's holders.
	beat(reborn, nil, nil)
	for _, p := range s.gets(500, KindProbe) {
		s.hear(reborn, &Packet{Kind: KindProbeReply, Seq: p.Seq})
	}
	if beat(reborn, []int{40}, []int{40}); !slices.Equal(placesOf(s.n.ward.ids), []int{40}) {
		t.Errorf("holders of the right neighbour born again are %v, want 40", placesOf(s.n.ward.ids))
	}
}

// TestAnswerNamesHolders has a node be asked who keeps it, alone and beside its leaf set.
func TestAnswerNamesHolders(t *testing.T) {
	s := seated(t, 500, 300, 400, 600, 700, 900, 910)
	s.heldBy(910, 900, 300)
	for _, tt := range []struct {
		want              Want
		holders, contacts []int
	}{
		{0, nil, nil},
		{WantLeaves, nil, []int{300, 400, 600, 700}},
		{WantHolders, []int{300, 900, 910}, nil},
		{WantHolders | WantLeaves, []int{300, 900, 910}, []int{300, 400, 600, 700}},
	} {
		s.hear(contactAt(seat(400)), &Packet{Kind: KindProbe, Seq: 3, Want: tt.want})
		got := s.gets(400, KindProbeReply)[0]
		wantPoints(t, fmt.Sprintf("want %d: the leaf set told", tt.want), got.Contacts, tt.contacts...)
		if diff := cmp.Diff(points(contactsAt(got.Holders...)), append([]int{}, tt.holders...)); diff != "" {
			t.Errorf("want %d: holders told (-got +want):\n%s", tt.want, diff)
		}
	}
}
