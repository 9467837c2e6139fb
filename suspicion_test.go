package pastry

import (
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

// TestProbeEndPutOff has the node at 600 be silent to a probe that a message waits
// for: tries at 0, 125 and 250 ms, the end at 500 ms. A message that left after
// the last try is one more try, and puts the end off until its own time is over,
// once.
func TestProbeEndPutOff(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name string
		sent []time.Duration // when messages for 600 come, after the first try
		ack  time.Duration   // when 600 says something, zero for never
		want time.Duration   // when it is dead, zero for never
	}{
		{"no message", nil, 0, 500 * ms},
		{"one before the last try", []time.Duration{240 * ms}, 0, 500 * ms},
		{"one after the last try", []time.Duration{260 * ms}, 0, 560 * ms},
		{"two after the last try: the later", []time.Duration{260 * ms, 280 * ms}, 0, 580 * ms},
		{"another while it is put off", []time.Duration{260 * ms, 540 * ms}, 0, 560 * ms},
		{"one from before, sent again after the last try", []time.Duration{-30 * ms}, 0, 500 * ms},
		{"acknowledged while it is put off", []time.Duration{260 * ms}, 540 * ms, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			s.n.cfg.MinHopTimeout = 300 * ms
			start, got := s.now+Time(50*ms), time.Duration(0)
			for got == 0 && s.now < start+Time(2*time.Second) {
				at := time.Duration(s.now - start)
				if s.n.now = s.now; at == 0 {
					s.n.hurry(s.n.peers.get(point(600)))
				}
				if i := slices.Index(tt.sent, at); i >= 0 {
					s.routed2(610, i)
				}
				if tt.ack != 0 && at >= tt.ack {
					s.hear(contactAt(point(600)), &Packet{Kind: KindHeartbeat})
				}
				s.wait(5 * ms)
				s.answerProbes(600)
				if len(s.did(ActGone)) > 0 {
					got = time.Duration(s.now - start)
				}
			}
			if got != tt.want {
				t.Errorf("the silent node is dead after %v, want %v", got, tt.want)
			}
		})
	}
}

// TestTriesAfterSilentHop has a hop not acknowledge a message. That counts as one
// of the tries, but not of a joiner, which acknowledges only when it is active.
func TestTriesAfterSilentHop(t *testing.T) {
	for _, tt := range []struct {
		name   string
		at     int
		joiner bool
		want   int
	}{
		{"member", 600, false, 2},
		{"granted joiner", 550, true, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := forwarder(t)
			if tt.joiner {
				s.asks(tt.at, true)
				s.n.due[timerLeaves], s.n.due[timerMonitor] = 0, 0 // nothing else has it probed
			}
			s.routed(tt.at)
			wantHops(t, "for the hop's keys", s.hops(), tt.at)
			got, gone := s.goneAfter(tt.at, 9*time.Second)
			if !gone || got != tt.want {
				t.Errorf("gone: %t, after %d probes; want it gone after %d", gone, got, tt.want)
			}
		})
	}
}

// TestWhoTellsOfADeath has a leaf die. Whoever finds it out tells those that have it
// in their leaf sets; who was told does not, unless the dead one was an immediate
// neighbour, and then only those on the node's own side of it.
func TestWhoTellsOfADeath(t *testing.T) {
	small, large := []int{300, 400, 600, 700, 900, 910}, []int{100, 200, 300, 400, 600, 700, 800, 900}
	whole := []int{100, 200, 300, 600, 700, 800} // both sides have 100 and 800
	for _, tt := range []struct {
		name    string
		leaves  int
		members []int
		dead    int
		told    bool
		want    []int
	}{
		{"found, at the end of the leaf set", 4, small, 700, false, []int{600}},
		{"found, at the other end", 4, small, 300, false, []int{400}},
		{"told, at the end of the leaf set", 4, small, 700, true, nil},
		{"found, right neighbour", 4, small, 600, false, []int{400, 700}},
		{"found, left neighbour", 4, small, 400, false, []int{300, 600}},
		{"told, right neighbour", 4, small, 600, true, []int{400}},
		{"told, left neighbour", 4, small, 400, true, []int{600}},
		{"found, right neighbour of many", 8, large, 600, false, []int{200, 300, 400, 700, 800, 900}},
		{"found, second of many", 8, large, 700, false, []int{300, 400, 600, 800, 900}},
		{"found, third of many, on the left", 8, large, 200, false, []int{100, 300, 400, 600}},
		{"told, right neighbour of many", 8, large, 600, true, []int{200, 300, 400}},
		{"told, left neighbour of many", 8, large, 400, true, []int{600, 700, 800}},
		{"told, second of many", 8, large, 700, true, nil},
		{"found, whole ring in sight", 8, whole, 200, false, []int{100, 300, 600, 700, 800}},
		{"found, whole ring in sight, on both sides", 8, whole, 100, false, []int{200, 300, 600, 700, 800}},
		{"found, whole ring in sight, left neighbour", 8, whole, 300, false, []int{100, 200, 600, 700, 800}},
		{"told, whole ring in sight, left neighbour", 8, whole, 300, true, []int{100, 200, 600, 700, 800}},
		{"told, whole ring in sight", 8, whole, 200, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := activeScriptWith(t, func(c *Config) { c.LeafSetSize = tt.leaves }, tt.members...)
			s.now += Time(s.n.cfg.MinProbeTimeout)
			if tt.told {
				s.hear(contactAt(point(950)), &Packet{Kind: KindSuspect, Suspects: []ring.ID{point(tt.dead)}})
			} else {
				s.step(Input{Kind: InDisconnected, From: contactAt(point(tt.dead))})
			}
			if _, gone := s.goneAfter(tt.dead, 10*time.Second); !gone {
				t.Fatal("a silent leaf is not dead")
			}
			to, _ := s.sent(KindSuspect)
			got := slices.DeleteFunc(points(to), func(at int) bool { return at == tt.dead }) // it may object
			if slices.Sort(got); !slices.Equal(got, tt.want) {
				t.Errorf("%v are told, want %v", got, tt.want)
			}
		})
	}
}
