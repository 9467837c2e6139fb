package sim_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// one is the id that is one more than zero.
var one = ring.FromUint64s(0, 1)

// TestLeafSetHit sends messages to leaves and to keys beside them: one hop, to
// that leaf. The predecessor looked the leaf up and then ignored it. Rowstron and
// Druschel (2001), section 2.3: "the node first checks to see if the key falls
// within the range of nodeIds covered by its leaf set. If so, the message is
// forwarded directly to the destination node".
func TestLeafSetHit(t *testing.T) {
	s := newSim(t, 19, sim.Config{})
	grow(t, s, 60)
	var ms []*sim.Message
	var leaves []int
	for i := range 60 {
		for _, leaf := range names(s, s.Node(i).Leaves().AppendMembers(nil)) {
			for _, key := range []ring.ID{s.ID(leaf), s.ID(leaf).Add(one), s.ID(leaf).Sub(one)} {
				ms = append(ms, s.Route(i, key, 10*time.Second))
				leaves = append(leaves, leaf)
			}
		}
	}
	s.Run(15 * time.Second)
	r := s.Ring(nil)
	for k, m := range ms {
		check(t, r.CheckMessage(m))
		if got := m.Deliveries[0].Node; got != leaves[k] {
			t.Fatalf("%v was delivered by %d, want leaf %d", m, got, leaves[k])
		}
		if m.Answer.Hops != 1 {
			t.Fatalf("%v took %d hops from node %d to its leaf %d, want 1", m, m.Answer.Hops, m.Origin, leaves[k])
		}
	}
}

// TestPath checks the trace of hops: every link that was crossed, in order.
func TestPath(t *testing.T) {
	s := newSim(t, 23, sim.Config{Jitter: 0.2})
	grow(t, s, 100)
	for range 300 {
		s.Route(s.Rand().IntN(100), s.RandomKey(), 10*time.Second)
	}
	s.Run(15 * time.Second)
	r := s.Ring(nil)
	total := 0
	for _, m := range s.Messages() {
		check(t, r.CheckMessage(m))
		a, d := m.Answer, m.Deliveries[0]
		total += a.Hops
		if d.Hops != a.Hops || len(d.Path) != len(a.Path) {
			t.Fatalf("%v: delivered after %d hops, path %v; receipt says %d, %v", m, d.Hops, d.Path, a.Hops, a.Path)
		}
		if d.Node == m.Origin {
			if a.Hops != 0 {
				t.Errorf("%v to the origin itself took %d hops", m, a.Hops)
			}
			continue
		}
		if len(a.Path) != a.Hops || a.Path[len(a.Path)-1] != a.Root {
			t.Fatalf("%v took %d hops to %v, path is %v", m, a.Hops, a.Root, a.Path)
		}
		for k, p := range a.Path {
			if s.Index(p) == m.Origin || k > 0 && ring.CompareDistance(m.Msg.Key, s.ID(s.Index(a.Path[k-1])), ring.FromPeer(p)) == 0 {
				t.Errorf("%v: path %v of a message from %d goes in a circle", m, a.Path, m.Origin)
			}
		}
	}
	t.Logf("mean hops among 100 nodes: %.2f", float64(total)/300)
}

// TestForward lets the applications on the way stop some messages and change
// others. Rowstron and Druschel (2001), section 2.1, forward: "the application
// may change the contents of the message and/or the value of nextId. Setting the
// nextId to NULL terminates the message at the local node".
func TestForward(t *testing.T) {
	s := newSim(t, 29, sim.Config{})
	grow(t, s, 100)
	s.Forward = func(i int, msg *pastry.Routed, next *pastry.Contact) *pastry.Routed {
		switch string(msg.Payload) {
		case "stop":
			return nil
		case "change":
			changed := *msg
			changed.Payload = []byte("changed")
			return &changed
		}
		return msg
	}
	tests := []struct {
		payload, reply string
		code           pastry.Code
		delivered      int
	}{
		{"pass", "pass", pastry.CodeOK, 1},
		{"stop", "", pastry.CodeStopped, 0},
		{"change", "changed", pastry.CodeOK, 1},
	}
	for _, tt := range tests {
		seen := 0
		for range 200 {
			key, from := s.RandomKey(), s.Rand().IntN(100)
			m := s.Send(from, &pastry.Routed{App: sim.App, Key: key, Payload: []byte(tt.payload)}, 10*time.Second)
			s.Run(3 * time.Second)
			if m.Answer == nil {
				t.Fatalf("%s: %v never ended", tt.payload, m)
			}
			if m.Answer.Hops < 2 && m.Answer.Code == pastry.CodeOK {
				continue // nobody was between origin and root
			}
			seen++
			if got := m.Answer.Code; got != tt.code {
				t.Errorf("%s: %v ended with %v, want %v", tt.payload, m, got, tt.code)
			}
			if got := string(m.Answer.Payload); got != tt.reply {
				t.Errorf("%s: reply is %q, want %q", tt.payload, got, tt.reply)
			}
			if got := len(m.Deliveries); got != tt.delivered {
				t.Errorf("%s: delivered %d times, want %d", tt.payload, got, tt.delivered)
			}
		}
		if seen < 10 {
			t.Errorf("%s: only %d messages passed a node on the way", tt.payload, seen)
		}
	}
	check(t, s.CheckHistory())
}

// TestAppNeverAnswers ends a call whose application is stuck at its TTL.
func TestAppNeverAnswers(t *testing.T) {
	s := newSim(t, 31, sim.Config{Jitter: 0.2})
	grow(t, s, 20)
	s.Deliver = func(sim.Delivery, *pastry.Routed) sim.Reply { return sim.Reply{Never: true} }
	for _, ttl := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		for from := range 20 {
			m := s.Route(from, s.RandomKey(), ttl)
			s.Run(ttl + time.Second)
			if m.Answer == nil {
				t.Fatalf("%v with TTL %v never ended", m, ttl)
			}
			if got, want := m.Answer.Code, pastry.CodeTimeout; got != want {
				t.Errorf("%v ended with %v, want %v", m, got, want)
			}
			if m.Latency() != ttl {
				t.Errorf("%v ended after %v, want its TTL of %v", m, m.Latency(), ttl)
			}
			if len(m.Deliveries) != 1 {
				t.Errorf("%v was delivered %d times, want once", m, len(m.Deliveries))
			}
		}
	}
	check(t, s.CheckHistory())
}

// TestSlowApp answers later than any retry.
func TestSlowApp(t *testing.T) {
	s := newSim(t, 37, sim.Config{Jitter: 0.2, Loss: 0.01})
	grow(t, s, 20)
	s.Deliver = func(_ sim.Delivery, msg *pastry.Routed) sim.Reply {
		return sim.Reply{Payload: []byte("late"), After: 20 * time.Second}
	}
	for range 50 {
		s.Route(s.Rand().IntN(20), s.RandomKey(), 30*time.Second)
	}
	s.Run(time.Minute)
	for _, m := range s.Messages() {
		check(t, s.Ring(nil).CheckMessage(m))
		if !bytes.Equal(m.Answer.Payload, []byte("late")) {
			t.Errorf("%v: reply is %q", m, m.Answer.Payload)
		}
	}
	check(t, s.CheckHistory())
}

// TestHopLimit gives up messages that cross more links than allowed.
func TestHopLimit(t *testing.T) {
	const limit = 2
	s := newSim(t, 41, sim.Config{Tune: func(i int, c *pastry.Config) {
		c.LeafSetSize, c.DigitBits, c.HopLimit = 2, 1, limit
	}})
	first := s.Add()
	s.Join(first)
	for range 100 {
		s.Join(s.Add(), first)
		s.Run(time.Second)
	}
	actives := s.Actives()
	for range 300 {
		s.Route(actives[s.Rand().IntN(len(actives))], s.RandomKey(), 10*time.Second)
	}
	s.Run(11 * time.Second)
	limited := 0
	for _, m := range s.Messages() {
		switch {
		case m.Answer == nil:
			t.Fatalf("%v never ended", m)
		case m.Answer.Code == pastry.CodeHopLimit:
			limited++
		case m.Answer.Code != pastry.CodeOK:
			t.Errorf("%v ended with %v", m, m.Answer.Code)
		case m.Answer.Hops > limit:
			t.Errorf("%v took %d hops, limit is %d", m, m.Answer.Hops, limit)
		}
	}
	t.Logf("%d of 300 messages among %d nodes met the hop limit of %d", limited, len(actives), limit)
	if limited == 0 {
		t.Error("no message met the hop limit")
	}
	check(t, s.CheckHistory())
}

// TestDirect sends messages to one node by its id, and to ids nobody has.
func TestDirect(t *testing.T) {
	s := newSim(t, 43, sim.Config{Jitter: 0.2})
	grow(t, s, 60)
	const dead = 30
	s.Crash(dead)
	s.Run(time.Minute)
	tests := []struct {
		name string
		key  func() ring.ID
		code pastry.Code
	}{
		{"a member", func() ring.ID { return s.ID(s.Rand().IntN(dead)) }, pastry.CodeOK},
		{"nobody's id", s.RandomKey, pastry.CodeUnreachable},
		{"beside a member", func() ring.ID { return s.ID(3).Add(one) }, pastry.CodeUnreachable},
		{"a dead member", func() ring.ID { return s.ID(dead) }, pastry.CodeUnreachable},
	}
	for _, tt := range tests {
		for range 50 {
			from := s.Rand().IntN(dead)
			m := s.Send(from, &pastry.Routed{App: sim.App, Key: tt.key(), Direct: true}, 10*time.Second)
			s.Run(2 * time.Second)
			if m.Answer == nil {
				t.Fatalf("%s: %v never ended", tt.name, m)
			}
			if got := m.Answer.Code; got != tt.code {
				t.Errorf("%s: %v ended with %v, want %v", tt.name, m, got, tt.code)
			}
			if tt.code == pastry.CodeOK {
				check(t, s.Ring(nil).CheckMessage(m))
			} else if len(m.Deliveries) > 0 {
				t.Errorf("%s: %v was delivered by %d", tt.name, m, m.Deliveries[0].Node)
			}
		}
	}
	check(t, s.CheckHistory())
}

// TestCancel ends a call that its caller gives up.
func TestCancel(t *testing.T) {
	s := newSim(t, 47, sim.Config{})
	grow(t, s, 10)
	s.Deliver = func(sim.Delivery, *pastry.Routed) sim.Reply { return sim.Reply{After: 5 * time.Second} }
	m := s.Route(0, s.ID(5), time.Minute)
	s.Run(time.Second)
	s.Cancel(m)
	if m.Answer == nil || m.Answer.Code != pastry.CodeCancelled {
		t.Fatalf("answer is %+v, want code %v", m.Answer, pastry.CodeCancelled)
	}
	s.Run(time.Minute)
	check(t, s.CheckHistory())
}
