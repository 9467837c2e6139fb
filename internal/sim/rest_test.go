package sim_test

import (
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// TestYoungRing has a ring that has just formed, and in which nobody dies, come to rest: half
// an hour later a node sends a heartbeat every five seconds, and now and then a probe.
func TestYoungRing(t *testing.T) {
	s := newSim(t, 41, sim.Config{})
	grow(t, s, 200)
	s.Run(30 * time.Minute)
	sent := func() (probes, beats uint64) {
		for _, i := range s.Actives() {
			counts := s.Node(i).Stats().Sent
			probes += counts[pastry.KindProbe] + counts[pastry.KindProbeReply]
			beats += counts[pastry.KindHeartbeat]
		}
		return probes, beats
	}
	probes, beats := sent()
	s.Run(10 * time.Minute)
	moreProbes, moreBeats := sent()
	const seconds = 200 * 600
	perProbe, perBeat := float64(moreProbes-probes)/seconds, float64(moreBeats-beats)/seconds
	t.Logf("%.3f probes and answers and %.3f heartbeats a second and node", perProbe, perBeat)
	if perProbe > 0.05 || perBeat < 0.15 || perBeat > 0.21 {
		t.Errorf("a node sends %.3f probes and answers and %.3f heartbeats a second, want at most 0.05 and about 0.2", perProbe, perBeat)
	}
}
