package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// TestEnoughTries has some share of the probes be lost. There are so many tries that
// one in 100,000 living nodes is taken for dead, or three more than usual.
func TestEnoughTries(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lossy float64
		usual int
		want  int
	}{
		{"nothing lost", 0, 3, 3},
		{"1 %", 0.01, 3, 3},
		{"2 %", 0.02, 3, 3},
		{"3 %", 0.03, 3, 4},
		{"5 %", 0.05, 3, 4},
		{"9 %", 0.09, 3, 5},
		{"11 %", 0.11, 3, 6},
		{"30 %", 0.3, 3, 6},
		{"everything", 1, 3, 6},
		{"nothing lost, one try", 0, 1, 1},
		{"1 %, one try", 0.01, 1, 3},
		{"everything, one try", 1, 1, 4},
		{"5 %, many tries", 0.05, 8, 8},
		{"everything, many tries", 1, 8, 11},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, 500, func(c *Config) { c.ProbeTries = tt.usual })
			s.n.lossy = tt.lossy
			if got := s.n.enoughTries(); got != tt.want {
				t.Errorf("%d tries are enough, want %d", got, tt.want)
			}
		})
	}
}

// TestShareOfLostProbes has every so many probes be answered only later than at the
// first try, for a long time.
func TestShareOfLostProbes(t *testing.T) {
	for _, tt := range []struct {
		name        string
		every       int // zero: none
		least, most float64
		want        int // tries
	}{
		{"none", 0, 0, 0, 3},
		{"every hundredth", 100, 0.003, 0.02, 3},
		{"every twentieth", 20, 0.04, 0.06, 4},
		{"every twelfth", 12, 0.075, 0.095, 5},
		{"every third", 3, 0.32, 0.35, 6},
		{"all", 1, 0.999, 1, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(t, 500)
			for i := range 1000 {
				s.n.answered(tt.every == 0 || i%tt.every != tt.every/2)
			}
			if got := s.n.lossy; got < tt.least || got > tt.most {
				t.Errorf("the share that was lost is %.4f, want %g to %g", got, tt.least, tt.most)
			}
			if got := s.n.enoughTries(); got != tt.want {
				t.Errorf("%d tries are enough, want %d", got, tt.want)
			}
			for range 1000 {
				s.n.answered(true)
			}
			if got := s.n.enoughTries(); got != 3 {
				t.Errorf("%d tries are enough when nothing was lost for long, want 3", got)
			}
		})
	}
}

// exchanged has the node at a point be probed so many times, and answer that of
// the tries which is given, counted from zero.
func (s *script) exchanged(at, times, try int) {
	s.t.Helper()
	for range times {
		probes := []*Packet{s.exchange(at)}
		for len(probes) <= try {
			s.wait(5 * time.Millisecond)
			probes = append(probes, s.sentTo(at, KindProbe)...)
		}
		s.wait(10 * time.Millisecond)
		s.replies(contactAt(point(at)), probes[try])
		s.wait(time.Second)
		s.answerProbes()
	}
}

// TestTriesWhereProbesGetLost has the probes of the node at 600 be answered at some
// try, and the one at 700 be silent then: it takes more tries to be found dead.
func TestTriesWhereProbesGetLost(t *testing.T) {
	disconnected := func(s *script) { s.step(Input{Kind: InDisconnected, From: contactAt(point(700))}) }
	unacknowledged := func(s *script) { s.routed(700) }
	hurried := func(s *script) { s.n.hurry(s.n.peers.get(point(700))); s.out = s.n.take() }
	told := func(s *script) {
		s.hear(contactAt(point(910)), &Packet{Kind: KindSuspect, Suspects: []ring.ID{point(700)}})
	}
	for _, tt := range []struct {
		name    string
		try     int // which is answered
		suspect func(s *script)
		want    int
	}{
		{"first try, connection lost", 0, disconnected, 3},
		{"first try, message not acknowledged", 0, unacknowledged, 2},
		{"first try, message waits", 0, hurried, 3},
		{"first try, told", 0, told, 2},
		{"second try, connection lost", 1, disconnected, 6},
		{"second try, message not acknowledged", 1, unacknowledged, 5},
		{"second try, message waits", 1, hurried, 6},
		{"second try, told", 1, told, 5},
		{"third try, connection lost", 2, disconnected, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.exchanged(600, 64, tt.try)
			s.n.stopWaiting() // nothing else has it probed
			s.now += Time(s.n.cfg.MinProbeTimeout)
			tt.suspect(s)
			got, gone := s.goneAfter(700, 20*time.Second)
			if !gone || got != tt.want {
				t.Errorf("gone: %t, after %d probes; want it gone after %d", gone, got, tt.want)
			}
		})
	}
}

// TestLateAnswerIsNotLost has the answer to the first try come after the second was
// sent: the first was slow and not lost.
func TestLateAnswerIsNotLost(t *testing.T) {
	s := forwarder(t)
	first := s.exchange(600)
	s.wait(600 * time.Millisecond)
	s.one(600, KindProbe)
	s.replies(contactAt(point(600)), first)
	if got := s.n.lossy; got != 0 {
		t.Errorf("the share that was lost is %g, want none", got)
	}
}

// TestSilentAfterAWord has a probed node say something else than the answer after
// some of the tries, and nothing from then on: it is dead after three more.
func TestSilentAfterAWord(t *testing.T) {
	for _, tt := range []struct {
		name  string
		heard []int // the tries after which it says something, counted from one
		want  int   // tries
		gone  bool
	}{
		{"never a word", nil, 3, true},
		{"after the first try", []int{1}, 4, true},
		{"after the second try", []int{2}, 5, true},
		{"after the last try", []int{3}, 6, true},
		{"after two tries", []int{1, 3}, 6, true},
		{"after every try", []int{1, 2, 3, 4, 5, 6, 7, 8}, maxTries, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.exchange(600)
			tries, p := 1, s.n.peers.get(point(600))
			s.out = nil
			for range 4000 {
				if p.probe == nil || len(s.did(ActGone)) > 0 {
					break
				}
				if s.wait(5 * time.Millisecond); len(s.sentTo(600, KindProbe)) > 0 {
					tries++
				}
				s.answerProbes(600)
				if probed := p.probe; probed != nil && s.now == probed.sent[len(probed.sent)-1].at+Time(50*time.Millisecond) &&
					slices.Contains(tt.heard, tries) {
					s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
				}
			}
			if gone := s.n.leaves.Get(point(600)) == nil; tries != tt.want || gone != tt.gone {
				t.Errorf("after %d tries it is dead: %t, want %t after %d", tries, gone, tt.gone, tt.want)
			}
		})
	}
}
