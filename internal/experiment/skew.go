package experiment

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

var skewExperiment = Experiment{
	Name:  "skew",
	Short: "load of roots and relays when some keys are looked up far more often",
	Long: `Lookups go to a number of random keys, the r-th most popular of which is drawn with a
probability proportional to 1/r^s (Zipf), and as many to as many random keys that
are all alike. Compared are hops, and how the load spreads: lookups that the most
loaded node answers as root, and lookups that pass through the most loaded node
on their way.`,
	New:     func() Run { return newSkew() },
	Blank:   func() Report { return new(SkewReport) },
	Figures: skewFigures,
}

// Skew is the experiment on popular keys.
type Skew struct {
	Static
	Zipf     float64 // exponent
	Distinct int     // keys
}

func newSkew() *Skew { return &Skew{Static: newStatic(), Zipf: 1.1, Distinct: 10_000} }

// Flags adds a flag for every parameter.
func (s *Skew) Flags(fs *pflag.FlagSet) {
	s.Static.Flags(fs)
	fs.Float64Var(&s.Zipf, "zipf", s.Zipf, "exponent of the popularity of keys; 0 makes all alike")
	fs.IntVar(&s.Distinct, "distinct", s.Distinct, "different keys")
}

// SkewReport is what Skew measures. Shares are of 1.
type SkewReport struct {
	Header
	Coordinates bool     `json:"coordinates"`
	Lookups     int      `json:"lookups"` // of either kind
	Lost        int      `json:"lost"`
	Wrong       int      `json:"wrong"`
	Problems    []string `json:"problems,omitempty"`
	Zipf        float64  `json:"zipf"`
	Distinct    int      `json:"distinct"`
	TopKey      float64  `json:"top_key"` // share of the skewed lookups that are of one key
	Skewed      Load     `json:"skewed"`
	Uniform     Load     `json:"uniform"`
}

// Load is how lookups burden the nodes of a ring. Curves give the share of the
// load that falls on the most loaded share of all nodes, from 0 to 1 in steps of
// a twentieth.
type Load struct {
	MeanHops   float64   `json:"mean_hops"`
	MaxHops    int       `json:"max_hops"`
	Delay      float64   `json:"delay_mean_ms"`
	TopRoot    float64   `json:"top_root"`  // share of lookups that one node answers
	TopRelay   float64   `json:"top_relay"` // share of lookups that pass through one node, neither origin nor root
	TopBoth    float64   `json:"top_node"`  // share of lookups that one node answers or relays
	TopRoots   []float64 `json:"top_roots"` // share of lookups answered by the most loaded node, by the next and so on
	TopRelays  []float64 `json:"top_relays"`
	RootCurve  []float64 `json:"root_curve"`
	RelayCurve []float64 `json:"relay_curve"`
}

// Check returns an error that names every bad parameter.
func (s *Skew) Check() error {
	return refuse(append(s.Static.faults(), gripes(
		gripe(s.Zipf >= 0 && s.Zipf <= 10, "-zipf is %g, must be 0 to 10", s.Zipf),
		gripe(s.Distinct >= 1 && s.Distinct <= 10_000_000, "-distinct is %d, must be 1 to 10000000", s.Distinct),
	)...))
}

// Run builds the ring and sends both kinds of lookups.
func (s *Skew) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	t, err := s.open(ctx, p, s.Check(), s.sendCost(s.gap()), s.sendCost(s.gap()))
	if err != nil {
		return nil, err
	}
	world := t.world
	keys := make([]ring.ID, s.Distinct)
	for i := range keys {
		keys[i] = world.RandomKey()
	}
	r := &SkewReport{Coordinates: s.Coordinates, Lookups: s.Lookups, Zipf: s.Zipf, Distinct: s.Distinct}
	steep := newZipf(s.Distinct, s.Zipf)
	top := 0
	r.Skewed, err = s.load(t, p, "skewed", func() ring.ID {
		i := steep.rank(world.Rand().Float64())
		if i == 0 {
			top++
		}
		return keys[i]
	})
	if err != nil {
		return nil, err
	}
	r.TopKey = share(top, s.Lookups)
	r.Uniform, err = s.load(t, p, "uniform", func() ring.ID { return keys[world.Rand().IntN(len(keys))] })
	if err != nil {
		return nil, err
	}
	r.Lost, r.Wrong, r.Problems = t.lost, t.wrong, t.problems
	r.Header = s.header("skew", world, began)
	return r, nil
}

// load sends lookups of the keys drawn and returns how they burden the nodes.
func (s *Skew) load(t *trips, p *Progress, kind string, draw func() ring.ID) (Load, error) {
	b := newBurden(t.world)
	t.ended = b.add
	err := t.send(p, fmt.Sprintf("%d %s lookups", s.Lookups, kind), s.Lookups, s.gap(), func() (int, *pastry.Routed) {
		return t.world.RandomActive(), &pastry.Routed{Key: draw()}
	})
	return b.load(), err
}

// zipf draws ranks: rank r, from 0, with a probability proportional to 1/(r+1)^s.
type zipf []float64 // cumulative

func newZipf(n int, s float64) zipf {
	z := make(zipf, n)
	sum := 0.0
	for i := range z {
		sum += math.Pow(float64(i+1), -s)
		z[i] = sum
	}
	return z
}

// rank returns the rank at a point from 0 to below 1 of all probability.
func (z zipf) rank(at float64) int {
	i, _ := slices.BinarySearch(z, at*z[len(z)-1])
	return min(i, len(z)-1)
}

// burden counts what each node does for lookups.
type burden struct {
	world   *sim.Sim
	routes  *mileage
	roots   []int // lookups answered, by node
	relayed []int // lookups passed on for others, by node
}

func newBurden(world *sim.Sim) *burden {
	return &burden{world: world, routes: newMileage(world), roots: make([]int, world.Len()), relayed: make([]int, world.Len())}
}

func (b *burden) add(t *trip) {
	if !t.ok {
		return
	}
	b.routes.add(t)
	b.roots[t.to()]++
	for i := 1; i < t.hops(); i++ {
		b.relayed[t.path[i]]++
	}
}

// topNodes is how many of the most loaded nodes a report names.
const topNodes = 10

func (b *burden) load() Load {
	m := b.routes
	l := Load{MeanHops: m.meanHops(), MaxHops: max(0, len(m.byHops)-1), Delay: m.delay.mean()}
	both := make([]int, len(b.roots))
	for i := range both {
		both[i] = b.roots[i] + b.relayed[i]
	}
	l.TopRoots, l.RootCurve = b.spread(b.roots)
	l.TopRelays, l.RelayCurve = b.spread(b.relayed)
	l.TopRoot, l.TopRelay = l.TopRoots[0], l.TopRelays[0]
	l.TopBoth = share(slices.Max(both), m.arrivals)
	return l
}

// spread returns the share of lookups that the most loaded active nodes had to
// do with, the most loaded first, and how the load spreads over all.
func (b *burden) spread(count []int) (top, curve []float64) {
	var loads []int
	total := 0
	for _, i := range b.world.Actives() {
		loads = append(loads, count[i])
		total += count[i]
	}
	slices.SortFunc(loads, func(a, b int) int { return b - a })
	for _, n := range loads[:min(topNodes, len(loads))] {
		top = append(top, share(n, b.routes.arrivals))
	}
	const steps = 20
	sum, next := 0, 0
	for step := range steps + 1 {
		for ; next < len(loads)*step/steps; next++ {
			sum += loads[next]
		}
		curve = append(curve, share(sum, total))
	}
	return top, curve
}

// Rows returns the report as a table.
func (r *SkewReport) Rows() []Row {
	rows := []Row{
		{"lookups, of either kind", fmt.Sprint(r.Lookups), ""},
		{"lost", fmt.Sprint(r.Lost), ""},
		{"delivered by the wrong node", fmt.Sprint(r.Wrong), ""},
		{"skewed lookups that are of one key", percent(r.TopKey), ""},
	}
	for _, kind := range []struct {
		name string
		l    *Load
	}{{"skewed", &r.Skewed}, {"uniform", &r.Uniform}} {
		l := kind.l
		rows = append(rows,
			Row{kind.name + ": hops, mean", fmt.Sprintf("%.3f", l.MeanHops), ""},
			Row{kind.name + ": hops, most", fmt.Sprint(l.MaxHops), ""},
			Row{kind.name + ": delay until delivery, mean", fmt.Sprintf("%.1f ms", l.Delay), ""},
			Row{kind.name + ": answered by the most loaded root", percent(l.TopRoot), ""},
			Row{kind.name + ": passed through the most loaded relay", percent(l.TopRelay), ""},
			Row{kind.name + ": either, at one node", percent(l.TopBoth), ""},
			Row{kind.name + ": answered by the most loaded 5 % of nodes", percent(l.RootCurve[1]), ""},
			Row{kind.name + ": relaying done by the most loaded 5 % of nodes", percent(l.RelayCurve[1]), ""})
	}
	return append(rows, remarks("problem", r.Problems)...)
}
