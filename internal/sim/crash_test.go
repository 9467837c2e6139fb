package sim_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// TestDeadLeafAbsentFromTable crashes a node that another has in its leaf set but
// not in its routing table: the predecessor then never evicted it.
func TestDeadLeafAbsentFromTable(t *testing.T) {
	s := newSim(t, 53, sim.Config{Jitter: 0.2})
	grow(t, s, 100)
	holder, dead := leafOutsideTable(s)
	if dead < 0 {
		t.Fatal("every leaf is in the table too")
	}
	s.Crash(dead)
	evicted := func() bool { return !isLeaf(s, holder, dead) }
	took, ok := s.RunUntil(evicted, 100*time.Millisecond, time.Minute)
	if !ok {
		t.Fatalf("node %d still has the dead leaf %d after %v", holder, dead, took)
	}
	t.Logf("evicted after %v, all exact %v later", took, settles(t, s, time.Minute))
	check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
}

func leafOutsideTable(s *sim.Sim) (holder, leaf int) {
	for i := range s.Len() {
		for _, c := range s.Node(i).Leaves().AppendMembers(nil) {
			if !s.Node(i).Table().Contains(c.ID) {
				return i, s.Index(c.Peer)
			}
		}
	}
	return -1, -1
}

// TestNoHoleAfterLeave makes neighbours leave gracefully, one by one and a whole
// stretch of the ring at once: the leaf sets fill up again from beyond.
func TestNoHoleAfterLeave(t *testing.T) {
	for _, together := range []int{1, 3, 12} {
		s := newSim(t, 59, sim.Config{Jitter: 0.2})
		grow(t, s, 60)
		nodes := s.Ring(nil).Nodes()
		for _, i := range nodes[20 : 20+together] {
			s.Leave(i)
		}
		s.Run(2 * time.Second)
		for _, i := range nodes[20 : 20+together] {
			if s.Active(i) {
				t.Errorf("node %d is still active", i)
			}
			s.Crash(i)
		}
		t.Logf("%d leave at once: all exact after %v", together, 2*time.Second+settles(t, s, 10*time.Second))
		check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
		check(t, s.CheckHistory())
	}
}

// TestClockJump moves the clock of some nodes by an hour. Nobody may be lost for
// good, and what the jump measured must not be taken for a round trip.
func TestClockJump(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, time.Minute, -time.Minute} {
		for _, jumpers := range []int{1, 10, 40} {
			t.Run(fmt.Sprintf("%v/%d", jump, jumpers), func(t *testing.T) {
				t.Parallel()
				s := newSim(t, 61, sim.Config{Jitter: 0.2})
				grow(t, s, 40)
				jumpClocks(s, jumpers, jump)
				s.Run(2 * time.Minute)
				check(t, s.CheckActive())
				check(t, s.Ring(nil).CheckLeafSets())
				checkRTTs(t, s)
				check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
				check(t, s.CheckHistory())
			})
		}
	}
}

// jumpClocks moves the clocks while messages are under way.
func jumpClocks(s *sim.Sim, jumpers int, jump time.Duration) {
	for i := range s.Len() {
		s.Route(i, s.RandomKey(), 30*time.Second)
	}
	s.Run(50 * time.Millisecond)
	for _, i := range s.Rand().Perm(s.Len())[:jumpers] {
		s.JumpClock(i, jump)
	}
}

// checkRTTs compares measured round trips with the true ones: jitter is at most
// a fifth, and a queue in front of an acknowledgement does not exist here.
func checkRTTs(t *testing.T, s *sim.Sim) {
	t.Helper()
	for i := range s.Len() {
		for j := range s.Len() {
			got, want := s.Node(i).RTT(s.ID(j)), s.RTT(i, j)
			if i != j && (got < 0 || got > 10*want+time.Second) {
				t.Errorf("node %d measured a round trip of %v to node %d, true is %v", i, got, j, want)
			}
		}
	}
}

// TestTwoNodesOneCrashes leaves a node alone: it is root of everything within
// seconds, also of what was on its way to the other.
func TestTwoNodesOneCrashes(t *testing.T) {
	for _, survivor := range []int{0, 1} {
		s := newSim(t, 67, sim.Config{Jitter: 0.2})
		grow(t, s, 2)
		s.Crash(1 - survivor)
		var ms []*sim.Message
		for range 50 {
			ms = append(ms, s.Route(survivor, s.RandomKey(), 30*time.Second))
		}
		s.Run(10 * time.Second)
		var slowest time.Duration
		for _, m := range ms {
			check(t, s.Ring(nil).CheckMessage(m))
			slowest = max(slowest, m.Latency())
		}
		t.Logf("slowest of %d messages: %v", len(ms), slowest)
		if slowest > 5*time.Second {
			t.Errorf("slowest message took %v, want at most 5s", slowest)
		}
		check(t, s.Ring(nil).CheckLeafSets())
		check(t, s.CheckHistory())
	}
}

// TestSilentNextHop crashes a fifth of a ring without a word and sends messages
// at once: each silent hop may cost one per-hop timeout, and no more.
func TestSilentNextHop(t *testing.T) {
	const size, each = 100, 2000
	s := newSim(t, 71, sim.Config{Jitter: 0.2})
	grow(t, s, size)
	before := burst(s, each)
	for _, i := range s.Rand().Perm(size)[:size/5] {
		s.Crash(i)
	}
	after := burst(s, each)
	for _, ms := range [][]*sim.Message{before, after} {
		for _, m := range ms {
			if !m.OK() {
				t.Errorf("%v from node %d ended with %+v", m, m.Origin, m.Answer)
			}
		}
	}
	was, is := quantile(before, 0.99), quantile(after, 0.99)
	t.Logf("p50 %v before, %v after; p99 %v before, %v after: %.2f times",
		quantile(before, 0.5), quantile(after, 0.5), was, is, float64(is)/float64(was))
	if is >= 3*was {
		t.Errorf("p99 is %v after the crash, want under three times %v", is, was)
	}
	settles(t, s, time.Minute)
	check(t, s.CheckHistory())
}

// burst sends messages from random members to random keys, a thousand a second,
// and waits for the last.
func burst(s *sim.Sim, n int) []*sim.Message {
	var ms []*sim.Message
	for range n {
		actives := s.Actives()
		ms = append(ms, s.Route(actives[s.Rand().IntN(len(actives))], s.RandomKey(), 30*time.Second))
		s.Run(time.Millisecond)
	}
	s.Run(31 * time.Second)
	return ms
}

// TestFailedSends is the world of a transport that reports dead nodes: repair may
// only be faster, and nobody spins.
func TestFailedSends(t *testing.T) {
	s := newSim(t, 73, sim.Config{Jitter: 0.2, FailAfter: 50 * time.Millisecond})
	grow(t, s, 40)
	dead := s.Rand().Perm(40)[:10]
	for _, i := range dead {
		s.Crash(i)
	}
	for _, i := range dead {
		s.Route(s.Actives()[0], s.ID(i).Add(ring.FromUint64s(0, 9)), 30*time.Second)
	}
	t.Logf("all exact after %v", settles(t, s, 30*time.Second))
	began := s.Counts()
	s.Run(time.Minute)
	check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
	check(t, s.CheckHistory())
	if sent := s.Counts().Packets - began.Packets; sent > 30*60*20 {
		t.Errorf("30 quiet nodes sent %d packets in a minute", sent)
	}
}

// TestWholeLeafSide crashes eleven of the twelve leaves on one side of a node at
// once, and all of them but for what the routing table knows.
func TestWholeLeafSide(t *testing.T) {
	for _, stretch := range []int{11, 12, 13, 20} {
		s := newSim(t, 79, sim.Config{Jitter: 0.2})
		grow(t, s, 100)
		nodes := s.Ring(nil).Nodes()
		for _, i := range nodes[40 : 40+stretch] {
			s.Crash(i)
		}
		t.Logf("%d neighbours crash: all exact after %v", stretch, settles(t, s, 2*time.Minute))
		if got := s.Actives(); slices.Contains(got, nodes[40]) {
			t.Errorf("node %d is active after its crash", nodes[40])
		}
		check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
	}
}

// TestFewAreLeft crashes members of small rings at rest: those left name the dead to
// each other until they are told, since nobody else knows both of them and the dead.
func TestFewAreLeft(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		half := 1 + rng.IntN(2)
		s := newSim(t, seed, sim.Config{Tune: func(_ int, c *pastry.Config) { c.LeafSetSize = 2 * half }})
		grow(t, s, 3+rng.IntN(4*half))
		s.Run(time.Minute)
		for range 1 + rng.IntN(s.Len()-2) {
			s.Crash(s.RandomActive())
		}
		if took, ok := s.RunUntil(s.Exact, 250*time.Millisecond, 30*time.Second); !ok {
			t.Errorf("seed %d: %d of %d nodes are left, L=%d, and %v later leaf sets are not exact: %v",
				seed, s.CountActive(), s.Len(), 2*half, took, s.Ring(nil).CheckLeafSets())
		}
	}
}
