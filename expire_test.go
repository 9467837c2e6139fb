package pastry

import (
	"testing"
	"time"
)

// TestSweep has a stranger be heard once, and looks some time later, when there are
// too many peers, whether it is still remembered.
func TestSweep(t *testing.T) {
	stranger, client := contactAt(point(950)), contactAt(point(950))
	client.Client = true
	says := func(st State) func(*script) {
		return func(s *script) { s.hear(stranger, &Packet{Kind: KindAck, Seq: 99, State: st}) }
	}
	for _, tt := range []struct {
		name   string
		meet   func(*script)
		roomy  bool          // there are not too many peers
		within time.Duration // it is remembered until just before; zero: for ever
	}{
		{"stranger", says(StateActive), false, strangerTime},
		{"joiner", says(StateJoining), false, strangerTime},
		{"client", func(s *script) { s.hear(client, &Packet{Kind: KindHeartbeat}) }, false, strangerTime},
		{"has left", says(StateLeaving), false, memoryTime},
		{"sent something, never heard", func(s *script) {
			s.n.send(s.n.peer(stranger), &Packet{Kind: KindAck})
			s.n.take()
		}, false, strangerTime},
		{"answered, in no table", func(s *script) {
			know(s.n, stranger, 10*time.Millisecond)
			s.n.table.Remove(stranger.ID)
			s.n.hood.Remove(stranger.ID)
		}, false, strangerTime},
		{"few peers", says(StateActive), true, 0},
		{"in the table", func(s *script) { know(s.n, stranger, 10*time.Millisecond); s.n.hood.Remove(stranger.ID) }, false, 0},
		{"in the neighborhood set", func(s *script) { know(s.n, stranger, time.Millisecond); s.n.table.Remove(stranger.ID) }, false, 0},
		{"connected", func(s *script) { says(StateActive)(s); s.step(Input{Kind: InConnected, From: stranger}) }, false, 0},
		{"being asked", func(s *script) { s.hear(stranger, &Packet{Kind: KindHeartbeat}) }, false, 0},
		{"being asked while it leaves", func(s *script) {
			s.hear(stranger, &Packet{Kind: KindHeartbeat})
			says(StateLeaving)(s)
		}, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			remembered := func(age time.Duration) bool {
				s := forwarder(t)
				tt.meet(s)
				s.now += Time(age)
				s.n.sweepAt = s.n.peers.len() - boolToInt(!tt.roomy)
				s.step(Input{Kind: InRegister, App: "app"})
				for _, at := range []int{300, 400, 600, 700, 900, 910} {
					if s.n.peers.get(point(at)) == nil {
						t.Errorf("a member of a table is forgotten after %v", age)
					}
				}
				return s.n.peers.get(stranger.ID) != nil
			}
			if tt.within == 0 {
				if !remembered(2 * memoryTime) {
					t.Errorf("it is forgotten after %v", 2*memoryTime)
				}
				return
			}
			if !remembered(tt.within - 1) {
				t.Errorf("it is forgotten before %v are over", tt.within)
			}
			if remembered(tt.within) {
				t.Errorf("it is remembered after %v", tt.within)
			}
		})
	}
}

// TestSweepGrantedJoiner has a joiner be silent that holds a place, though others have
// put it out of the leaf set.
func TestSweepGrantedJoiner(t *testing.T) {
	s := forwarder(t)
	s.asks(550, true)
	s.n.leaves.Remove(point(550))
	s.now += Time(strangerTime)
	s.n.sweepAt = 0
	s.step(Input{Kind: InRegister, App: "app"})
	if s.n.peers.get(point(550)) == nil {
		t.Error("a joiner that holds a place is forgotten")
	}
}

// TestManyStrangers has a stranger come every second, without a timer that would make
// the node forget: it remembers no more of them than came in some time.
func TestManyStrangers(t *testing.T) {
	s := forwarder(t)
	most := 0
	for i := range 600 {
		c := contactAt(point(-1000 - i))
		c.ID = c.ID.Add(point(0).Sub(point(1000))) // beside all points
		c.Client = true
		s.hear(c, &Packet{Kind: KindHeartbeat})
		s.now += Time(time.Second)
		most = max(most, s.n.peers.len())
	}
	// 15 and the 6 members are kept, half as many again and a few come until the next time.
	if limit := (6+15)*5/4 + 16 + 1; most > limit {
		t.Errorf("up to %d peers are remembered, want at most %d", most, limit)
	}
}

// TestHearsayOfOneThatLeft has a leaf leave, and be named by somebody who does not know
// when there are too many peers: it is not asked back, for as long as it is remembered.
func TestHearsayOfOneThatLeft(t *testing.T) {
	s := forwarder(t)
	left := s.now
	s.hear(contactAt(point(600)), &Packet{Kind: KindLeave, Seq: 5})
	s.answerProbes()
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{time.Minute, 0}, {memoryTime - 2*time.Second, 0}, {memoryTime, 1}} {
		s.n.stopWaiting()
		s.now = left + Time(tt.after)
		s.n.sweepAt = 0
		s.step(Input{Kind: InRegister, App: "app"})
		s.replies(contactAt(point(700)), s.exchange(700), contactAt(point(600)))
		if got := len(s.sentTo(600, KindProbe)); got != tt.want {
			t.Errorf("after %v it is asked %d times, want %d", tt.after, got, tt.want)
		}
	}
}
