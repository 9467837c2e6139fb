package experiment

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// small returns parameters for a ring that is built in a second.
func small() Static {
	s := newStatic()
	s.Nodes, s.Lookups, s.Settle = 200, 1000, 20*time.Second
	return s
}

func smallHops() *Hops { return &Hops{Static: small()} }

func smallReplicas() *Replicas {
	r := newReplicas()
	r.Static = small()
	r.LeafSet, r.DigitBits = 8, 3
	return r
}

func smallFailures() *Failures {
	f := newFailures()
	f.Static, f.Repair = small(), 30*time.Second
	return f
}

func smallSkew() *Skew {
	s := newSkew()
	s.Static, s.Distinct = small(), 300
	return s
}

// smallRuns are the experiments of this kind, by name.
var smallRuns = map[string]func() Run{
	"hops":     func() Run { return smallHops() },
	"replicas": func() Run { return smallReplicas() },
	"failures": func() Run { return smallFailures() },
	"skew":     func() Run { return smallSkew() },
}

// run runs an experiment that must succeed.
func run[R Report](t *testing.T, r Run) R {
	t.Helper()
	report, err := r.Run(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if faults := report.Head().Faults; len(faults) > 0 {
		t.Errorf("what must not happen: %v", faults)
	}
	return report.(R)
}

// ringOf returns a world with a ring at rest and what sends lookups through it.
func ringOf(t *testing.T, s Static) (*sim.Sim, *trips) {
	t.Helper()
	trips, err := s.open(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return trips.world, trips
}

// flat returns the JSON form of a report.
func flat(t *testing.T, r Report) map[string]any {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// checkSame compares two reports of the same command. Only what they took may differ.
func checkSame(t *testing.T, got, want Report) {
	t.Helper()
	took := cmpopts.IgnoreFields(Header{}, "WallTime", "PeakMemory")
	if diff := cmp.Diff(got, want, took); diff != "" {
		t.Errorf("the same command gives another report (-got +want):\n%s", diff)
	}
}

func TestSameSeedSameReport(t *testing.T) {
	long(t)
	for name, make := range smallRuns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkSame(t, run[Report](t, make()), run[Report](t, make()))
		})
	}
}

func TestOtherSeedOtherReport(t *testing.T) {
	long(t)
	one, two := smallHops(), smallHops()
	two.Seed++
	if a, b := run[*HopsReport](t, one), run[*HopsReport](t, two); a.MeanHops == b.MeanHops && a.Stretch == b.Stretch {
		t.Errorf("seeds 1 and 2 both give %.6f hops and a stretch of %.6f", a.MeanHops, a.Stretch)
	}
}

func TestReports(t *testing.T) {
	for name, make := range smallRuns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run[Report](t, make())
			h := r.Head()
			if h.Experiment != name || h.Seed != 1 || h.Nodes != 200 || h.Built != "joins" || h.Topology != "plane" {
				t.Errorf("the header is %+v", h)
			}
			m := flat(t, r)
			for _, field := range []string{"lost", "wrong"} {
				if got := m[field]; got != 0. {
					t.Errorf("%s is %v, want 0: %v", field, got, m["problems"])
				}
			}
			for _, row := range r.Rows() {
				if row.Name == "" || row.Value == "" || strings.Contains(row.Value, "NaN") || strings.Contains(row.Value, "Inf") {
					t.Errorf("the table has the row %+v", row)
				}
			}
			e := static[slices.IndexFunc(static, func(e Experiment) bool { return e.Name == name })]
			checkFigures(t, e.Figures([]Report{r}))
		})
	}
}

// checkFigures finds fault with figures that cannot be drawn.
func checkFigures(t *testing.T, figures []Figure) {
	t.Helper()
	if len(figures) == 0 {
		t.Error("there is no figure")
	}
	for _, f := range figures {
		if f.Name == "" || f.Title == "" || f.X == "" || f.Y == "" || len(f.Series) == 0 {
			t.Errorf("figure %q lacks a label or a curve", f.Name)
		}
		for _, s := range f.Series {
			bad := func(p Point) bool { return math.IsNaN(p.X+p.Y) || math.IsInf(p.X+p.Y, 0) }
			if s.Name == "" || len(s.Points) == 0 || slices.ContainsFunc(s.Points, bad) {
				t.Errorf("figure %q has the curve %q with points %v", f.Name, s.Name, s.Points)
			}
		}
	}
}

func TestSweepFigures(t *testing.T) {
	var reports []Report
	for _, nodes := range []int{200, 100} {
		h := smallHops()
		h.Nodes = nodes
		reports = append(reports, run[Report](t, h))
	}
	figures := hopsFigures(reports)
	checkFigures(t, figures)
	var names []string
	for _, f := range figures {
		names = append(names, f.Name)
		if !slices.ContainsFunc(f.Series, func(s Series) bool { return s.Paper }) && f.Name != "hop-lengths" {
			t.Errorf("figure %q has no curve of the paper", f.Name)
		}
	}
	if diff := cmp.Diff(names, []string{"hops-distribution", "hop-lengths", "hops-nodes", "stretch-nodes"}); diff != "" {
		t.Errorf("figures of a sweep (-got +want):\n%s", diff)
	}
	hops := figures[2].Series[0].Points
	if len(hops) != 2 || hops[0].X != 100 || hops[1].X != 200 || hops[0].Y >= hops[1].Y {
		t.Errorf("the curve of hops is %v, want it to go up from 100 to 200 nodes", hops)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  Run
		args []string
		want []string
	}{
		{"nodes", smallHops(), []string{"--nodes=1"}, []string{"-nodes is 1, must be at least 2"}},
		{"more nodes than fit", smallHops(), []string{"--nodes=1000000000000"}, []string{"-nodes: 1000000000000 nodes take 28610229.5 GiB"}},
		{"more perfect nodes than fit", smallHops(), []string{"--perfect", "--nodes=1000000000000"}, []string{"-nodes: 1000000000000 nodes take 476837.2 GiB"}},
		{"more joiners than fit", newFlash(), []string{"--joiners=1000000000000"}, []string{"-nodes and -joiners: 10000000"}},
		{"heartbeat", smallHops(), []string{"--heartbeat=2h"}, []string{"-heartbeat is 2h0m0s, must be 10ms to 1h"}},
		{"late by nothing", smallHops(), []string{"--late=0.5", "--lateby=0s"}, []string{"-late is 0.5, but -lateby 0s"}},
		{"leaf set", smallHops(), []string{"--leafset=7"}, []string{"-leafset is 7, must be even"}},
		{"bits", smallSkew(), []string{"--bits=9"}, []string{"-bits is 9, must be 1 to 8"}},
		{"join rate", smallHops(), []string{"--joinrate=0"}, []string{"-joinrate is 0"}},
		{"loss", smallHops(), []string{"--loss=1"}, []string{"-loss is 1"}},
		{"jitter", smallHops(), []string{"--jitter=-1"}, []string{"-jitter is -1"}},
		{"much jitter", smallHops(), []string{"--jitter=1e30"}, []string{"-jitter is 1e+30"}},
		{"late", smallHops(), []string{"--late=2", "--lateby=1h"}, []string{"-late is 2", "-lateby is 1h"}},
		{"lookups", smallHops(), []string{"--lookups=0"}, []string{"-lookups is 0"}},
		{"settle", smallHops(), []string{"--settle=-1s"}, []string{"-settle is -1s"}},
		{"all together", smallHops(), []string{"--nodes=0", "--bits=0", "--lookups=-1", "--topology=nowhere"}, []string{"-nodes is 0", "-bits is 0", "-lookups is -1", "nowhere"}},
		{"replicas out of sight", smallReplicas(), []string{"-k=6"}, []string{"-replicas is 6, must be 1 to 5"}},
		{"no replicas", smallReplicas(), []string{"-k=0"}, []string{"-replicas is 0"}},
		{"way", smallReplicas(), []string{"--way=home"}, []string{`-way is "home"`}},
		{"all fail", smallFailures(), []string{"--fail=1"}, []string{"-fail is 1"}},
		{"none fails", smallFailures(), []string{"--fail=0.001"}, []string{"-fail is 0.001, must be at least one of the 200 nodes"}},
		{"no time for repair", smallFailures(), []string{"--repair=1s", "--fail=0"}, []string{"-repair is 1s", "-fail is 0,"}},
		{"zipf", smallSkew(), []string{"--zipf=-1", "--distinct=0"}, []string{"-zipf is -1", "-distinct is 0"}},
		{"topology", smallHops(), []string{"--topology=nowhere"}, []string{"nowhere"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			tt.run.Flags(fs)
			if err := fs.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			_, err := tt.run.Run(t.Context(), nil)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("Run(%q) gave %v, want %q", tt.args, err, want)
				}
			}
			if check := tt.run.Check(); check == nil || err == nil || check.Error() != err.Error() {
				t.Errorf("Check(%q) gave %v, want what Run gave", tt.args, check)
			}
		})
	}
}

func TestCancelled(t *testing.T) {
	for name, make := range smallRuns {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			p := &Progress{Update: func(stage string, _ float64, _ time.Duration) {
				if strings.Contains(stage, "lookups") {
					cancel()
				}
			}}
			if _, err := make().Run(ctx, p); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled run gave %v", err)
			}
		})
	}
}

// TestCancelledPerfect ends a run while its ring gets perfect tables.
func TestCancelledPerfect(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	last := ""
	p := &Progress{Update: func(stage string, _ float64, _ time.Duration) {
		last = stage
		cancel()
	}}
	h := smallHops()
	h.Perfect = true
	if _, err := h.Run(ctx, p); !errors.Is(err, context.Canceled) || !strings.Contains(last, "perfect") {
		t.Errorf("cancelled run gave %v in %q", err, last)
	}
}

// TestWrongAndLostAreFound splits the ring for good: each half takes itself for
// the whole, and its nodes for the roots of all keys.
func TestWrongAndLostAreFound(t *testing.T) {
	s := small()
	s.Nodes = 60
	world, trips := ringOf(t, s)
	world.Partition(func(i int) int { return i % 2 })
	world.Run(2 * time.Minute)
	if err := trips.send(nil, "", 200, 10*time.Millisecond, trips.toKey); err != nil {
		t.Fatal(err)
	}
	if trips.wrong < 60 || trips.wrong > 140 {
		t.Errorf("%d of 200 lookups in two halves of a ring were found to be delivered wrongly, want about half", trips.wrong)
	}
	if len(trips.problems) != maxIncidents || !strings.Contains(trips.problems[0], "seed 1: ") || !strings.Contains(trips.problems[0], "the root is node") {
		t.Errorf("they are described as %q", trips.problems)
	}
	world.Deliver = func(d sim.Delivery, msg *pastry.Routed) sim.Reply { return sim.Reply{Never: true} }
	trips.problems = nil
	if err := trips.send(nil, "", 5, 10*time.Millisecond, trips.toKey); err != nil {
		t.Fatal(err)
	}
	if trips.lost != 5 || len(trips.problems) != 5 {
		t.Errorf("%d of 5 lookups without an answer count as lost: %q", trips.lost, trips.problems)
	}
}

func TestTally(t *testing.T) {
	ten := tally{9, 1, 8, 2, 7, 3, 6, 4, 5, 10}
	for _, tt := range []struct {
		name string
		got  float64
		want float64
	}{
		{"mean", ten.mean(), 5.5},
		{"median", ten.quantile(.5), 5},
		{"p90", ten.quantile(.9), 9},
		{"p99", ten.quantile(.99), 10},
		{"most", ten.quantile(1), 10},
		{"least", ten.quantile(0), 1},
		{"mean of nothing", tally(nil).mean(), 0},
		{"median of nothing", tally(nil).quantile(.5), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s is %v, want %v", tt.name, tt.got, tt.want)
		}
	}
}

func TestPaperAt(t *testing.T) {
	for _, tt := range []struct {
		nodes int
		want  string
	}{
		{999, ""}, {1000, "2.5"}, {5000, "2.95"}, {10_000, "3.25"}, {100_000, "3.98"}, {100_001, ""},
		{2236, "2.72, interpolated"}, // the middle between 1,000 and 5,000
	} {
		if got := paperAt(paperHops, tt.nodes); got != tt.want {
			t.Errorf("paperAt(%d) = %q, want %q", tt.nodes, got, tt.want)
		}
	}
}

// long leaves out a test under -short, with which the race detector runs: a simulation
// has one goroutine, and takes ten times as long under it.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("long")
	}
}
