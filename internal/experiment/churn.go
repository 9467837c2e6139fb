package experiment

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// churn are the experiments on a ring whose members come and go.
var churn = []Experiment{churnExperiment, unclaimedExperiment, flashExperiment, splitExperiment}

// farewellTime lies between leaving gracefully and being switched off.
const farewellTime = 5 * time.Second

var errDied = errors.New("the ring has died out: nobody is active")

var churnExperiment = Experiment{
	Name:  "churn",
	Short: "lookups while nodes join and crash all the time",
	Long: `A ring in which nodes arrive as a Poisson process and stay for exponentially
distributed sessions, as many coming as going. Each arrival is a new node that
joins through a random member; each departure is silent, but for the share
-leave. After -warmup of this, -lookups lookups are sent from random members to
random keys, and each delivery is compared with the true root at that very
instant. A lookup is lost when nobody delivered it within -ttl although its
origin stayed up. The delay runs from sending to delivery, with all timeouts and
reroutes; direct is the one-way delay between the two ends. Control packets are
all but the Routes, Replies and Acks of lookups.

Held against MSPastry (Castro, Costa and Rowstron, DSN 2004), whose workload was a
similar one: b=4, L=32, 10,000 nodes, a lookup every 100 seconds and node. Here L
is 24 unless -leafset says otherwise, and -rate may be higher.`,
	New:     func() Run { return newChurn() },
	Blank:   func() Report { return new(ChurnReport) },
	Figures: churnFigures,
}

// Churn is a ring under churn.
type Churn struct {
	Unrest
	Session time.Duration
	Warmup  time.Duration
	Lookups int
	Rate    float64 // lookups a second and active node
	Leave   float64
}

func newChurn() *Churn {
	return &Churn{
		Unrest: newUnrest(10_000), Session: 30 * time.Minute, Warmup: 10 * time.Minute,
		Lookups: 100_000, Rate: 0.01,
	}
}

// Flags adds a flag for every parameter.
func (c *Churn) Flags(fs *pflag.FlagSet) {
	c.Unrest.Flags(fs)
	fs.DurationVar(&c.Session, "session", c.Session, "mean session of a node")
	fs.DurationVar(&c.Warmup, "warmup", c.Warmup, "virtual time of churn before anything is measured")
	fs.IntVar(&c.Lookups, "lookups", c.Lookups, "lookups that are sent")
	fs.Float64Var(&c.Rate, "rate", c.Rate, "lookups a second and active node")
	fs.Float64Var(&c.Leave, "leave", c.Leave, "share of the departures that are graceful")
}

// Check returns an error that names every bad parameter.
func (c *Churn) Check() error {
	return refuse(append(c.Unrest.faults(), gripes(
		gripe(c.Session >= time.Minute, "-session is %v, must be at least 1m", c.Session),
		gripe(c.Warmup >= 0, "-warmup is %v, must not be negative", c.Warmup),
		atLeast("lookups", c.Lookups, 1),
		rateFault(c.Rate),
		gripe(c.Leave >= 0 && c.Leave <= 1, "-leave is %g, must be 0 to 1", c.Leave),
	)...))
}

// Run blocks until every lookup's fate is known.
func (c *Churn) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	r, err := c.begin(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := r.measure(ctx, p); err != nil {
		return nil, err
	}
	report := &ChurnReport{
		Header: c.header("churn", r.world, began), Session: c.Session.Seconds(), Warmup: c.Warmup.Seconds(),
		Loss: c.Loss, Rate: c.Rate, Leave: c.Leave, TTL: c.TTL.Seconds(), Seconds: r.seconds.Seconds(),
		Lookups: r.ledger.account(r.ledger.book), Coming: r.coming, Traffic: r.traffic,
	}
	return report, nil
}

// churnRun is a ring under churn and those who keep account of it.
type churnRun struct {
	*Churn
	*stage
	pop     *population
	coming  Coming
	traffic Traffic
	seconds time.Duration // in which lookups were sent
}

// begin builds the ring and lets its members come and go for a while.
func (c *Churn) begin(ctx context.Context, p *Progress) (*churnRun, error) {
	busy := 0.6 + 4000/c.Session.Seconds() // events a second and node
	p.Expect(c.buildCost(), busy*c.restCost(c.Warmup), float64(c.Lookups)*(busy/c.Rate+lookupCost))
	s, err := c.open(ctx, p, c.Check())
	if err != nil {
		return nil, err
	}
	r := &churnRun{Churn: c, stage: s}
	r.pop = r.populate(c.Seed, c.Nodes, c.Session, r.depart)
	r.pop.start()
	p.Stage(fmt.Sprintf("nodes come and go, sessions of %v", c.Session))
	return r, let(ctx, r.world, r.meter.sample, c.Warmup, nil, p, nil)
}

// depart makes a node go when its session is over. It falls silent unless it is one
// of the share that leaves.
func (r *churnRun) depart(i int) {
	r.world.After(r.pop.exponential(r.Session), func() {
		if r.world.Up(i) {
			r.pop.part(i, r.pop.rng.Float64() < r.Leave, r.leave, r.off)
		}
	})
}

// leave lets a member tell its neighbours before it is gone.
func (r *churnRun) leave(i int) {
	r.world.Leave(i)
	r.world.After(farewellTime, func() { r.off(i) })
}

func (r *churnRun) off(i int) {
	r.meter.gone(i)
	r.pop.off(i)
}

// measure sends the lookups and waits for the last.
func (r *churnRun) measure(ctx context.Context, p *Progress) error {
	r.meter.restart()
	r.pop.restart()
	from := r.world.Now()
	all := func() bool { return r.ledger.book.Sent >= r.Lookups }
	r.ledger.feed(r.Rate, func() bool { return !all() })
	p.Stage(fmt.Sprintf("%d lookups", r.Lookups))
	over := func() bool { return all() || r.world.CountActive() == 0 }
	share := func() float64 { return float64(r.ledger.book.Sent) / float64(r.Lookups) }
	if err := let(ctx, r.world, r.meter.sample, 1<<62, over, p, share); err != nil {
		return err
	}
	r.coming, r.traffic, r.seconds = r.pop.take(), r.meter.take(), r.world.Now()-from
	if err := r.wait(ctx, p); err != nil {
		return err
	}
	if r.world.CountActive() == 0 {
		return errDied
	}
	return nil
}
