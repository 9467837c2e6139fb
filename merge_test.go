package pastry

import (
	"slices"
	"testing"
	"time"
)

// seeker returns a script for an active node that does nothing but look for 123,
// which it lost.
func seeker(t *testing.T, members ...int) *script {
	t.Helper()
	s := activeScript(t, 500, members...)
	s.n.mourn(contactAt(point(123)))
	s.n.arm(timerMerge, s.n.cfg.MergeInterval)
	return s
}

// tries returns when, in a time to come, the first try of a probe of one of the
// silent nodes was sent that is known to be lost. Everybody else answers.
func (s *script) tries(d time.Duration, silent ...int) (at []Time) {
	s.t.Helper()
	for end := s.now + Time(d); s.now < end; {
		s.wait(time.Second)
		to, _ := s.sent(KindProbe)
		for _, c := range to {
			if ps := s.n.peers.get(c.ID); ps != nil && ps.probe != nil && ps.probe.why&whyLost != 0 && ps.probe.tries == 1 {
				at = append(at, s.now)
			}
		}
		s.answerProbes(silent...)
	}
	return at
}

// wantPace fails if two tries follow each other in another time than the given one, a
// quarter more or less, or there are not as many as there must be.
func wantPace(t *testing.T, what string, at []Time, in, each time.Duration) {
	t.Helper()
	if least := int(in/(each*5/4)) - 1; len(at) < max(1, least) {
		t.Errorf("%s: %d tries in %v, want at least %d", what, len(at), in, least)
	}
	for i := 1; i < len(at); i++ {
		if got := time.Duration(at[i] - at[i-1]); got < each*3/4-time.Second || got > each*5/4+time.Second {
			t.Errorf("%s: the next try comes after %v, want %v, a quarter more or less", what, got, each)
			return
		}
	}
}

// TestPaceOfMerging has a node join, and much later two leaves die, and again much
// later somebody name another part of the ring.
func TestPaceOfMerging(t *testing.T) {
	const quick, slow = 30 * time.Second, 5 * time.Minute
	s := seeker(t, 300, 400, 600, 700, 900, 910)
	wantPace(t, "after joining", s.tries(newTime, 123), newTime, quick)
	s.tries(quick*5/4, 123)
	wantPace(t, "when it is long a member", s.tries(2*time.Hour, 123), 2*time.Hour, slow)

	for _, at := range []int{600, 700} {
		s.step(Input{Kind: InDisconnected, From: contactAt(point(at))})
	}
	silent := []int{123, 600, 700}
	s.tries(10*time.Second, silent...)
	wantPoints(t, "the lost", s.n.lost, 123, 600, 700)
	wantPace(t, "after two deaths", s.tries(waryTime-time.Minute, silent...), waryTime-time.Minute, quick)
	s.tries(time.Minute+quick*5/4, silent...)
	wantPace(t, "long after them", s.tries(2*time.Hour, silent...), 2*time.Hour, slow)

	begun := s.now
	s.step(Input{Kind: InMerge})
	quickly := s.tries(waryTime-time.Second, silent...)
	wantPace(t, "after a word of another part", quickly, waryTime, quick)
	if first := time.Duration(quickly[0] - begun); first > quick*5/4+time.Second {
		t.Errorf("after a word of another part the first try comes after %v, want %v", first, quick)
	}
	s.tries(quick*5/4+time.Second, silent...)
	wantPace(t, "long after that", s.tries(2*time.Hour, silent...), 2*time.Hour, slow)
}

// TestPaceOfMergingAlone has a node that knows nobody be a member for long.
func TestPaceOfMergingAlone(t *testing.T) {
	s := seeker(t)
	wantPace(t, "alone", s.tries(3*time.Hour, 123), 3*time.Hour, 30*time.Second)
}

// TestMergingTurnedOff has much be lost and no merging be wanted.
func TestMergingTurnedOff(t *testing.T) {
	s := activeScriptWith(t, func(c *Config) { c.MergeInterval = -1 }, 300, 400, 600, 700)
	s.n.mourn(contactAt(point(123)))
	s.now += Time(2 * newTime)
	s.step(Input{Kind: InMerge})
	if at, ok := s.n.Deadline(); ok {
		t.Errorf("the node waits until %v, want nothing to be waited for", time.Duration(at-s.now))
	}
}

// TestManyLost has some of the nodes in sight die, with so much time between two.
func TestManyLost(t *testing.T) {
	for _, tt := range []struct {
		name  string
		known int
		dead  int
		each  time.Duration
		want  bool
	}{
		{"none", 6, 0, 0, false},
		{"one of few", 6, 1, 0, true},
		{"one of three", 3, 1, 0, true},
		{"one of twelve", 12, 1, 0, false},
		{"three of twelve", 12, 3, 10 * time.Second, true},
		{"three of twelve, one after the other", 12, 3, 31 * time.Second, false},
		{"a quarter of many", 64, 16, 2 * time.Second, true},
		{"a quarter of many, too slowly", 64, 16, 2001 * time.Millisecond, false},
		{"fifteen of a hundred", 100, 15, time.Second, false},
		{"sixteen of a hundred, which are all that are remembered", 100, 16, time.Second, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var members []int
			for i := range tt.known {
				members = append(members, 501+i)
			}
			s := activeScriptWith(t, func(c *Config) { c.NeighborhoodSize = 128 }, members...)
			if len(s.n.known) != tt.known {
				t.Fatalf("the node knows %d, want %d", len(s.n.known), tt.known)
			}
			for i := range tt.dead {
				if i > 0 {
					s.now += Time(tt.each)
				}
				s.n.tuning.failed(s.now)
			}
			s.n.now = s.now
			if got := s.n.manyLost(); got != tt.want {
				t.Errorf("many were lost: %t, want %t", got, tt.want)
			}
		})
	}
}

// TestOneDeathAmongMany has a node find one of many dead, much later than it joined: it
// looks for the lost as seldom as before.
func TestOneDeathAmongMany(t *testing.T) {
	var members []int
	for i := range 12 {
		members = append(members, 520+20*i)
	}
	s := seeker(t, members...)
	s.tries(2*newTime, 123)
	s.step(Input{Kind: InDisconnected, From: contactAt(point(520))})
	if _, gone := s.goneAfter(520, 10*time.Second); !gone || !slices.ContainsFunc(s.n.lost, func(c *Contact) bool { return c.ID == point(520) }) {
		t.Fatal("a silent leaf is not dead and lost")
	}
	wantPace(t, "after one death", s.tries(2*time.Hour, 123, 520), 2*time.Hour, 5*time.Minute)
}
