package sim_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

func open(t testing.TB, name string) sim.Topology {
	t.Helper()
	topology, err := sim.OpenTopology(name)
	if err != nil {
		t.Fatal(err)
	}
	if got := topology.Name(); got != name {
		t.Errorf("topology %q has the name %q", name, got)
	}
	return topology
}

func places(topology sim.Topology, n int) []sim.Place {
	rng := rand.New(rand.NewPCG(1, 2))
	ps := make([]sim.Place, n)
	for i := range ps {
		ps[i] = topology.Place(rng)
	}
	return ps
}

// TestDelays checks what every topology promises, and the distances that its
// documentation names.
func TestDelays(t *testing.T) {
	tests := []struct {
		name         string
		median, most [2]time.Duration // between which they lie
		metric       bool             // the way through a third is never shorter
	}{
		{"plane", [2]time.Duration{35 * time.Millisecond, 38 * time.Millisecond}, [2]time.Duration{88 * time.Millisecond, 100 * time.Millisecond}, true},
		{"sphere", [2]time.Duration{53 * time.Millisecond, 59 * time.Millisecond}, [2]time.Duration{100 * time.Millisecond, 260 * time.Millisecond}, true},
		{"regions", [2]time.Duration{58 * time.Millisecond, 85 * time.Millisecond}, [2]time.Duration{163 * time.Millisecond, 165 * time.Millisecond}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			topology := open(t, tt.name)
			ps := places(topology, 300)
			var all []time.Duration
			for i := range ps {
				for k := range i {
					d := topology.Delay(&ps[i], &ps[k])
					if back := topology.Delay(&ps[k], &ps[i]); d <= 0 || back != d {
						t.Fatalf("places %d and %d are %v apart, and %v back", i, k, d, back)
					}
					all = append(all, d)
				}
			}
			slices.Sort(all)
			within(t, "median", all[len(all)/2], tt.median)
			within(t, "most", all[len(all)-1], tt.most)
			if tt.metric {
				checkTriangles(t, topology, ps[:60])
			}
		})
	}
}

func within(t *testing.T, what string, got time.Duration, want [2]time.Duration) {
	t.Helper()
	if got < want[0] || got > want[1] {
		t.Errorf("%s is %v, want %v to %v", what, got, want[0], want[1])
	}
}

func checkTriangles(t *testing.T, topology sim.Topology, ps []sim.Place) {
	t.Helper()
	for i := range ps {
		for k := range ps {
			for l := range ps {
				direct := topology.Delay(&ps[i], &ps[k])
				if through := topology.Delay(&ps[i], &ps[l]) + topology.Delay(&ps[l], &ps[k]); i != k && direct > through+2 {
					t.Fatalf("from %d to %d takes %v, through %d %v", i, k, direct, l, through)
				}
			}
		}
	}
}

// TestPlaneIsUniform holds the mean distance of two random points of a square
// against the known 0.5214 of its side.
func TestPlaneIsUniform(t *testing.T) {
	topology := open(t, "plane")
	ps := places(topology, 2000)
	sum, n := 0.0, 0
	for i := 0; i < len(ps); i += 2 {
		sum += float64(topology.Delay(&ps[i], &ps[i+1]))
		n++
	}
	got := sum / float64(n) / (float64(100*time.Millisecond) / math.Sqrt2)
	if math.Abs(got-0.5214) > 0.02 {
		t.Errorf("mean distance is %.4f of the side, want 0.5214", got)
	}
}

// TestNearNodes checks that no constant flattens the distance to very near nodes.
func TestNearNodes(t *testing.T) {
	topology := open(t, "plane")
	a, b := sim.Place{X: 0.5, Y: 0.5}, sim.Place{X: 0.5, Y: 0.5}
	if got, want := topology.Delay(&a, &b), 10*time.Microsecond; got != want {
		t.Errorf("two nodes at one point are %v apart, want %v", got, want)
	}
}

// TestAccessLinks checks the tail of the access links of the sphere: log-normal,
// 2 ms in the median, a standard deviation of 1 of the logarithm.
func TestAccessLinks(t *testing.T) {
	var all []time.Duration
	for _, p := range places(open(t, "sphere"), 20000) {
		all = append(all, p.Access)
	}
	slices.Sort(all)
	quantile := func(q float64) time.Duration { return all[int(q*float64(len(all)))] }
	within(t, "median", quantile(0.5), [2]time.Duration{1950 * time.Microsecond, 2050 * time.Microsecond})
	within(t, "p84", quantile(0.8413), [2]time.Duration{5200 * time.Microsecond, 5700 * time.Microsecond})
	within(t, "p99", quantile(0.99), [2]time.Duration{18 * time.Millisecond, 23 * time.Millisecond})
	within(t, "most", all[len(all)-1], [2]time.Duration{50 * time.Millisecond, 110 * time.Millisecond})
}

func TestOpenTopologyUnknown(t *testing.T) {
	_, err := sim.OpenTopology("torus")
	if err == nil || !strings.Contains(err.Error(), `"torus" is neither "plane", "sphere" nor "regions", and no file`) {
		t.Errorf("error is %v", err)
	}
}
