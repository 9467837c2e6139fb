package pastry

import (
	"testing"
	"time"
)

// TestLateDriver has a driver that is always late, as on a machine with too much
// to do: a dead hop is found all the same.
func TestLateDriver(t *testing.T) {
	s := forwarder(t)
	s.routed(700)
	gone := false
	for end := s.now + Time(time.Minute); !gone && s.now < end; {
		at, _ := s.n.Deadline()
		s.now = max(s.now, at) + Time(2*stallTime)
		for _, a := range s.n.Advance(s.now, nil) {
			gone = gone || a.Kind == ActGone && a.To.ID == point(700)
		}
		s.check()
	}
	if !gone {
		t.Error("a silent hop was not found dead within a minute")
	}
}
