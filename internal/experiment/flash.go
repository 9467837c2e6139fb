package experiment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"
)

var flashExperiment = Experiment{
	Name:  "flash",
	Short: "thousands of nodes join at once",
	Long: `A ring of -nodes into which -joiners new nodes join within -within, each at a
random moment through a random member, while lookups go on at -rate. Measured are
the times until each is active and until every leaf set of the ring is exact, and
what becomes of the lookups meanwhile. They go on until a minute after that.`,
	New:     func() Run { return newFlash() },
	Blank:   func() Report { return new(FlashReport) },
	Figures: flashFigures,
}

// Flash is a flash crowd.
type Flash struct {
	Unrest
	Joiners int
	Within  time.Duration
	Rate    float64 // lookups a second and active node
	Limit   time.Duration
}

func newFlash() *Flash {
	return &Flash{Unrest: newUnrest(5000), Joiners: 5000, Within: time.Minute, Rate: 0.01, Limit: 15 * time.Minute}
}

// Flags adds a flag for every parameter.
func (f *Flash) Flags(fs *pflag.FlagSet) {
	f.Unrest.Flags(fs)
	fs.IntVar(&f.Joiners, "joiners", f.Joiners, "nodes that join")
	fs.DurationVar(&f.Within, "within", f.Within, "time within which they begin to join")
	fs.Float64Var(&f.Rate, "rate", f.Rate, "lookups a second and active node")
	fs.DurationVar(&f.Limit, "limit", f.Limit, "virtual time after which the ring is no longer waited for")
}

// Check returns an error that names every bad parameter.
func (f *Flash) Check() error {
	return refuse(append(f.Unrest.faults(), gripes(
		atLeast("joiners", f.Joiners, 1),
		f.tooMany("-nodes and -joiners", f.Joiners),
		gripe(f.Within >= 0, "-within is %v, must not be negative", f.Within),
		rateFault(f.Rate),
		gripe(f.Limit >= f.Within, "-limit is %v, must be at least -within, %v", f.Limit, f.Within),
	)...))
}

// FlashReport is what the flash experiment measured.
type FlashReport struct {
	Header
	Loss    float64   `json:"packet_loss"`
	Joiners int       `json:"joiners"`
	Within  float64   `json:"within_seconds"`
	Active  int       `json:"active"`        // nodes at the end
	Last    float64   `json:"last_seconds"`  // from the first node's arrival until the last was active
	Exact   float64   `json:"exact_seconds"` // and until every leaf set was exact; -1 if never
	Reached []float64 `json:"join_seconds"`  // by percent of the joiners: 0, 1, … 100
	Lookups           // sent until the ring was exact
	Calm
	Coming
	Traffic
}

// Run blocks until the ring is exact, or the limit is over, and the last lookup's
// fate is known.
func (f *Flash) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	p.Expect(f.buildCost(), f.joinCost(f.Joiners), 0, f.restCost(2*time.Minute))
	s, err := f.open(ctx, p, f.Check())
	if err != nil {
		return nil, err
	}
	pop := s.populate(f.Seed, 1, 0, func(int) {}) // whoever comes stays
	r := &FlashReport{Loss: f.Loss, Joiners: f.Joiners, Within: f.Within.Seconds()}
	if err := f.crowd(ctx, p, s, pop, r); err != nil {
		return nil, err
	}
	r.Header, r.Coming, r.Active = f.header("flash", s.world, began), pop.take(), s.world.CountActive()
	for percent := range 101 {
		r.Reached = append(r.Reached, rank(pop.took, float64(percent)/100).Seconds())
	}
	return r, nil
}

// crowd lets the joiners in and waits for them.
func (f *Flash) crowd(ctx context.Context, p *Progress, s *stage, pop *population, r *FlashReport) error {
	start := s.world.Now()
	over := false
	s.ledger.feed(f.Rate, func() bool { return !over })
	for range f.Joiners {
		s.world.After(time.Duration(pop.rng.Int64N(int64(f.Within)+1)), func() { pop.arrive() })
	}
	p.Stage(fmt.Sprintf("%d nodes join within %v", f.Joiners, f.Within))
	all := func() bool { return pop.counts.Joined == f.Joiners }
	share := func() float64 { return float64(pop.counts.Joined) / float64(f.Joiners) }
	if err := letStep(ctx, s.world, exactStep, s.meter.sample, f.Limit, all, p, share); err != nil {
		return err
	}
	r.Last = (pop.lastActive - start).Seconds()
	p.Stage("the ring becomes exact")
	if err := letStep(ctx, s.world, exactStep, s.meter.sample, start+f.Limit-s.world.Now(), s.world.Exact, p, nil); err != nil {
		return err
	}
	if r.Exact = -1; all() && s.world.Exact() {
		r.Exact = (s.world.Now() - start).Seconds()
	}
	r.Traffic = s.meter.take()
	var err error
	r.Lookups, r.Calm, err = s.end(ctx, p, &over)
	return err
}

// Rows returns the report as a table.
func (r *FlashReport) Rows() []Row {
	exact := "never"
	if r.Exact >= 0 {
		exact = fmt.Sprintf("%.1f s", r.Exact)
	}
	rows := []Row{
		{Name: "joiners", Value: fmt.Sprintf("%d within %v", r.Joiners, seconds(r.Within))},
		{Name: "active in the end", Value: fmt.Sprintf("%d of %d", r.Active, r.Nodes+r.Joiners)},
		{Name: "last one active after", Value: fmt.Sprintf("%.1f s", r.Last)},
		{Name: "ring exact after", Value: exact},
	}
	rows = append(rows, r.Coming.rows()...)
	return slices.Concat(rows, r.Lookups.rows(), r.Calm.rows(), r.Traffic.rows(""), r.Lookups.remarks())
}

// flashFigures draws the distribution of the time to join.
func flashFigures(reports []Report) []Figure {
	f := Figure{Name: "flash", Title: "Time to join in a flash crowd", X: "seconds", Y: "share of joiners"}
	own := apart(reports, "nodes", "joiners", "within", "perfect")
	for _, r := range reportsOf[*FlashReport](reports) {
		s := Series{Name: r.named(fmt.Sprintf("%d join %d within %v%s", r.Joiners, r.Nodes, seconds(r.Within), own(r.Head()))), Style: Step}
		for percent, t := range r.Reached {
			s.Points = append(s.Points, Point{t, float64(percent) / 100})
		}
		f.Series = append(f.Series, s)
	}
	return []Figure{f}
}
