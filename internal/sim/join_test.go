package sim_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// TestFlashCrowd lets 50 nodes join a ring of one at the same instant.
func TestFlashCrowd(t *testing.T) {
	for _, loss := range []float64{0, 0.01} {
		s := newSim(t, 3, sim.Config{Jitter: 0.2, Loss: loss})
		first := s.Add()
		s.Join(first)
		for range 50 {
			s.Join(s.Add(), first)
		}
		active, ok := s.RunUntil(func() bool { return s.CheckActive() == nil }, 100*time.Millisecond, 2*time.Minute)
		if !ok {
			t.Fatal(s.CheckActive())
		}
		exact := active + settles(t, s, time.Minute)
		t.Logf("loss %g: 50 nodes active after %v, all leaf sets exact after %v", loss, active, exact)
		check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
		check(t, s.CheckHistory())
	}
}

// TestJoinTime measures how long a node takes to join a quiet ring.
func TestJoinTime(t *testing.T) {
	tests := []struct {
		name    string
		latency time.Duration
		limit   time.Duration
	}{
		{"LAN", time.Millisecond, 2 * time.Second},
		{"WAN", 0, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := sim.Config{Jitter: 0.2}
			if tt.latency > 0 {
				cfg.Latency = func(int, int) time.Duration { return tt.latency }
			}
			s := newSim(t, 5, cfg)
			grow(t, s, 64)
			var took []time.Duration
			for i := 1; i < s.Len(); i++ {
				d, _ := s.JoinTime(i)
				took = append(took, d)
			}
			slices.Sort(took)
			most := took[len(took)-1]
			t.Logf("joins took %v in the median, %v at most", took[len(took)/2], most)
			if most > tt.limit {
				t.Errorf("slowest join took %v, want at most %v", most, tt.limit)
			}
		})
	}
}

// TestJoinBesideSilent has a joiner and one that will be its neighbour not hear each other
// for so long that it is found dead, which the ring knows it is not. The node joins soon
// after they do hear each other.
func TestJoinBesideSilent(t *testing.T) {
	forSeeds(t, 5, func(cfg sim.Config) error {
		const nodes, apart, limit = 40, 8 * time.Second, 3 * time.Second
		s := sim.New(cfg)
		if err := build(s, nodes); err != nil {
			return err
		}
		joiner, until := s.Add(), s.Now()+apart
		silent := 0
		for i := range nodes {
			if ring.Clockwise(s.ID(joiner), s.ID(i)).Compare(ring.Clockwise(s.ID(joiner), s.ID(silent))) < 0 {
				silent = i
			}
		}
		s.Latency = func(from, to int) time.Duration {
			if s.Now() < until && min(from, to) == silent && max(from, to) == joiner {
				return time.Hour
			}
			return 20 * time.Millisecond
		}
		s.Join(joiner, (silent+1)%nodes)
		s.Run(apart)
		if s.Active(joiner) {
			return fmt.Errorf("node %d has joined without hearing its neighbour %d", joiner, silent)
		}
		if took, ok := s.RunUntil(func() bool { return s.Active(joiner) }, 100*time.Millisecond, limit); !ok {
			return fmt.Errorf("node %d not active %v after it can hear its neighbour %d", joiner, took, silent)
		}
		return s.CheckHistory()
	})
}

// TestMessageWhileRootJoins sends messages to the keys of a node all the time
// while it joins: the predecessor's joiner swallowed them. None may be lost, and
// none delivered by the joiner before it is active.
func TestMessageWhileRootJoins(t *testing.T) {
	forSeeds(t, min(seeds(10), 50), func(cfg sim.Config) error {
		cfg.Jitter, cfg.Late, cfg.LateBy = 0.2, 0.05, 200*time.Millisecond
		s := sim.New(cfg)
		if err := build(s, 30); err != nil {
			return err
		}
		joiner := s.Add()
		s.Join(joiner, 0)
		var ms []*sim.Message
		for range 500 {
			key := s.ID(joiner).Add(ring.FromUint64s(0, s.Rand().Uint64()))
			ms = append(ms, s.Route(s.Rand().IntN(30), key, 30*time.Second))
			s.Run(10 * time.Millisecond)
		}
		s.Run(time.Minute)
		if err := s.CheckActive(); err != nil {
			return err
		}
		byJoiner, err := tally(ms, joiner)
		if err != nil {
			return err
		}
		if *oneSeed != 0 {
			t.Logf("%d of %d messages delivered by the joiner", byJoiner, len(ms))
		}
		return s.CheckHistory()
	})
}

// TestRestartWithSameID restarts a node at once: its neighbours have not yet
// noticed that it was gone.
func TestRestartWithSameID(t *testing.T) {
	for _, wait := range []time.Duration{0, 100 * time.Millisecond, 5 * time.Second, time.Minute} {
		s := newSim(t, 13, sim.Config{Jitter: 0.2})
		grow(t, s, 40)
		const again = 17
		s.Crash(again)
		s.Run(wait)
		s.Restart(again)
		s.Join(again, 0)
		took, ok := s.RunUntil(func() bool { return s.Active(again) }, 10*time.Millisecond, 10*time.Second)
		if !ok {
			t.Fatalf("restarted after %v: not active after %v", wait, took)
		}
		t.Logf("restarted after %v: active after %v, all exact %v later", wait, took, settles(t, s, time.Minute))
		check(t, s.Ring(nil).CheckKeys(200, 30*time.Second))
		check(t, s.CheckHistory())
	}
}

// TestClient lets nodes use the ring without being part of it.
func TestClient(t *testing.T) {
	s := newSim(t, 17, sim.Config{Jitter: 0.2})
	grow(t, s, 40)
	var clients []int
	for range 5 {
		i := s.AddClient()
		s.Join(i, s.Rand().IntN(40))
		clients = append(clients, i)
	}
	s.Run(10 * time.Second)
	var ms []*sim.Message
	for range 40 {
		for _, i := range clients {
			ms = append(ms, s.Route(i, s.RandomKey(), 30*time.Second))
			ms = append(ms, s.Route(s.Rand().IntN(40), s.ID(i), 30*time.Second))
		}
		s.Run(time.Second)
	}
	s.Run(30 * time.Second)
	r := s.Ring(nil)
	for _, m := range ms {
		check(t, r.CheckMessage(m))
	}
	for _, i := range clients {
		if got, want := s.Node(i).State(), pastry.StateClient; got != want {
			t.Errorf("client %d is %v, want %v", i, got, want)
		}
		for _, j := range r.Nodes() {
			n, id := s.Node(j), s.ID(i)
			if isLeaf(s, j, i) || n.Table().Contains(id) || n.Neighborhood().Contains(id) {
				t.Errorf("node %d has client %d in its tables", j, i)
			}
		}
	}
	check(t, r.CheckLeafSets())
	check(t, s.CheckHistory())
}

// tally counts who delivered, and finds fault with messages that did not end well.
func tally(ms []*sim.Message, node int) (int, error) {
	var by int
	for _, m := range ms {
		if !m.OK() {
			return by, fmt.Errorf("%v from node %d at %v ended with %+v", m, m.Origin, m.Sent, m.Answer)
		}
		if m.Deliveries[0].Node == node {
			by++
		}
	}
	return by, nil
}
