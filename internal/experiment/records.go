package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/sim"
)

// durable are the experiments about what a ring keeps.
var durable = []Experiment{{
	Name:  "records",
	Short: "what becomes of records under churn when nobody republishes them",
	Long: `Records are written through the ring to the members closest to their keys. From then on members come
and go all the time, and nobody writes a record again: the policy by which members compare and move what they
hold is all that keeps it. It is the policy of a real node, driven by what each member sees of the ring. Its
calls are encoded as they are on the wire, and routed; only that the store is memory and that nothing is signed
differs, and that there is no limit on the bandwidth of repair. A member that goes takes its copies along, and
who comes holds nothing. Look-ups go to the roots.

The oracle counts, at every moment, on how many live members each record is. It is lost when it was
acknowledged and the last copy is gone. Bytes are those of calls and replies, without the headers of routing.`,
	New:     func() Run { return newDurability() },
	Blank:   func() Report { return new(DurabilityReport) },
	Figures: durabilityFigures,
}}

// Durability is the experiment "records".
type Durability struct {
	Setup
	Replicas int
	Records  int
	Size     int           // bytes
	Session  time.Duration // mean time between the arrival of a node and its end
	Leave    float64       // share of the nodes that leave in good order
	For      time.Duration
	Quiet    time.Duration // at the end, at most, without churn
	Sample   time.Duration
	Reads    float64 // a second, in the whole ring
	Repair   bool
}

func newDurability() *Durability {
	d := &Durability{
		Setup: newSetup(), Replicas: 8, Records: 10000, Size: 400, Session: time.Hour, For: 24 * time.Hour,
		Quiet: 10 * time.Minute, Sample: 5 * time.Minute, Reads: 0.5, Repair: true,
	}
	d.LeafSet = 24 // as a node has by default
	return d
}

// Flags adds a flag for every parameter.
func (d *Durability) Flags(fs *pflag.FlagSet) {
	d.Setup.Flags(fs)
	fs.IntVar(&d.Replicas, "replicas", d.Replicas, "members r that hold a record, at most half of the leaf set")
	fs.IntVar(&d.Records, "records", d.Records, "records that are written at the start")
	fs.IntVar(&d.Size, "size", d.Size, "bytes of a record: a provider record, and the addresses that go with it")
	fs.DurationVar(&d.Session, "session", d.Session, "mean time that a node stays; how long is drawn from an exponential distribution")
	fs.Float64Var(&d.Leave, "leave", d.Leave, "share of the nodes that leave in good order; the others crash silently")
	fs.DurationVar(&d.For, "for", d.For, "how long the churn lasts after the records were written")
	fs.DurationVar(&d.Quiet, "calm", d.Quiet, "time without churn at the end, at most, for every record to get to its r members")
	fs.DurationVar(&d.Sample, "sample", d.Sample, "time between two points of the curves")
	fs.Float64Var(&d.Reads, "reads", d.Reads, "records that are looked up in the ring each second, all members together")
	fs.BoolVar(&d.Repair, "repair", d.Repair, "move records when members come and go")
}

// Check reports every parameter that is out of its range.
func (d *Durability) Check() error {
	return refuse(append(d.Setup.faults(), gripes(
		atLeast("nodes", d.Nodes, 2),
		gripe(d.Replicas >= 1 && 2*d.Replicas <= d.LeafSet, "-replicas is %d, must be 1 to %d, half of the leaf set", d.Replicas, d.LeafSet/2),
		gripe(d.Records >= 1 && d.Records <= maxRecords, "-records is %d, must be 1 to %d", d.Records, maxRecords),
		gripe(d.Size >= leastSize && d.Size <= mostSize, "-size is %d, must be %d to %d", d.Size, leastSize, mostSize),
		gripe(d.Session >= time.Minute, "-session is %v, must be at least a minute", d.Session),
		gripe(d.Leave >= 0 && d.Leave <= 1, "-leave is %g, must be 0 to 1", d.Leave),
		gripe(d.For > 0, "-for is %v, must be positive", d.For),
		gripe(d.Quiet >= 0, "-calm is %v, must not be negative", d.Quiet),
		gripe(d.Sample >= time.Second, "-sample is %v, must be at least a second", d.Sample),
		gripe(d.Reads >= 0 && d.Reads <= 1000, "-reads is %g, must be 0 to 1000", d.Reads),
	)...))
}

// Run writes the records, lets nodes come and go, and then lets the ring settle.
func (d *Durability) Run(ctx context.Context, p *Progress) (Report, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	began := time.Now()
	a := newArchive(d)
	p.Expect(d.buildCost(), 2*d.restCost(fillFor), 2*d.restCost(d.For))
	world, err := d.build(ctx, p, a.configure)
	if err != nil {
		return nil, err
	}
	if err := a.begin(ctx, world); err != nil {
		return nil, err
	}
	for _, stage := range []func(context.Context, *Progress) error{a.fill, a.churn, a.settle} {
		if err := stage(ctx, p); err != nil {
			return nil, err
		}
	}
	return a.report(began), nil
}

// fill writes all records, while nodes come and go already.
func (a *archive) fill(ctx context.Context, p *Progress) error {
	p.Stage(fmt.Sprintf("%d records are written", a.Records))
	over := a.world.Now() + fillFor
	for rec := range a.records {
		a.world.After(time.Duration(a.rng.Int64N(int64(fillFor))), func() { a.write(rec) })
	}
	if err := a.pass(ctx, p, fillFor, nil); err != nil {
		return err
	}
	written := func() bool { return a.written == a.Records }
	return a.pass(ctx, nil, over+fillFor-a.world.Now(), written)
}

// fillFor is the time over which the records are written.
const fillFor = 2 * time.Minute

// churn is the time in which all is measured.
func (a *archive) churn(ctx context.Context, p *Progress) error {
	p.Stage(fmt.Sprintf("%v of churn", a.For))
	a.measure()
	err := a.pass(ctx, p, a.For, nil)
	a.conclude()
	return err
}

// settle waits until every record is on the members closest to its key, and
// nowhere else.
func (a *archive) settle(ctx context.Context, p *Progress) error {
	p.Stage("the ring settles")
	a.pop.calm = true
	began, look := a.world.Now(), a.world.Now()
	exact := func() bool {
		if a.world.Now() < look {
			return false
		}
		look = a.world.Now() + 5*time.Second
		a.misplaced = a.countMisplaced()
		return a.misplaced == 0
	}
	err := a.pass(ctx, p, a.Quiet, exact)
	a.settled = a.world.Now() - began
	a.misplaced = a.countMisplaced()
	return err
}

// pass lets virtual time pass, at most d, until done, if it is set, returns true.
func (a *archive) pass(ctx context.Context, p *Progress, d time.Duration, done func() bool) error {
	return let(ctx, a.world, a.tick, d, done, p, nil)
}

// configure makes a world ask the archive what the application is to do.
func (a *archive) configure(cfg *sim.Config) {
	cfg.Deliver, cfg.Ended, cfg.Watch = a.deliver, a.over, a.watch
}
