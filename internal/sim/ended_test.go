package sim_test

import (
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

// TestEnded checks that each message ends once: when its receipt comes, or when
// its origin crashes or restarts, and that it is not among the open ones then.
func TestEnded(t *testing.T) {
	s := newSim(t, 131, sim.Config{Jitter: 0.2})
	grow(t, s, 30)
	ended := make(map[*sim.Message]time.Duration)
	s.Ended = func(m *sim.Message) {
		if _, before := ended[m]; before {
			t.Errorf("%v ended twice", m)
		}
		ended[m] = s.Now()
	}
	answered := s.Route(1, s.ID(2), 10*time.Second)
	crashed := s.Route(3, s.ID(4), 10*time.Second)
	restarted := s.Route(5, s.ID(6), 10*time.Second)
	if got := s.Messages(); len(got) != 3 {
		t.Errorf("%d messages are open, want 3", len(got))
	}
	s.Crash(3)
	s.Restart(5)
	if got := s.Messages(); len(got) != 1 || got[0] != answered {
		t.Errorf("open messages are %v, want the one whose origin lives", got)
	}
	for _, m := range []*sim.Message{crashed, restarted} {
		if at, ok := ended[m]; !ok || at != m.Ended || m.Answer != nil {
			t.Errorf("%v ended at %v with %v, want at once and without an answer", m, m.Ended, m.Answer)
		}
	}
	s.Run(10 * time.Second)
	if at, ok := ended[answered]; !ok || at != answered.Ended || !answered.OK() {
		t.Errorf("%v ended at %v with %v", answered, answered.Ended, answered.Answer)
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("open messages are %v, want none", got)
	}
}

// TestEndedForgets sends messages for a long time: what has ended takes up no
// room for ever, and an id of old is not mistaken for a new one.
func TestEndedForgets(t *testing.T) {
	s := newSim(t, 137, sim.Config{})
	grow(t, s, 10)
	ended := 0
	s.Ended = func(m *sim.Message) { ended++ }
	for range 2000 {
		s.Route(s.RandomActive(), s.RandomKey(), 10*time.Second)
		s.Run(time.Second)
	}
	s.Run(10 * time.Second)
	if ended != 2000 {
		t.Errorf("%d messages ended, want 2000", ended)
	}
	if got := sim.Remembered(s); got > 200 {
		t.Errorf("%d messages are remembered, want those of two minutes", got)
	}
	check(t, s.CheckHistory())
}
