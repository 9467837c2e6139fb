package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/sim"
)

var hopsExperiment = Experiment{
	Name:  "hops",
	Short: "hops, stretch and delay of lookups in a ring at rest",
	Long: `Nodes build a ring, and lookups go through it, each from a random node to another
("node to node"), or with -keys to the root of a random key; the two differ by
about 0.2 hops. Measured are the hops, the length of the route over the direct
distance (the links of the path that was taken, waiting left out), the delay, the
share of lookups that meet a missing entry of a routing table, and how good the
tables are: whether an entry holds the nearest of all nodes that fit it.

Held against Rowstron and Druschel (2001), sections 3.1 and 3.2.`,
	New:     func() Run { return newHops() },
	Blank:   func() Report { return new(HopsReport) },
	Figures: hopsFigures,
}

// Hops is the experiment on routes in a ring at rest.
type Hops struct {
	Static
	Keys bool // to random keys rather than to nodes
}

func newHops() *Hops { return &Hops{Static: newStatic()} }

// Flags adds a flag for every parameter.
func (h *Hops) Flags(fs *pflag.FlagSet) {
	h.Static.Flags(fs)
	fs.BoolVar(&h.Keys, "keys", h.Keys, "look up random keys instead of nodes")
}

// HopsReport is what Hops measures. Shares are of 1.
type HopsReport struct {
	Header
	Coordinates    bool      `json:"coordinates"`
	Target         string    `json:"target"` // "nodes" or "keys"
	Lookups        int       `json:"lookups"`
	Lost           int       `json:"lost"`
	Wrong          int       `json:"wrong"`
	Problems       []string  `json:"problems,omitempty"`
	MeanHops       float64   `json:"mean_hops"`
	MaxHops        int       `json:"max_hops"`
	Distribution   []float64 `json:"distribution"`      // share of lookups by hops, from none
	Stretch        float64   `json:"stretch"`           // of all routes together over all direct distances together
	MeanStretch    float64   `json:"mean_stretch"`      // of single lookups
	MedianStretch  float64   `json:"median_stretch"`    // of single lookups
	DelayStretch   float64   `json:"delay_stretch"`     // as Stretch, of the time until delivery
	HopLengths     []float64 `json:"hop_lengths_ms"`    // mean delay of the first link, of the second and so on
	Direct         float64   `json:"direct_mean_ms"`    // one way
	Delay          float64   `json:"delay_mean_ms"`     // until delivery
	DelayP50       float64   `json:"delay_p50_ms"`      //
	DelayP90       float64   `json:"delay_p90_ms"`      //
	DelayP99       float64   `json:"delay_p99_ms"`      //
	NoEntry        float64   `json:"no_entry"`          // share of lookups that met a missing table entry
	TableNodes     int       `json:"table_nodes"`       // whose tables were looked at
	EntryNearest   float64   `json:"entry_nearest"`     // share of entries that hold the nearest node that fits
	EntryMissing   float64   `json:"entry_missing"`     // share of entries that are empty though a node fits
	EntryRatio     float64   `json:"entry_delay_ratio"` // delay to those in the entries over that to the nearest that fit
	SuboptimalARow float64   `json:"suboptimal_a_row"`  // entries a row that are empty or hold another than the nearest
}

// Check returns an error that names every bad parameter.
func (h *Hops) Check() error { return refuse(h.faults()) }

// Run builds the ring, sends the lookups, and looks at the tables.
func (h *Hops) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	t, err := h.open(ctx, p, h.Check(), h.sendCost(h.gap()))
	if err != nil {
		return nil, err
	}
	r := &HopsReport{Coordinates: h.Coordinates, Target: "nodes", Lookups: h.Lookups}
	world, m := t.world, newMileage(t.world)
	t.ended = m.add
	draw := t.toNode
	if h.Keys {
		r.Target, draw = "keys", t.toKey
	}
	if err := t.send(p, fmt.Sprintf("%d lookups", h.Lookups), h.Lookups, h.gap(), draw); err != nil {
		return nil, err
	}
	r.Lost, r.Wrong, r.Problems = t.lost, t.wrong, t.problems
	m.report(r)
	if err := h.survey(ctx, p, world, r); err != nil {
		return nil, err
	}
	r.Header = h.header("hops", world, began)
	return r, nil
}

// mileage adds up the routes of lookups.
type mileage struct {
	world    *sim.Sim
	byHops   []int   // lookups
	lengths  []tally // of links in ms, by their number
	route    float64 // ms, all together
	direct   float64
	waited   float64 // until delivery
	stretch  tally
	delay    tally
	gaps     int // lookups that met a missing entry
	arrivals int
}

func newMileage(world *sim.Sim) *mileage { return &mileage{world: world} }

// add takes in a lookup that has ended.
func (m *mileage) add(t *trip) {
	if !t.ok {
		return
	}
	m.arrivals++
	for len(m.byHops) <= t.hops() {
		m.byHops = append(m.byHops, 0)
	}
	m.byHops[t.hops()]++
	for len(m.lengths) < t.hops() {
		m.lengths = append(m.lengths, nil)
	}
	for i := range t.hops() {
		m.lengths[i] = append(m.lengths[i], milliseconds(m.world.Direct(t.path[i], t.path[i+1])))
	}
	if meetsGap(m.world, t) {
		m.gaps++
	}
	m.delay = append(m.delay, milliseconds(t.took))
	if t.to() == t.from {
		return // as far as nothing
	}
	route, direct := milliseconds(t.length(m.world)), milliseconds(m.world.Direct(t.from, t.to()))
	m.route, m.direct, m.waited = m.route+route, m.direct+direct, m.waited+milliseconds(t.took)
	m.stretch = append(m.stretch, over(route, direct))
}

// meetsGap reports whether some node on the way of a lookup had neither the key
// in the range of its leaf set nor an entry for it, as far as the tables still
// are what they were.
func meetsGap(world *sim.Sim, t *trip) bool {
	for _, i := range t.path[:t.hops()] {
		n := world.Node(i)
		if !n.Leaves().Covers(t.msg.Key) && n.Table().Primary(t.msg.Key) == nil {
			return true
		}
	}
	return false
}

// meanHops returns the mean of the lookups so far.
func (m *mileage) meanHops() float64 {
	sum := 0
	for hops, lookups := range m.byHops {
		sum += hops * lookups
	}
	return share(sum, m.arrivals)
}

// distribution returns the share of lookups by hops.
func (m *mileage) distribution() []float64 {
	shares := make([]float64, len(m.byHops))
	for hops, lookups := range m.byHops {
		shares[hops] = share(lookups, m.arrivals)
	}
	return shares
}

// report writes the sums into a report.
func (m *mileage) report(r *HopsReport) {
	r.MeanHops, r.MaxHops, r.Distribution = m.meanHops(), max(0, len(m.byHops)-1), m.distribution()
	r.Stretch, r.DelayStretch = over(m.route, m.direct), over(m.waited, m.direct)
	r.MeanStretch, r.MedianStretch = m.stretch.mean(), m.stretch.quantile(.5)
	for _, l := range m.lengths {
		r.HopLengths = append(r.HopLengths, l.mean())
	}
	r.Direct = over(m.direct, float64(len(m.stretch)))
	r.Delay, r.DelayP50 = m.delay.mean(), m.delay.quantile(.5)
	r.DelayP90, r.DelayP99 = m.delay.quantile(.9), m.delay.quantile(.99)
	r.NoEntry = share(m.gaps, m.arrivals)
}

// Rows returns the report as a table.
func (r *HopsReport) Rows() []Row {
	paper := func(s string) string {
		if r.DigitBits != 4 || r.LeafSet != 16 || r.Target != "nodes" || r.Topology != "plane" {
			return ""
		}
		return s
	}
	most := ""
	if r.Nodes == 100_000 {
		most = "5"
	}
	gap := ""
	switch {
	case r.DigitBits == 4 && r.LeafSet == 16:
		gap = "under 2 %"
	case r.DigitBits == 4 && r.LeafSet == 32:
		gap = "under 0.6 %"
	}
	rows := []Row{
		{"lookups, from node to " + map[string]string{"nodes": "node", "keys": "random key"}[r.Target], fmt.Sprint(r.Lookups), paper("200000")},
		{"lost", fmt.Sprint(r.Lost), ""},
		{"delivered by the wrong node", fmt.Sprint(r.Wrong), ""},
		{"hops, mean", fmt.Sprintf("%.3f", r.MeanHops), paper(paperAt(paperHops, r.Nodes))},
		{"hops, most", fmt.Sprint(r.MaxHops), paper(most)},
	}
	for hops, s := range r.Distribution {
		rows = append(rows, Row{fmt.Sprintf("lookups of %d hops", hops), percent(s), paper(paperOfHops(r.Nodes, hops))})
	}
	rows = append(rows,
		Row{"route length over direct distance, all together", fmt.Sprintf("%.3f", r.Stretch), paper(paperAt(paperStretch, r.Nodes))},
		Row{"the same, mean of the lookups", fmt.Sprintf("%.3f", r.MeanStretch), ""},
		Row{"the same, median of the lookups", fmt.Sprintf("%.3f", r.MedianStretch), ""},
		Row{"delay over direct delay, all together", fmt.Sprintf("%.3f", r.DelayStretch), ""},
	)
	for i, l := range r.HopLengths {
		rows = append(rows, Row{fmt.Sprintf("delay of link %d", i+1), fmt.Sprintf("%.1f ms", l), ""})
	}
	rows = append(rows,
		Row{"direct delay, mean", fmt.Sprintf("%.1f ms", r.Direct), ""},
		Row{"delay until delivery, mean", fmt.Sprintf("%.1f ms", r.Delay), ""},
		Row{"delay until delivery, p50 / p90 / p99", fmt.Sprintf("%.1f / %.1f / %.1f ms", r.DelayP50, r.DelayP90, r.DelayP99), ""},
		Row{"lookups that met a missing table entry", percent(r.NoEntry), gap},
		Row{"table entries that hold the nearest node possible", percent(r.EntryNearest), ""},
		Row{"table entries that are empty though a node fits", percent(r.EntryMissing), ""},
		Row{"delay to table entries over the least possible", fmt.Sprintf("%.3f", r.EntryRatio), ""},
		Row{"table entries a row that are not the best possible", fmt.Sprintf("%.2f", r.SuboptimalARow), paper("under 1 at 5,000 nodes")},
	)
	return append(rows, remarks("problem", r.Problems)...)
}

// paperOfHops returns the paper's share of lookups with this many hops.
func paperOfHops(nodes, hops int) string {
	for _, p := range paperDistribution {
		if nodes == 100_000 && p.X == float64(hops) {
			return paperShare(p)
		}
	}
	return ""
}
