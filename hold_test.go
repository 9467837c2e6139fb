package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// told returns to whom the last actions said that they are kept, by a Hold.
func (s *script) told() []int {
	to, _ := s.sent(KindHold)
	return points(to)
}

// TestHold has entries of the tables that are not told by a probe be told by a Hold.
func TestHold(t *testing.T) {
	enters := func(s *script, at int) {
		know(s.n, contactAt(point(at)), 10*time.Millisecond)
		s.n.take()
	}
	for _, tt := range []struct {
		name string
		do   func(s *script)
		want []int
	}{
		{"nobody new", func(*script) {}, nil},
		{"a leaf, to which one gives way", func(s *script) { enters(s, 550) }, []int{650, 700, 900, 910}},
		{"an entry, and those not told before", func(s *script) { enters(s, 100) }, []int{100, 700, 900, 910}},
		{"an entry that does not last", func(s *script) {
			enters(s, 100)
			s.wait(holdDelay - time.Second)
			s.n.table.Remove(point(100))
			s.n.hood.Remove(point(100))
		}, []int{700, 900, 910}},
		{"told by a probe", func(s *script) {
			enters(s, 100)
			s.n.hurry(s.n.peers.get(point(900)))
			s.out = s.n.take()
			if p := s.one(900, KindProbe); !p.Holding {
				s.t.Errorf("an entry of the table is probed by %+v, which does not say so", p)
			}
			s.answerProbes()
		}, []int{100, 700, 910}},
		{"told by an answer", func(s *script) {
			enters(s, 100)
			s.hear(contactAt(point(910)), &Packet{Kind: KindProbe, Seq: 3})
			if p := s.one(910, KindProbeReply); !p.Holding {
				s.t.Errorf("an entry of the table is answered by %+v, which does not say so", p)
			}
		}, []int{100, 700, 900}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScript(t, 500, 300, 400, 600, 700, 900, 910)
			enters(s, 650) // takes the place of 700 in the leaf set
			s.n.stopWaiting()
			tt.do(s)
			got := []int{}
			for range 600 {
				s.wait(time.Second)
				got = append(got, s.told()...)
				for _, leaf := range []int{300, 400, 600, 650} {
					for _, p := range append(s.sentTo(leaf, KindProbe), s.sentTo(leaf, KindProbeReply)...) {
						if p.Holding {
							t.Errorf("the leaf %d is told that it is kept", leaf)
						}
					}
				}
				s.answerProbes()
			}
			slices.Sort(got)
			if diff := cmp.Diff(got, append([]int{}, tt.want...)); diff != "" {
				t.Errorf("entries told in ten minutes (-got +want):\n%s", diff)
			}
		})
	}
}

// TestHoldWhoGaveWay has a leaf give way to a nearer one. It stays in the tables, and is
// told so, as other leaves do not tell this node of its death any more.
func TestHoldWhoGaveWay(t *testing.T) {
	s := activeScript(t, 500, 300, 400, 600, 700)
	s.n.stopWaiting()
	know(s.n, contactAt(point(650)), 10*time.Millisecond)
	s.n.take()
	var got []int
	for range 600 {
		s.wait(time.Second)
		got = append(got, s.told()...)
		s.answerProbes()
	}
	if !slices.Equal(got, []int{700}) {
		t.Errorf("told in ten minutes: %v, want 700, which was a leaf", got)
	}
}

// TestHoldInBursts has 44 entries: they are told in three seconds, once they have lasted.
func TestHoldInBursts(t *testing.T) {
	s := newScript(t, 500, func(c *Config) { c.NeighborhoodSize = 64 })
	s.step(Input{Kind: InJoin})
	s.n.stopWaiting()
	for at := 20; at < 1000; at += 20 {
		if at != 500 {
			know(s.n, contactAt(point(at)), 10*time.Millisecond)
		}
	}
	s.n.take()
	s.n.due[timerLeaves], s.n.due[timerMonitor] = 0, 0
	s.n.due[timerHold] = 0
	s.n.arm(timerHold, holdDelay)
	if s.wait(holdDelay - time.Second); len(s.told()) > 0 {
		t.Errorf("%v are told after %v", s.told(), holdDelay-time.Second)
	}
	seen := make(map[int]bool)
	for i, want := range []int{holdBurst, holdBurst, 12, 0} {
		s.wait(holdPause)
		for _, at := range s.told() {
			if seen[at] || at >= 460 && at <= 540 {
				t.Errorf("%d is a leaf, or told before: %t", at, seen[at])
			}
			seen[at] = true
		}
		if got := len(s.told()); got != want {
			t.Errorf("second %d: %d are told, want %d", i, got, want)
		}
	}
}

// TestClientHoldsNobody has a client with entries in its table: they need not know.
func TestClientHoldsNobody(t *testing.T) {
	s := newScript(t, 500, func(c *Config) { c.Self.Client = true })
	s.step(Input{Kind: InJoin})
	s.n.state = StateClient
	for _, at := range []int{100, 900, 910} {
		know(s.n, contactAt(point(at)), 10*time.Millisecond)
	}
	s.n.take()
	s.n.stopWaiting()
	know(s.n, contactAt(point(300)), 10*time.Millisecond)
	s.hear(contactAt(point(900)), &Packet{Kind: KindProbe, Seq: 3})
	if got := s.one(900, KindProbeReply); got.Holding {
		t.Error("a client says that it keeps somebody")
	}
	if s.wait(2 * holdDelay); len(s.told()) > 0 {
		t.Errorf("a client told %v", s.told())
	}
	if s.hear(contactAt(point(100)), &Packet{Kind: KindHold}); len(s.n.holders.all) > 0 {
		t.Error("a client has holders")
	}
}

// lives lets time pass while all that the node knows answer its probes at once, and calls
// f after each thing that the node does.
func (s *script) lives(d time.Duration, f func()) {
	s.t.Helper()
	for end := s.now + Time(d); ; {
		at, ok := s.n.Deadline()
		if !ok || at > end {
			s.now = end
			return
		}
		s.wait(max(0, time.Duration(at-s.now)))
		f()
		s.answerProbes()
	}
}

// TestToldAgain has all entries talk ever again, so that they need no probe. One is
// probed all the same when it was last told that it is kept long ago, and thereby told
// again; one that has become a leaf, which need not be told, is not.
func TestToldAgain(t *testing.T) {
	all := []int{300, 400, 600, 700, 900, 910}
	for _, tt := range []struct {
		name string
		told int
		want map[int][]int
	}{
		{"never told", 0, map[int][]int{}},
		{"told", 900, map[int][]int{900: {120, 240}}},
		{"told, and a leaf since", 600, map[int][]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			if tt.told != 0 {
				s.n.peers.get(point(tt.told)).told = s.now
			}
			s.n.tuning.period, s.n.tuning.tuned = time.Minute, 1<<60 // never tuned again
			s.n.arm(timerTable, 0)
			got := make(map[int][]int)
			for half := range 600 {
				for _, at := range all {
					s.hear(contactAt(point(at)), &Packet{Kind: KindAck, Seq: 1})
				}
				s.lives(30*time.Second, func() {
					for _, at := range all {
						if len(s.sentTo(at, KindProbe)) > 0 {
							got[at] = append(got[at], half/2)
						}
					}
				})
			}
			if diff := cmp.Diff(got, tt.want); diff != "" {
				t.Errorf("minutes at which entries are probed (-got +want):\n%s", diff)
			}
		})
	}
}

// TestHolderForgotten has a holder say so once, or again after a while.
func TestHolderForgotten(t *testing.T) {
	for _, tt := range []struct {
		name string
		say  []time.Duration
	}{
		{"once", []time.Duration{0}},
		{"again", []time.Duration{0, holdRetell}},
		{"again just in time", []time.Duration{0, holdLease - time.Minute}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := seated(t, 500, 300, 400, 600, 700, 900, 910)
			start := s.now
			for _, d := range tt.say {
				s.wait(time.Duration(start-s.now) + d)
				s.heldBy(900)
				s.n.due[timerHold] = 0
			}
			if s.wait(holdLease); len(s.n.holders.all) != 1 {
				t.Errorf("%d holders %v after the last word, want one", len(s.n.holders.all), holdLease)
			}
			if s.wait(memoryTime/4 + time.Second); len(s.n.holders.all) != 0 || s.n.holders.digest != 0 {
				t.Errorf("%d holders after that, want none", len(s.n.holders.all))
			}
		})
	}
}

// TestTooManyHolders has more nodes say that they keep one than it keeps in mind.
func TestTooManyHolders(t *testing.T) {
	var h holders
	var w ward
	for i := range uint64(maxHolders + 10) {
		h.put(ring.FromUint64s(i*7919%4096, i), 0)
		w.toggle(ring.FromUint64s(i*7919%4096, i))
	}
	if len(h.all) != maxHolders || len(h.changed) != maxHolders || len(w.ids) != maxHolders {
		t.Errorf("%d holders, %d changes, %d of the right neighbour, want %d", len(h.all), len(h.changed), len(w.ids), maxHolders)
	}
	if want := digestOf(h.ids()...); h.digest != want || w.digest != want {
		t.Errorf("digests are %x and %x, want %x", h.digest, w.digest, want)
	}
	h.expire(Time(holdLease) + 1)
	if len(h.all) != 0 || h.digest != 0 || len(h.changed) != maxHolders {
		t.Errorf("after the lease: %d holders, digest %x, %d changes", len(h.all), h.digest, len(h.changed))
	}
}

// TestToldAnew has an entry that was told be born again: it has forgotten.
func TestToldAnew(t *testing.T) {
	s := forwarder(t)
	s.n.arm(timerHold, holdDelay)
	if s.wait(holdDelay); !slices.Equal(s.told(), []int{900, 910}) {
		t.Fatalf("%v are told, want 900 and 910", s.told())
	}
	reborn := contactAt(point(900))
	reborn.Epoch = 2
	s.hear(contactAt(point(900)), &Packet{Kind: KindAck, Seq: 1}) // of the first incarnation
	s.hear(reborn, &Packet{Kind: KindProbe, Seq: 3})
	if p := s.one(900, KindProbeReply); p.Holding {
		t.Error("one that is born again, and not yet in the table, is told that it is")
	}
	s.answerProbes()
	if !s.n.table.Contains(point(900)) {
		t.Fatal("it is not in the table again")
	}
	if s.wait(holdDelay); !slices.Equal(s.told(), []int{900}) {
		t.Errorf("%v are told, want 900", s.told())
	}
}
