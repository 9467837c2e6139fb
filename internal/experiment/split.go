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

var splitExperiment = Experiment{
	Name:  "split",
	Short: "the network splits and heals",
	Long: `A ring of -nodes is split into -parts by the network for -for: random nodes, the
share -share in the first part and the rest evenly in the others. No packet
passes between parts. Then the network heals. Lookups go on at -rate all the
time. While the network is split, the root of a key is the closest member of the
origin's own part; from the instant of healing on, it is the closest of all.
Measured are the times until each part is an exact ring, and until all is one
again, and what becomes of the lookups sent while it is split, from the healing
until all is one, and in the minute after that.`,
	New:     func() Run { return newSplit() },
	Blank:   func() Report { return new(SplitReport) },
	Figures: splitFigures,
}

// Split is a network that splits and heals.
type Split struct {
	Unrest
	Parts int
	Share float64
	For   time.Duration
	Rate  float64 // lookups a second and active node
	Limit time.Duration
}

func newSplit() *Split {
	return &Split{Unrest: newUnrest(1000), Parts: 2, Share: 0.5, For: 10 * time.Minute, Rate: 0.01, Limit: 15 * time.Minute}
}

// Flags adds a flag for every parameter.
func (s *Split) Flags(fs *pflag.FlagSet) {
	s.Unrest.Flags(fs)
	fs.IntVar(&s.Parts, "parts", s.Parts, "parts of the network while it is split")
	fs.Float64Var(&s.Share, "share", s.Share, "share of the nodes in the first part")
	fs.DurationVar(&s.For, "for", s.For, "how long the network is split")
	fs.Float64Var(&s.Rate, "rate", s.Rate, "lookups a second and active node")
	fs.DurationVar(&s.Limit, "limit", s.Limit, "virtual time after the healing in which the ring is waited for")
}

// Check returns an error that names every bad parameter.
func (s *Split) Check() error {
	return refuse(append(s.Unrest.faults(), gripes(
		gripe(s.Parts >= 2 && s.Parts <= s.Nodes/4, "-parts is %d, must be 2 to a quarter of -nodes", s.Parts),
		gripe(s.Share > 0 && s.Share < 1, "-share is %g, must be between 0 and 1", s.Share),
		atLeast("for", s.For, time.Second),
		rateFault(s.Rate),
		atLeast("limit", s.Limit, time.Second),
	)...))
}

// SplitReport is what the split experiment measured. Lookups are told apart by when
// they were sent: while the network was split, after that, and when all was over.
type SplitReport struct {
	Header
	Loss         float64  `json:"packet_loss"`
	Parts        int      `json:"parts"`
	Sizes        []int    `json:"part_nodes"`
	For          float64  `json:"split_seconds"`
	PartsExact   float64  `json:"parts_exact_seconds"` // from the split until each part was an exact ring, -1 if never
	Merged       float64  `json:"merged_seconds"`      // from the healing until all was one exact ring, -1 if never
	LastWrong    float64  `json:"last_wrong_seconds"`  // after the healing, -1 if none was
	SplitSent    int      `json:"split_lookups"`
	SplitWrong   int      `json:"split_wrong"`
	SplitLost    int      `json:"split_lost"`
	SplitDelay99 float64  `json:"split_delay_p99_ms"`
	SplitMax     float64  `json:"split_delay_max_ms"`
	SplitTold    []string `json:"split_incidents,omitempty"`
	Lookups               // sent after the healing, until the ring was exact
	Calm
	Traffic // like the lookups
}

// Run blocks until the ring is exact again, or the limit is over, and the last
// lookup's fate is known.
func (s *Split) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	p.Expect(s.buildCost(), s.restCost(time.Minute), 2*s.restCost(s.For), s.restCost(time.Minute), s.restCost(2*time.Minute))
	stage, err := s.open(ctx, p, s.Check())
	if err != nil {
		return nil, err
	}
	t := &torn{Split: s, stage: stage}
	r := &SplitReport{Loss: s.Loss, Parts: s.Parts, For: s.For.Seconds()}
	if err := t.split(ctx, p, r); err != nil {
		return nil, err
	}
	if err := t.heal(ctx, p, r); err != nil {
		return nil, err
	}
	r.Header = s.header("split", t.world, began)
	return r, nil
}

// torn is a run of the experiment.
type torn struct {
	*Split
	*stage
	parts []*sim.Ring // while the network is split; membership does not change
	ended bool
}

// split splits the network and lets the parts become rings of their own.
func (t *torn) split(ctx context.Context, p *Progress, r *SplitReport) error {
	if err := rest(ctx, p, t.world, "the ring settles", time.Minute); err != nil {
		return err
	}
	r.Sizes = t.cut()
	t.ledger.truth = func(origin int, key ring.ID) int { return t.parts[t.world.Group(origin)].Root(key) }
	start := t.world.Now()
	t.ledger.feed(t.Rate, func() bool { return !t.ended })
	p.Stage(fmt.Sprintf("the network is split for %v", t.For))
	if err := letStep(ctx, t.world, exactStep, nil, t.For, t.partsExact, p, nil); err != nil {
		return err
	}
	if r.PartsExact = -1; t.partsExact() {
		r.PartsExact = (t.world.Now() - start).Seconds()
	}
	return let(ctx, t.world, nil, start+t.For-t.world.Now(), nil, p, nil)
}

// cut puts every node into a part, and returns how many are in each.
func (t *torn) cut() []int {
	actives := t.world.Actives()
	rng := rand.New(rand.NewPCG(t.Seed, 0x5911))
	rng.Shuffle(len(actives), func(i, j int) { actives[i], actives[j] = actives[j], actives[i] })
	first := min(max(1, int(t.Share*float64(len(actives)))), len(actives)-t.Parts+1)
	sizes := make([]int, t.Parts)
	for place, i := range actives {
		part := 0
		if place >= first {
			part = 1 + (place-first)%(t.Parts-1)
		}
		t.world.SetGroup(i, part)
		sizes[part]++
	}
	for part := range t.Parts {
		t.parts = append(t.parts, t.world.Ring(func(i int) bool { return t.world.Group(i) == part }))
	}
	return sizes
}

func (t *torn) partsExact() bool {
	return !slices.ContainsFunc(t.parts, func(r *sim.Ring) bool { return r.CheckLeafSets() != nil })
}

// heal ends the split and waits for the ring to be one.
func (t *torn) heal(ctx context.Context, p *Progress, r *SplitReport) error {
	t.world.Heal()
	healed := t.world.Now()
	before := t.ledger.turn()
	t.ledger.truth = func(_ int, key ring.ID) int { return t.world.Root(key) }
	t.meter.restart()
	p.Stage("the ring becomes one again")
	if err := letStep(ctx, t.world, exactStep, t.meter.sample, t.Limit, t.world.Exact, p, nil); err != nil {
		return err
	}
	if r.Merged = -1; t.world.Exact() {
		r.Merged = (t.world.Now() - healed).Seconds()
	}
	r.Traffic = t.meter.take()
	var err error
	if r.Lookups, r.Calm, err = t.end(ctx, p, &t.ended); err != nil {
		return err
	}
	t.account(r, before, healed)
	return nil
}

// account fills in what became of the lookups sent before the healing, and when the
// last was delivered wrongly.
func (t *torn) account(r *SplitReport, before *book, healed time.Duration) {
	b := t.ledger.account(before)
	r.SplitSent, r.SplitWrong, r.SplitLost = b.Sent, b.Wrong, b.Lost
	r.SplitDelay99, r.SplitMax, r.SplitTold = b.DelayP99, b.DelayMax, b.Incidents
	if r.LastWrong = -1; t.ledger.lastWrong > healed {
		r.LastWrong = (t.ledger.lastWrong - healed).Seconds()
	}
}

// Rows returns the report as a table.
func (r *SplitReport) Rows() []Row {
	after := func(s float64) string {
		if s < 0 {
			return "never"
		}
		return fmt.Sprintf("%.1f s", s)
	}
	rows := []Row{
		{Name: "parts", Value: fmt.Sprintf("%v nodes, for %v", r.Sizes, seconds(r.For))},
		{Name: "each part an exact ring after", Value: after(r.PartsExact)},
		{Name: "while split: lookups, wrong, lost", Value: fmt.Sprintf("%d, %d, %d", r.SplitSent, r.SplitWrong, r.SplitLost)},
		{Name: "while split: delay p99, most", Value: fmt.Sprintf("%.0f, %.0f ms", r.SplitDelay99, r.SplitMax)},
		{Name: "one exact ring after healing", Value: after(r.Merged)},
		{Name: "last wrong delivery after healing", Value: after(r.LastWrong)},
	}
	return slices.Concat(rows, r.Lookups.rows(), r.Calm.rows(), r.Traffic.rows(""), remarks("incident while split", r.SplitTold), r.Lookups.remarks())
}

// splitFigures draws the time to become one ring again by how long the network
// was split, a series for all runs that differ in nothing else.
func splitFigures(reports []Report) []Figure {
	var g group
	own := apart(reports, "for", "nodes", "parts", "perfect")
	for _, r := range reportsOf[*SplitReport](reports) {
		if r.Merged >= 0 {
			g.add(r.named(fmt.Sprintf("%d nodes, %d parts%s", r.Nodes, r.Parts, own(r.Head()))), Point{seconds(r.For).Minutes(), r.Merged})
		}
	}
	return []Figure{{Name: "split", Title: "Time to become one ring after the network healed", X: "split for, minutes", Y: "seconds",
		Series: g.curves()}}
}
