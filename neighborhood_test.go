package pastry

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/secondbit/pastry/ring"
)

func TestNeighborhood(t *testing.T) {
	h := NewNeighborhood(3)
	for _, step := range []struct {
		insert int
		at     Time
		wants  bool
		after  []int
	}{
		{100, 30, true, []int{100}},
		{200, 10, true, []int{200, 100}},
		{300, 20, true, []int{200, 300, 100}},
		{400, 30, false, []int{200, 300, 100}}, // no nearer than the farthest
		{400, 25, true, []int{200, 300, 400}},
		{200, 40, false, []int{300, 400, 200}}, // a member that is farther now
		{200, 5, true, []int{200, 300, 400}},
	} {
		if got := h.Wants(step.at); got != step.wants {
			t.Errorf("Wants(%d) is %t, want %t", step.at, got, step.wants)
		}
		h.Insert(contactAt(point(step.insert)), step.at)
		wantPoints(t, "the set", h.AppendMembers(nil), step.after...)
	}
	if !h.Remove(point(300)) || h.Remove(point(300)) || h.Contains(point(300)) {
		t.Error("a member is removed once, want it gone then")
	}
	wantPoints(t, "the set", h.AppendMembers(nil), 200, 400)
}

func TestNeighborhoodOfNone(t *testing.T) {
	h := NewNeighborhood(0)
	h.Insert(contactAt(point(1)), 1)
	if h.Wants(1) || len(h.AppendMembers(nil)) != 0 {
		t.Errorf("a set of size zero holds %d members", len(h.AppendMembers(nil)))
	}
}

// TestNeighborhoodAgainstModel inserts and removes at random: the set always
// holds what a list that is sorted anew holds.
func TestNeighborhoodAgainstModel(t *testing.T) {
	type model struct {
		id ring.ID
		at Time
	}
	rng := rand.New(rand.NewPCG(1, 5))
	h := NewNeighborhood(8)
	var want []model
	for range 5000 {
		id, at := point(rng.IntN(20)), Time(rng.IntN(50))
		want = slices.DeleteFunc(want, func(m model) bool { return m.id == id })
		if rng.IntN(4) > 0 {
			h.Insert(contactAt(id), at)
			want = append(want, model{id, at})
			slices.SortStableFunc(want, func(a, b model) int { return int(a.at - b.at) })
			want = want[:min(len(want), 8)]
		} else {
			h.Remove(id)
		}
		got := h.AppendMembers(nil)
		if !slices.EqualFunc(got, want, func(c *Contact, m model) bool { return c.ID == m.id }) {
			t.Fatalf("set is %v, want %v", points(got), want)
		}
	}
}

// foretold is a Proximity that predicts round trips to some.
type foretold map[ring.ID]time.Duration

func (foretold) Observe(*Contact, time.Duration)              {}
func (foretold) Coordinate() []float32                        { return nil }
func (foretold) Between(a, b []float32) (time.Duration, bool) { return 0, false }

func (f foretold) Distance(c *Contact, rtt time.Duration) (time.Duration, bool) {
	if rtt <= 0 {
		rtt = f[c.ID]
	}
	return rtt, rtt > 0
}

// TestNeighborhoodCandidates has a node be named whose entry of the table is full of
// nearer ones. It is probed if it is predicted to be clearly nearer than the
// farthest of the neighborhood set, which is 10 ms away.
func TestNeighborhoodCandidates(t *testing.T) {
	for _, tt := range []struct {
		name    string
		predict time.Duration // zero for none
		member  bool          // it is in the neighborhood set, and in no table
		busy    bool          // others are being probed first
		want    int
	}{
		{"clearly nearer", 5 * time.Millisecond, false, false, 1},
		{"just clearly nearer", 8*time.Millisecond - 2, false, false, 1},
		{"hardly nearer", 8 * time.Millisecond, false, false, 0},
		{"farther", 20 * time.Millisecond, false, false, 0},
		{"no prediction", 0, false, false, 0},
		{"member already", 5 * time.Millisecond, true, false, 0},
		{"clearly nearer, later", 5 * time.Millisecond, false, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			prediction := foretold{}
			s := newScript(t, 500, func(c *Config) { c.Proximity = prediction })
			s.step(Input{Kind: InJoin})
			for _, at := range []int{300, 400, 600, 700} {
				know(s.n, contactAt(point(at)), 10*time.Millisecond)
			}
			for _, at := range []int{900, 920, 930} { // no room for another
				know(s.n, contactAt(point(at)), time.Millisecond)
			}
			if tt.member {
				know(s.n, contactAt(point(910)), tt.predict)
				s.n.table.Remove(point(910))
			}
			s.n.take()
			s.n.stopWaiting()
			s.now += Time(s.n.cfg.Heartbeat)
			s.n.now = s.now
			prediction[point(910)] = tt.predict
			if tt.busy {
				s.n.asking += maxAsking
			}
			s.n.consider(contactAt(point(910)))
			if tt.busy {
				s.n.asking -= maxAsking
				s.n.pumpCandidates()
			}
			s.out = s.n.take()
			if got := len(s.sentTo(910, KindProbe)); got != tt.want {
				t.Errorf("it is probed %d times, want %d", got, tt.want)
			}
		})
	}
}
