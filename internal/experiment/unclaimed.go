package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

// freepastryUnclaimed is how long a dead node's keys stay unclaimed at most in
// FreePastry.
const freepastryUnclaimed = 50 * time.Second

var unclaimedExperiment = Experiment{
	Name:  "unclaimed",
	Short: "how long the keys of a dead node have no root",
	Long: `In a quiet ring, -deaths random nodes fall silent, one after the other; each is
replaced by a new one. Measured is the time from the death until the keys of the
dead node have a root again. They fall to its two neighbours; each is measured by
the last key that falls to it, and both must claim theirs.

With -passive the ring is only looked at: the keys are claimed once both new roots,
asked in their heads, would deliver a message for theirs. No message helps to find
out, so that this is what heartbeats and probes alone achieve. Otherwise a message
for either key is sent from a random node every -every until one of them is
delivered by the new root; the keys are claimed when this is so of both.

The traffic is that of the whole time, deaths and joins included.

Held against FreePastry, where keys stay unclaimed for up to 50 seconds.`,
	New:     func() Run { return newUnclaimed() },
	Blank:   func() Report { return new(UnclaimedReport) },
	Figures: unclaimedFigures,
}

// Unclaimed is a ring in which one node after the other dies.
type Unclaimed struct {
	Unrest
	Deaths  int
	Passive bool
	Every   time.Duration
	Pause   time.Duration
}

func newUnclaimed() *Unclaimed {
	return &Unclaimed{Unrest: newUnrest(1000), Deaths: 200, Every: 100 * time.Millisecond, Pause: 15 * time.Second}
}

// Flags adds a flag for every parameter.
func (u *Unclaimed) Flags(fs *pflag.FlagSet) {
	u.Unrest.Flags(fs)
	fs.IntVar(&u.Deaths, "deaths", u.Deaths, "nodes that fall silent")
	fs.BoolVar(&u.Passive, "passive", u.Passive, "send no messages that would help to find the dead")
	fs.DurationVar(&u.Every, "every", u.Every, "time between two messages for the same key of a dead node")
	fs.DurationVar(&u.Pause, "pause", u.Pause, "virtual time from the claim of the keys to the next death, a quarter more or less")
}

// Check returns an error that names every bad parameter.
func (u *Unclaimed) Check() error {
	return refuse(append(u.Unrest.faults(), gripes(
		atLeast("deaths", u.Deaths, 1),
		atLeast("every", u.Every, time.Millisecond),
		atLeast("pause", u.Pause, time.Second),
	)...))
}

// UnclaimedReport is what the unclaimed experiment measured.
type UnclaimedReport struct {
	Header
	Loss      float64   `json:"packet_loss"`
	Deaths    int       `json:"deaths"`
	Passive   bool      `json:"passive"`
	Claimed   int       `json:"claimed"` // within a minute; the others count as a minute
	P50       float64   `json:"unclaimed_p50_seconds"`
	P90       float64   `json:"unclaimed_p90_seconds"`
	P99       float64   `json:"unclaimed_p99_seconds"`
	Max       float64   `json:"unclaimed_max_seconds"`
	ForgotP50 float64   `json:"forgotten_p50_seconds"` // until no leaf set has the dead node; passive only
	ForgotMax float64   `json:"forgotten_max_seconds"`
	Times     []float64 `json:"unclaimed_seconds"` // of every death, ascending
	Lookups
	Traffic
}

// unclaimedLimit is how long a claim is waited for.
const unclaimedLimit = time.Minute

// Run blocks until every death was claimed.
func (u *Unclaimed) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	p.Expect(u.buildCost(), u.restCost(time.Minute), float64(u.Deaths)*u.restCost(u.Pause))
	s, err := u.open(ctx, p, u.Check())
	if err != nil {
		return nil, err
	}
	d := &deaths{Unclaimed: u, stage: s, rng: rand.New(rand.NewPCG(u.Seed, 0xdead))}
	if err := rest(ctx, p, s.world, "the ring settles", time.Minute); err != nil {
		return nil, err
	}
	d.meter.restart()
	p.Stage(fmt.Sprintf("%d nodes die, one after the other", u.Deaths))
	for i := range u.Deaths {
		if err := d.next(ctx); err != nil {
			return nil, err
		}
		p.Done(float64(i+1) / float64(u.Deaths))
	}
	traffic := d.meter.take()
	if err := d.wait(ctx, nil); err != nil {
		return nil, err
	}
	return d.report(u.header("unclaimed", s.world, began), traffic), nil
}

// deaths is a run of the experiment.
type deaths struct {
	*Unclaimed
	*stage
	rng       *rand.Rand
	claimed   int
	times     []time.Duration
	forgotten []time.Duration
}

// next lets a node die, waits until its keys are claimed, and replaces it.
func (d *deaths) next(ctx context.Context) error {
	dead := d.world.RandomActive()
	id, died := d.world.ID(dead), d.world.Now()
	holders, keys := d.holders(dead), d.parted(dead)
	d.world.Crash(dead)
	claimed := d.watch(keys)
	took, forgot := unclaimedLimit, unclaimedLimit
	for d.world.Now()-died < unclaimedLimit && (took == unclaimedLimit || d.Passive && forgot == unclaimedLimit) {
		if err := ctx.Err(); err != nil {
			return err
		}
		d.run(10 * time.Millisecond)
		since := d.world.Now() - died
		if took == unclaimedLimit && claimed() {
			took = since
			d.claimed++
		}
		if d.Passive && forgot == unclaimedLimit && d.forgot(holders, id) {
			forgot = since
		}
	}
	d.ledger.told = func(_ *lookup, at sim.Delivery, _ bool) { d.meter.hops += at.Hops }
	d.times, d.forgotten = append(d.times, took), append(d.forgotten, forgot)
	d.replace()
	return nil
}

// run lets time pass, which the meter samples.
func (d *deaths) run(t time.Duration) {
	d.world.Run(t)
	d.meter.sample(t)
}

// holders returns the nodes that have a node in their leaf sets.
func (d *deaths) holders(i int) []int {
	var is []int
	id := d.world.ID(i)
	for _, j := range d.world.Closest(id, 2*d.LeafSet+2) {
		if j != i && d.world.Node(j).Leaves().Get(id) != nil {
			is = append(is, j)
		}
	}
	return is
}

func (d *deaths) forgot(holders []int, id ring.ID) bool {
	return !slices.ContainsFunc(holders, func(j int) bool {
		return d.world.Active(j) && d.world.Node(j).Leaves().Get(id) != nil
	})
}

// parted returns two keys of a node that have different roots without it, just
// below and just above the midpoint between its neighbours. That is always in the
// node's range, which leads from the midpoint to the one to that to the other.
func (d *deaths) parted(i int) (keys [2]ring.ID) {
	id := d.world.ID(i)
	var others []ring.ID
	for _, j := range d.world.Actives() {
		if j != i {
			others = append(others, d.world.ID(j))
		}
	}
	below := slices.MinFunc(others, func(a, b ring.ID) int { return ring.Clockwise(a, id).Compare(ring.Clockwise(b, id)) })
	above := slices.MinFunc(others, func(a, b ring.ID) int { return ring.Clockwise(id, a).Compare(ring.Clockwise(id, b)) })
	mid, one := below.Add(ring.Clockwise(below, above).Half()), ring.FromUint64s(0, 1)
	return [2]ring.ID{mid.Sub(one), mid.Add(one)}
}

// watch returns a function that reports whether the new roots of two keys of a node
// that has just died have claimed them.
func (d *deaths) watch(keys [2]ring.ID) (claimed func() bool) {
	if d.Passive {
		return func() bool { return d.claims(keys[0]) && d.claims(keys[1]) }
	}
	var delivered [2]bool
	d.ledger.told = func(lk *lookup, at sim.Delivery, right bool) {
		d.meter.hops += at.Hops
		for i, key := range keys {
			delivered[i] = delivered[i] || right && lk.key == key
		}
	}
	for i, key := range keys {
		d.ask(key, func() bool { return delivered[i] })
	}
	return func() bool { return delivered[0] && delivered[1] }
}

// claims reports whether the root of a key holds itself for it.
func (d *deaths) claims(key ring.ID) bool {
	_, other := d.world.Node(d.world.Root(key)).NextHop(key, nil)
	return !other
}

// ask sends messages for a key until done returns true.
func (d *deaths) ask(key ring.ID, done func() bool) {
	if done() {
		return
	}
	d.ledger.send(d.world.RandomActive(), key)
	d.world.After(d.Every, func() { d.ask(key, done) })
}

// replace lets a new node join and the ring come to rest. The pause has no fixed
// length, so that deaths come at any time between two heartbeats.
func (d *deaths) replace() {
	i := d.world.Add()
	d.world.Join(i, d.world.RandomActive())
	pause := d.Pause*3/4 + time.Duration(d.rng.Int64N(int64(d.Pause/2)))
	for end := d.world.Now() + pause; d.world.Now() < end; {
		d.run(min(time.Second, end-d.world.Now()))
	}
}

func (d *deaths) report(h Header, t Traffic) *UnclaimedReport {
	slices.Sort(d.times)
	slices.Sort(d.forgotten)
	r := &UnclaimedReport{
		Header: h, Loss: d.Loss, Deaths: d.Deaths, Passive: d.Passive, Claimed: d.claimed,
		P50: rank(d.times, 0.5).Seconds(), P90: rank(d.times, 0.9).Seconds(),
		P99: rank(d.times, 0.99).Seconds(), Max: rank(d.times, 1).Seconds(),
		Lookups: d.ledger.account(d.ledger.book), Traffic: t,
	}
	if d.Passive {
		r.ForgotP50, r.ForgotMax = rank(d.forgotten, 0.5).Seconds(), rank(d.forgotten, 1).Seconds()
	}
	for _, t := range d.times {
		r.Times = append(r.Times, t.Seconds())
	}
	return r
}

// Rows returns the report as a table.
func (r *UnclaimedReport) Rows() []Row {
	how := "by messages for the keys"
	if r.Passive {
		how = "by heartbeats and probes alone"
	}
	rows := []Row{
		{Name: "deaths", Value: fmt.Sprintf("%d, %d claimed within %v", r.Deaths, r.Claimed, unclaimedLimit)},
		{Name: "found", Value: how},
		{Name: "keys unclaimed p50, p90, p99", Value: fmt.Sprintf("%.2f, %.2f, %.2f s", r.P50, r.P90, r.P99)},
		{Name: "keys unclaimed at most", Value: fmt.Sprintf("%.2f s", r.Max), Paper: fmt.Sprintf("%v (FreePastry)", freepastryUnclaimed)},
	}
	if r.Passive {
		rows = append(rows, Row{Name: "in some leaf set p50, most", Value: fmt.Sprintf("%.2f, %.2f s", r.ForgotP50, r.ForgotMax)})
	} else {
		rows = append(rows, r.Lookups.rows()...)
	}
	return slices.Concat(rows, r.Traffic.rows(""), r.Lookups.remarks())
}

// unclaimedFigures draws the distribution of the times.
func unclaimedFigures(reports []Report) []Figure {
	f := Figure{
		Name: "unclaimed", Title: "Time until a dead node's keys have a root again",
		X: "seconds", Y: "share of deaths",
		Series: []Series{{Name: "FreePastry, at most", Paper: true, Points: []Point{{freepastryUnclaimed.Seconds(), 0}, {freepastryUnclaimed.Seconds(), 1}}}},
	}
	own := apart(reports, "passive", "perfect")
	for _, r := range reportsOf[*UnclaimedReport](reports) {
		s := Series{Name: "with messages", Style: Step}
		if r.Passive {
			s.Name = "without messages"
		}
		s.Name = r.named(s.Name + own(r.Head()))
		for i, t := range r.Times {
			s.Points = append(s.Points, Point{t, float64(i+1) / float64(len(r.Times))})
		}
		f.Series = append(f.Series, s)
	}
	return []Figure{f}
}
