package experiment

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// smallChurn is a run that takes a second or two.
func smallChurn(change func(c *Churn)) *Churn {
	c := newChurn()
	c.Nodes, c.Session, c.Warmup = 120, 10*time.Minute, time.Minute
	c.Lookups, c.Rate = 2000, 0.1
	if change != nil {
		change(c)
	}
	return c
}

func runChurn(t *testing.T, c *Churn) *ChurnReport {
	t.Helper()
	r := run[*ChurnReport](t, c)
	checkAccount(t, &r.Lookups)
	return r
}

// checkAccount checks that every lookup is in the account once.
func checkAccount(t *testing.T, l *Lookups) {
	t.Helper()
	if got := l.Delivered + l.Lost + l.OriginGone + l.Open; got != l.Sent {
		t.Errorf("%d delivered, %d lost, %d of origins that are gone and %d open make %d, want the %d sent",
			l.Delivered, l.Lost, l.OriginGone, l.Open, got, l.Sent)
	}
	if l.Wrong > l.Delivered || l.Unanswered > l.Delivered {
		t.Errorf("%d wrong and %d unanswered, more than the %d delivered", l.Wrong, l.Unanswered, l.Delivered)
	}
}

func TestChurn(t *testing.T) {
	t.Parallel()
	r := runChurn(t, smallChurn(nil))
	if r.Sent != 2000 || r.Open != 0 {
		t.Errorf("%d lookups sent and %d open, want 2000 and 0", r.Sent, r.Open)
	}
	if r.Wrong > 0 || r.Lost > 0 {
		t.Errorf("%d wrong, %d lost, want none: %v", r.Wrong, r.Lost, r.Incidents)
	}
	if r.MeanActive < 90 || r.MeanActive > 150 {
		t.Errorf("%.0f nodes are active in the mean, want about 120", r.MeanActive)
	}
	if want := r.MeanActive * r.Seconds / r.Session; float64(r.Arrived) < 0.5*want || float64(r.Arrived) > 1.5*want {
		t.Errorf("%d nodes came in %.0fs, want about %.0f", r.Arrived, r.Seconds, want)
	}
	if r.Joined < r.Arrived*9/10 {
		t.Errorf("%d of %d that came became active", r.Joined, r.Arrived)
	}
	if r.Stretch < 1 || r.Stretch > 2 {
		t.Errorf("delay is %.2f times the direct one, want 1 to 2", r.Stretch)
	}
}

// TestLateIsLost gives lookups so little time that some are delivered after it. These
// count as lost, whatever the ring makes of them.
func TestLateIsLost(t *testing.T) {
	long(t)
	t.Parallel()
	r := runChurn(t, smallChurn(func(c *Churn) { c.Loss, c.TTL = 0.05, time.Second }))
	late := slices.ContainsFunc(r.Incidents, func(s string) bool { return strings.Contains(s, "delivered after 1.") })
	if r.Lost == 0 || !late || r.DelayMax > 1000 {
		t.Errorf("%d lost, the slowest delivered after %.0f ms; want some lost that were delivered after a second: %q", r.Lost, r.DelayMax, r.Incidents)
	}
}

// TestHeldUp has the network hold up half of the packets: others overtake them, lookups
// take longer, and all is delivered where it belongs.
func TestHeldUp(t *testing.T) {
	long(t)
	t.Parallel()
	r := runChurn(t, smallChurn(func(c *Churn) { c.Late, c.LateBy = 0.5, 400*time.Millisecond }))
	if r.Wrong > 0 || r.Lost > 0 || r.DelayP90 < 250 {
		t.Errorf("%d wrong, %d lost, 90%% delivered within %.0f ms; want none, none, and 250 ms and more: %q", r.Wrong, r.Lost, r.DelayP90, r.Incidents)
	}
}

// TestPerfectIsNamed has the figures that name no setting say that the ring was built
// from perfect tables.
func TestPerfectIsNamed(t *testing.T) {
	head := func(built string) Header { return Header{Built: built} }
	for _, tt := range []struct {
		name    string
		figures func([]Report) []Figure
		report  func(built string) Report
	}{
		{"churn", churnFigures, func(built string) Report {
			return &ChurnReport{Header: head(built), Session: 1800, Lookups: Lookups{LossBound: .1, WrongBound: .1, Stretch: 1.2, RDP: 1.3}, Traffic: Traffic{Control: 1, ControlAndAcks: 2}}
		}},
		{"unclaimed", unclaimedFigures, func(built string) Report { return &UnclaimedReport{Header: head(built), Times: []float64{1}} }},
		{"flash", flashFigures, func(built string) Report { return &FlashReport{Header: head(built), Reached: []float64{1}} }},
		{"records", durabilityFigures, func(built string) Report {
			return &DurabilityReport{Header: head(built), Hours: []float64{1}, MeanCopies: []float64{8}, LeastCopies: []int{7}, Under: []float64{0}, Moved: []float64{1}, Compared: []float64{1}}
		}},
		{"split", splitFigures, func(built string) Report { return &SplitReport{Header: head(built), Parts: 2} }},
	} {
		for _, f := range tt.figures([]Report{tt.report("joins"), tt.report(perfectTables)}) {
			var ours, named int
			for _, s := range f.Series {
				if !s.Paper {
					ours++
				}
				if strings.HasSuffix(s.Name, ", "+perfectTables) {
					named++
				}
			}
			if ours == 0 || 2*named != ours {
				t.Errorf("%s, figure %s: %d of %d series say that the tables were perfect, want half", tt.name, f.Name, named, ours)
			}
		}
	}
}

// TestChurnDeterministic runs the same seed twice, and another one.
func TestChurnDeterministic(t *testing.T) {
	long(t)
	t.Parallel()
	run := func(seed uint64) *ChurnReport {
		return runChurn(t, smallChurn(func(c *Churn) { c.Seed, c.Loss, c.Leave, c.Lookups = seed, 0.02, 0.3, 500 }))
	}
	first := run(3)
	checkSame(t, first, run(3))
	if first.Left == 0 || first.Crashed == 0 {
		t.Errorf("%d left and %d crashed, want some of both", first.Left, first.Crashed)
	}
	if other := run(4); cmp.Equal(first.Traffic, other.Traffic) {
		t.Error("another seed gives the same traffic")
	}
}

// TestChurnDetects takes away what keeps the ring consistent. The figures must
// show it.
func TestChurnDetects(t *testing.T) {
	long(t)
	t.Parallel()
	tests := []struct {
		name  string
		setup func(c *Churn)
		harm  func(i int, c *pastry.Config)
		worse func(r, sound *ChurnReport) bool
	}{
		{
			"nobody looks after anybody", // so that messages meet the dead: few of them, since that is told on
			func(c *Churn) { c.Warmup, c.Rate, c.Lookups = 5*time.Minute, 0.005, 1000 },
			func(_ int, c *pastry.Config) { c.Heartbeat, c.LossTarget = time.Hour, 0.99 },
			func(r, sound *ChurnReport) bool {
				return r.DelayP99 > 1.4*sound.DelayP99 && r.Stretch > 1.05*sound.Stretch && r.Heartbeats < sound.Heartbeats*2/3
			},
		},
		{
			"silent hops are waited for",
			func(c *Churn) { c.Loss, c.Rate, c.Lookups = 0.05, 0.05, 1200 },
			func(_ int, c *pastry.Config) { c.MinHopTimeout = time.Second },
			func(r, sound *ChurnReport) bool {
				return r.DelayP99 > 1.5*sound.DelayP99 && r.Stretch > 1.5*sound.Stretch
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sound := runChurn(t, smallChurn(tt.setup))
			c := smallChurn(tt.setup)
			c.tune = tt.harm
			if r := run[*ChurnReport](t, c); !tt.worse(r, sound) {
				t.Errorf("stretch %.2f, delay p90 %.0f and p99 %.0f ms, %d wrong; sound %.2f, %.0f and %.0f ms, %d: the harm does not show",
					r.Stretch, r.DelayP90, r.DelayP99, r.Wrong, sound.Stretch, sound.DelayP90, sound.DelayP99, sound.Wrong)
			}
		})
	}
}

// TestLedgerCountsWrong delivers a message by hand where it does not belong.
func TestLedgerCountsWrong(t *testing.T) {
	t.Parallel()
	u := newUnrest(20)
	u.TTL = time.Second
	s, err := u.open(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	world := s.world
	for range 50 {
		s.ledger.send(world.RandomActive(), world.RandomKey())
		world.Run(time.Second)
	}
	misdeliver(s, func(root int) int { return (root + 1) % 20 })
	drop := world.RandomKey()
	world.Loss = 1
	s.ledger.send(farFrom(world, drop), drop)
	world.Run(time.Minute)
	got := s.ledger.account(s.ledger.book)
	checkAccount(t, &got)
	if got.Sent != 52 || got.Wrong != 1 || got.Lost != 1 || got.Delivered != 51 {
		t.Errorf("%d sent, %d delivered, %d wrong, %d lost; want 52, 51, 1, 1", got.Sent, got.Delivered, got.Wrong, got.Lost)
	}
	if len(got.Incidents) != 2 || !strings.Contains(got.Incidents[0], ": wrong: ") || !strings.Contains(got.Incidents[1], ": lost: ") {
		t.Errorf("incidents are %q, want a wrong and a lost one", got.Incidents)
	}
}

// misdeliver sends a lookup and tells the ledger that another node than the root
// delivered it.
func misdeliver(s *stage, other func(root int) int) {
	deliver := s.world.Deliver
	s.world.Deliver = func(d sim.Delivery, m *pastry.Routed) sim.Reply {
		d.Node = other(d.Node)
		return deliver(d, m)
	}
	key := s.world.RandomKey()
	s.ledger.send(farFrom(s.world, key), key)
	s.world.Run(time.Second)
	s.world.Deliver = deliver
}

// farFrom returns a member that is not the root of key.
func farFrom(world *sim.Sim, key ring.ID) int {
	for {
		if i := world.RandomActive(); i != world.Root(key) {
			return i
		}
	}
}

func TestRateOf(t *testing.T) {
	tests := []struct {
		k, n        int
		rate, bound float64
	}{
		{0, 1_000_000, 0, 2.996e-6},
		{1, 1_000_000, 1e-6, 4.744e-6},
		{10, 1000, 0.01, 0.01696},
		{0, 0, 0, 1},
		{5, 5, 1, 1},
	}
	for _, tt := range tests {
		rate, bound := rateOf(tt.k, tt.n)
		if rate != tt.rate || bound < tt.bound*0.999 || bound > tt.bound*1.001 {
			t.Errorf("rateOf(%d, %d) is %g, %g; want %g, %g", tt.k, tt.n, rate, bound, tt.rate, tt.bound)
		}
	}
}

func TestRank(t *testing.T) {
	values := []int{1, 2, 3, 4}
	for _, tt := range []struct {
		q    float64
		want int
	}{{0, 1}, {0.25, 1}, {0.26, 2}, {0.5, 2}, {0.99, 4}, {1, 4}} {
		if got := rank(values, tt.q); got != tt.want {
			t.Errorf("rank of %g is %d, want %d", tt.q, got, tt.want)
		}
	}
	if got := rank([]int(nil), 0.5); got != 0 {
		t.Errorf("rank of nothing is %d, want 0", got)
	}
}

// TestChurnRefuses names every fault at once.
func TestChurnRefuses(t *testing.T) {
	c := newChurn()
	c.Session, c.Lookups, c.Rate, c.Leave, c.TTL = 0, 0, -1, 2, 0
	_, err := c.Run(context.Background(), nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, flag := range []string{"-session", "-lookups", "-rate", "-leave", "-ttl"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("error does not name %s: %v", flag, err)
		}
	}
}

func TestChurnStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := &Progress{Update: func(stage string, done float64, _ time.Duration) {
		if strings.HasSuffix(stage, "lookups") {
			cancel()
		}
	}}
	if _, err := smallChurn(nil).Run(ctx, p); err != context.Canceled {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

// TestReportsAreFlat checks that every report is an object without objects in
// it, that no field shadows another, and that it has rows.
func TestReportsAreFlat(t *testing.T) {
	for _, r := range []Report{new(ChurnReport), new(UnclaimedReport), new(FlashReport), new(SplitReport)} {
		t.Run(fmt.Sprintf("%T", r), func(t *testing.T) {
			data, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var fields map[string]any
			if err := json.Unmarshal(data, &fields); err != nil {
				t.Fatal(err)
			}
			for name, v := range fields {
				if _, nested := v.(map[string]any); nested || name != strings.ToLower(name) {
					t.Errorf("field %q is %T, want a plain one in lower case", name, v)
				}
			}
			for _, name := range []string{"experiment", "seed", "control_per_second", "lookups", "delivered", "wrong", "lost"} {
				if _, ok := fields[name]; !ok {
					t.Errorf("there is no field %q", name)
				}
			}
			if len(r.Rows()) == 0 {
				t.Error("there are no rows")
			}
		})
	}
}

func TestChurnFigures(t *testing.T) {
	report := func(minutes, loss float64, wrong float64) Report {
		r := &ChurnReport{Session: 60 * minutes, Loss: loss}
		r.WrongRate, r.WrongBound, r.Stretch, r.RDP, r.Control = wrong, 1e-3, 1.4, 1.5, 0.3
		return r
	}
	figures := churnFigures([]Report{report(60, 0.05, 2e-4), report(5, 0, 0), report(30, 0, 0)})
	for _, f := range figures {
		if !slices.ContainsFunc(f.Series, func(s Series) bool { return s.Paper }) {
			t.Errorf("%s has no curve of the literature", f.Name)
		}
		for _, s := range f.Series {
			if !slices.IsSortedFunc(s.Points, func(a, b Point) int { return int(a.X - b.X) }) {
				t.Errorf("%s: %q is not sorted: %v", f.Name, s.Name, s.Points)
			}
		}
	}
	got := make(map[string][]Point)
	for _, s := range figures[1].Series[:4] {
		got[s.Name] = s.Points
	}
	want := map[string][]Point{ // none wrong is drawn, too
		"wrong at most, with 95% confidence, 0 nodes, 5% of packets lost": {{60, 1e-3}}, "wrong at most, with 95% confidence, 0 nodes, 0% of packets lost": {{5, 1e-3}, {30, 1e-3}},
		"wrong, 0 nodes, 5% of packets lost": {{60, 2e-4}}, "wrong, 0 nodes, 0% of packets lost": {{5, 0}, {30, 0}},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("wrong deliveries, got(-) want(+):\n%s", diff)
	}
}
