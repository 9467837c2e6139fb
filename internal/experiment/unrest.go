package experiment

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// Unrest is a ring whose members come and go. The experiments of this kind embed
// it. Its nodes have the leaf sets they have by default, not those of the paper.
type Unrest struct {
	Setup
	TTL time.Duration // within which a lookup that is not lost is delivered

	tune func(i int, c *pastry.Config) // changes what the flags do not, for tests
}

func newUnrest(nodes int) Unrest {
	s := newSetup()
	s.Nodes, s.LeafSet = nodes, 24
	return Unrest{Setup: s, TTL: time.Minute}
}

// Flags adds a flag for every parameter.
func (u *Unrest) Flags(fs *pflag.FlagSet) {
	u.Setup.Flags(fs)
	fs.DurationVar(&u.TTL, "ttl", u.TTL, "time after which a lookup is given up by its origin, and counts as lost")
}

// faults returns what is wrong with the parameters.
func (u *Unrest) faults() []error {
	return append(u.Setup.faults(), gripes(
		atLeast("nodes", u.Nodes, 8),
		gripe(u.TTL >= time.Second && u.TTL <= 5*time.Minute, "-ttl is %v, must be 1s to 5m", u.TTL),
	)...)
}

// rateFault returns an error unless as many lookups a second and node can be sent.
func rateFault(rate float64) error {
	return gripe(rate > 0 && rate <= 100, "-rate is %g, must be positive and at most 100", rate)
}

// open builds the ring, unless something is wrong.
func (u *Unrest) open(ctx context.Context, p *Progress, wrong error) (*stage, error) {
	if wrong != nil {
		return nil, wrong
	}
	world, err := u.build(ctx, p, func(cfg *sim.Config) {
		tune := cfg.Tune
		cfg.Tune = func(i int, c *pastry.Config) {
			tune(i, c)
			if u.tune != nil {
				u.tune(i, c)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return newStage(world, u.Seed, u.TTL), nil
}

// let makes virtual time pass in steps of a second at most, until done returns true,
// limit is over or ctx ends. passed, if set, is told of each step; progress, if set,
// is asked for the share that is done.
func let(ctx context.Context, world *sim.Sim, passed func(time.Duration), limit time.Duration, done func() bool, p *Progress, progress func() float64) error {
	return letStep(ctx, world, time.Second, passed, limit, done, p, progress)
}

// exactStep is between two looks whether leaf sets are exact.
const exactStep = 100 * time.Millisecond

// letStep is let with steps of another length, after each of which done is asked.
func letStep(ctx context.Context, world *sim.Sim, step time.Duration, passed func(time.Duration), limit time.Duration, done func() bool, p *Progress, progress func() float64) error {
	for end := world.Now() + limit; world.Now() < end && (done == nil || !done()); {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := min(step, end-world.Now())
		world.Run(d)
		if passed != nil {
			passed(d)
		}
		if progress != nil {
			p.Done(progress())
		} else {
			p.Done(1 - float64(end-world.Now())/float64(limit))
		}
	}
	p.Done(1)
	return ctx.Err()
}
