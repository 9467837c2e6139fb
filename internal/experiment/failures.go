package experiment

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

var failuresExperiment = Experiment{
	Name:  "failures",
	Short: "a share of the nodes falls silent at one instant",
	Long: `A share of all nodes crashes at one instant, without a word to anybody. Lookups of
random keys by live nodes are measured three times: before, all at the very instant
of the crash, so that each starts with nothing repaired, and after a time for
repair. Hops are those of the path that delivered. Measured besides are how long
it takes until all leaf sets are exact again, and what the repair costs: packets of
probes and warnings sent in the time for repair, less those that the same nodes
sent in the equally long time after it with as many lookups, for each node that
failed. Nodes that have been at rest for longer probe less, so that this is rather
too much than too little. A call is a packet that asks or tells, its answer left
out, to compare with the remote procedure calls of the paper.

Held against Rowstron and Druschel (2001), section 3.4.`,
	New:     func() Run { return newFailures() },
	Blank:   func() Report { return new(FailuresReport) },
	Figures: failuresFigures,
}

// Failures is the experiment on many nodes that crash at once.
type Failures struct {
	Static
	Fail   float64
	Repair time.Duration
}

func newFailures() *Failures {
	f := &Failures{Static: newStatic(), Fail: .1, Repair: 2 * time.Minute}
	f.Nodes = 5000
	return f
}

// Flags adds a flag for every parameter.
func (f *Failures) Flags(fs *pflag.FlagSet) {
	f.Static.Flags(fs)
	fs.Float64Var(&f.Fail, "fail", f.Fail, "share of the nodes that crash")
	fs.DurationVar(&f.Repair, "repair", f.Repair, "virtual time from the crash to the lookups after repair")
}

// Check returns an error that names every bad parameter.
func (f *Failures) Check() error {
	return refuse(append(f.Static.faults(), gripes(
		gripe(f.Fail > 0 && f.Fail < 1, "-fail is %g, must be more than 0 and less than 1", f.Fail),
		gripe(f.failed() >= 1 || f.Fail <= 0, "-fail is %g, must be at least one of the %d nodes", f.Fail, f.Nodes),
		gripe(f.Nodes-f.failed() >= 2, "-fail is %g, must leave at least 2 of the %d nodes", f.Fail, f.Nodes),
		atLeast("repair", f.Repair, 10*time.Second),
	)...))
}

// failed returns how many nodes crash.
func (f *Failures) failed() int { return int(math.Round(f.Fail * float64(f.Nodes))) }

// FailuresReport is what Failures measures. Shares are of 1.
type FailuresReport struct {
	Header
	Coordinates bool     `json:"coordinates"`
	Fail        float64  `json:"fail"`
	Failed      int      `json:"failed"`
	Lookups     int      `json:"lookups"` // in each phase
	Lost        int      `json:"lost"`
	Wrong       int      `json:"wrong"`
	Problems    []string `json:"problems,omitempty"`

	HopsBefore          float64 `json:"mean_hops_before"`
	HopsUnrepaired      float64 `json:"mean_hops_unrepaired"`
	HopsRepaired        float64 `json:"mean_hops_repaired"`
	MaxHopsBefore       int     `json:"max_hops_before"`
	MaxHopsUnrepaired   int     `json:"max_hops_unrepaired"`
	MaxHopsRepaired     int     `json:"max_hops_repaired"`
	DeliveredBefore     float64 `json:"delivered_before"`
	DeliveredUnrepaired float64 `json:"delivered_unrepaired"`
	DeliveredRepaired   float64 `json:"delivered_repaired"`

	// Milliseconds until delivery at 0, 5 and so on to 100 % of the lookups.
	DelaysBefore     []float64 `json:"delays_before_ms"`
	DelaysUnrepaired []float64 `json:"delays_unrepaired_ms"`
	DelaysRepaired   []float64 `json:"delays_repaired_ms"`
	P99Before        float64   `json:"delay_p99_before_ms"`
	P99Unrepaired    float64   `json:"delay_p99_unrepaired_ms"`
	P99Repaired      float64   `json:"delay_p99_repaired_ms"`

	ExactAfter  float64 `json:"leaf_sets_exact_after_s"` // from the crash; -1 if not within the time for repair
	Calls       float64 `json:"calls_per_failed"`        // packets that ask or tell
	Probes      float64 `json:"probes_per_failed"`       // of these, probes
	Warnings    float64 `json:"warnings_per_failed"`     // of these, word of who is dead
	Answered    float64 `json:"answered_per_failed"`     // of the calls, those that a live node answers
	Packets     float64 `json:"packets_per_failed"`      // of repair, answers included
	Holders     float64 `json:"holders_per_failed"`      // live nodes that had it in a table, the neighborhood set included
	LeafHolders float64 `json:"leaf_holders_per_failed"` // of these, in the leaf set
	DeadInTable float64 `json:"dead_entries_left"`       // entries a live node holds for the dead at the end, spares included
	NoEntry     float64 `json:"no_entry_repaired"`       // share of the lookups after repair that met a missing entry
}

// phase is how the lookups of one part of the experiment fared.
type phase struct {
	*mileage
	lost int
}

// Run builds the ring, crashes some of it, and sends lookups before, at and
// after that.
func (f *Failures) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	send, mend := f.sendCost(0), f.restCost(f.Repair)
	t, err := f.open(ctx, p, f.Check(), send, mend, send, 2*mend, send, mend)
	if err != nil {
		return nil, err
	}
	world := t.world
	r := &FailuresReport{Coordinates: f.Coordinates, Fail: f.Fail, Failed: f.failed(), Lookups: f.Lookups}
	before, err := f.burst(t, p, "before the crash")
	if err != nil {
		return nil, err
	}

	live, err := f.crash(ctx, world)
	if err != nil {
		return nil, err
	}
	r.countHolders(world, live)
	crashing := upkeepSent(world, live)
	crashed := world.Now()
	r.ExactAfter = -1
	watchExact(world, crashed, f.Repair, &r.ExactAfter)
	unrepaired, err := f.burst(t, p, "at the crash")
	if err != nil {
		return nil, err
	}
	mended := upkeepSent(world, live)
	spent := mended.less(crashing)

	repaired, err := f.burst(t, p, "after repair")
	if err != nil {
		return nil, err
	}
	idle := upkeepSent(world, live).less(mended)
	r.fill(&before, &unrepaired, &repaired)
	extra := func(spent, idle uint64) float64 { return (float64(spent) - float64(idle)) / float64(r.Failed) }
	r.Calls, r.Packets = extra(spent.calls, idle.calls), extra(spent.packets, idle.packets)
	r.Answered = r.Packets - r.Calls
	r.Probes, r.Warnings = extra(spent.probes, idle.probes), extra(spent.warnings, idle.warnings)
	r.DeadInTable = deadEntries(world, live)
	r.Lost, r.Wrong, r.Problems = t.lost, t.wrong, t.problems
	r.Header = f.header("failures", world, began)
	return r, nil
}

// burst sends all lookups of a phase at one instant and lets the time for repair
// pass.
func (f *Failures) burst(t *trips, p *Progress, when string) (phase, error) {
	m := newMileage(t.world)
	lost := t.lost
	t.ended = m.add
	end := t.world.Now() + f.Repair
	if err := t.send(p, fmt.Sprintf("%d lookups %s", f.Lookups, when), f.Lookups, 0, t.toKey); err != nil {
		return phase{}, err
	}
	err := rest(t.ctx, p, t.world, "the time for repair passes", max(0, end-t.world.Now()))
	return phase{m, t.lost - lost}, err
}

// crash stops random nodes, and returns those that are left.
func (f *Failures) crash(ctx context.Context, world *sim.Sim) ([]int, error) {
	for range f.failed() {
		world.Crash(world.RandomActive())
	}
	return world.Actives(), ctx.Err()
}

// countHolders finds out how many live nodes knew a dead one, and so have something
// to repair.
func (r *FailuresReport) countHolders(world *sim.Sim, live []int) {
	holders, leaves := 0, 0
	for _, i := range live {
		n := world.Node(i)
		held := n.Leaves().AppendMembers(nil)
		inLeaves := len(held)
		held = n.Neighborhood().AppendMembers(n.Table().AppendAll(held))
		seen := make(map[pastry.PeerID]bool, len(held))
		for k, c := range held {
			if seen[c.Peer] || world.Up(world.Index(c.Peer)) {
				continue
			}
			seen[c.Peer] = true
			holders++
			if k < inLeaves {
				leaves++
			}
		}
	}
	r.Holders, r.LeafHolders = share(holders, r.Failed), share(leaves, r.Failed)
}

// watchExact looks ten times a second whether all leaf sets are exact, and sets
// after to the seconds since the crash at which they first are.
func watchExact(world *sim.Sim, crashed, limit time.Duration, after *float64) {
	var look func()
	look = func() {
		switch {
		case world.Exact():
			*after = (world.Now() - crashed).Seconds()
		case world.Now()-crashed+exactStep <= limit:
			world.After(exactStep, look)
		}
	}
	world.After(0, look)
}

// upkeepCount is how many packets of upkeep nodes have sent: all but messages, their
// answers and acknowledgements.
type upkeepCount struct {
	calls    uint64 // that ask or tell
	probes   uint64 // of these
	warnings uint64 // of these
	packets  uint64 // answers included
}

func (u upkeepCount) less(v upkeepCount) upkeepCount {
	return upkeepCount{u.calls - v.calls, u.probes - v.probes, u.warnings - v.warnings, u.packets - v.packets}
}

// upkeepSent adds up what some nodes have sent since they were made; nil stands
// for all.
func upkeepSent(world *sim.Sim, nodes []int) (u upkeepCount) {
	if nodes == nil {
		nodes = world.Actives()
	}
	for _, i := range nodes {
		sent := world.Node(i).Stats().Sent
		u.probes += sent[pastry.KindProbe]
		u.warnings += sent[pastry.KindSuspect]
		for kind, n := range sent {
			switch pastry.Kind(kind) {
			case pastry.KindRoute, pastry.KindReply, pastry.KindAck:
			case pastry.KindProbeReply, pastry.KindGrantReply:
				u.packets += n
			default:
				u.calls, u.packets = u.calls+n, u.packets+n
			}
		}
	}
	return u
}

// deadEntries returns how many dead nodes a live one has in its table, on
// average.
func deadEntries(world *sim.Sim, live []int) float64 {
	var all []*pastry.Contact
	dead := 0
	for _, i := range live {
		all = world.Node(i).Table().AppendAll(all[:0])
		for _, c := range all {
			if !world.Up(world.Index(c.Peer)) {
				dead++
			}
		}
	}
	return share(dead, len(live))
}

// fill writes the three phases into the report.
func (r *FailuresReport) fill(before, unrepaired, repaired *phase) {
	for _, x := range []struct {
		of        *phase
		hops      *float64
		most      *int
		delivered *float64
		delays    *[]float64
		p99       *float64
	}{
		{before, &r.HopsBefore, &r.MaxHopsBefore, &r.DeliveredBefore, &r.DelaysBefore, &r.P99Before},
		{unrepaired, &r.HopsUnrepaired, &r.MaxHopsUnrepaired, &r.DeliveredUnrepaired, &r.DelaysUnrepaired, &r.P99Unrepaired},
		{repaired, &r.HopsRepaired, &r.MaxHopsRepaired, &r.DeliveredRepaired, &r.DelaysRepaired, &r.P99Repaired},
	} {
		m := x.of.mileage
		*x.hops, *x.most = m.meanHops(), max(0, len(m.byHops)-1)
		*x.delivered = share(m.arrivals, m.arrivals+x.of.lost)
		const steps = 20
		for step := range steps + 1 {
			*x.delays = append(*x.delays, m.delay.quantile(float64(step)/steps))
		}
		*x.p99 = m.delay.quantile(.99)
	}
	r.NoEntry = share(repaired.gaps, repaired.arrivals)
}

// Rows returns the report as a table.
func (r *FailuresReport) Rows() []Row {
	paper := func(v float64) string {
		if r.Nodes != 5000 || r.Fail != .1 || r.DigitBits != 4 || r.LeafSet != 16 || r.Topology != "plane" {
			return ""
		}
		return fmt.Sprintf("%.4g", v)
	}
	rows := []Row{
		{"nodes that crash at once", fmt.Sprintf("%d, %s", r.Failed, percent(r.Fail)), ""},
		{"lookups in each phase", fmt.Sprint(r.Lookups), ""},
		{"lost", fmt.Sprint(r.Lost), ""},
		{"delivered by the wrong node", fmt.Sprint(r.Wrong), ""},
	}
	for _, x := range []struct {
		name      string
		hops      float64
		paper     float64
		most      int
		delivered float64
		delays    []float64
		p99       float64
	}{
		{"before", r.HopsBefore, paperHopsBefore, r.MaxHopsBefore, r.DeliveredBefore, r.DelaysBefore, r.P99Before},
		{"unrepaired", r.HopsUnrepaired, paperHopsUnrepaired, r.MaxHopsUnrepaired, r.DeliveredUnrepaired, r.DelaysUnrepaired, r.P99Unrepaired},
		{"repaired", r.HopsRepaired, paperHopsRepaired, r.MaxHopsRepaired, r.DeliveredRepaired, r.DelaysRepaired, r.P99Repaired},
	} {
		n := len(x.delays) - 1
		rows = append(rows,
			Row{x.name + ": hops, mean", fmt.Sprintf("%.3f", x.hops), paper(x.paper)},
			Row{x.name + ": hops, most", fmt.Sprint(x.most), ""},
			Row{x.name + ": delivered", percent(x.delivered), ""},
			Row{x.name + ": delay until delivery, p50 / p90 / p99 / most", fmt.Sprintf("%.0f / %.0f / %.0f / %.0f ms", x.delays[n/2], x.delays[n*9/10], x.p99, x.delays[n]), ""})
	}
	exact := fmt.Sprintf("%.1f s", r.ExactAfter)
	if r.ExactAfter < 0 {
		exact = "not within the time for repair"
	}
	rows = append(rows,
		Row{"leaf sets exact again after", exact, ""},
		Row{"calls for repair, a failed node", fmt.Sprintf("%.1f", r.Calls), paper(paperRepairCalls)},
		Row{"  of these, probes", fmt.Sprintf("%.1f", r.Probes), ""},
		Row{"  of these, word of who is dead", fmt.Sprintf("%.1f", r.Warnings), ""},
		Row{"  of these, answered", fmt.Sprintf("%.1f", r.Answered), ""},
		Row{"packets for repair, a failed node", fmt.Sprintf("%.1f", r.Packets), ""},
		Row{"live nodes that had a failed node in a table", fmt.Sprintf("%.1f", r.Holders), ""},
		Row{"  of these, in the leaf set", fmt.Sprintf("%.1f", r.LeafHolders), ""},
		Row{"dead nodes left in a routing table", fmt.Sprintf("%.2f", r.DeadInTable), ""},
		Row{"repaired: lookups that met a missing table entry", percent(r.NoEntry), ""})
	return append(rows, remarks("problem", r.Problems)...)
}
