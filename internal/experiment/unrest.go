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
	Coordinates bool
	TTL         time.Duration // after which a lookup counts as lost

	tune func(i int, c *pastry.Config) // changes what the flags do not, for tests
}

func newUnrest(nodes int) Unrest {
	s := newSetup()
	s.Nodes, s.LeafSet = nodes, 24
	return Unrest{Setup: s, Coordinates: true, TTL: time.Minute}
}

// Flags adds a flag for every parameter.
func (u *Unrest) Flags(fs *pflag.FlagSet) {
	u.Setup.Flags(fs)
	fs.BoolVar(&u.Coordinates, "coordinates", u.Coordinates,
		"predict round trips by network coordinates, as nodes behind a host do; otherwise only measured ones count")
	fs.DurationVar(&u.TTL, "ttl", u.TTL, "time after which a lookup is given up by its origin, and counts as lost")
}

// faults returns what is wrong with the parameters.
func (u *Unrest) faults() []error {
	return gripes(
		gripe(u.Nodes >= 8, "-nodes is %d, must be at least 8", u.Nodes),
		gripe(u.LeafSet >= 2 && u.LeafSet <= 128 && u.LeafSet%2 == 0, "-leafset is %d, must be even and 2 to 128", u.LeafSet),
		gripe(u.DigitBits >= 1 && u.DigitBits <= 8, "-bits is %d, must be 1 to 8", u.DigitBits),
		gripe(u.JoinRate > 0 || u.Perfect, "-joinrate is %g, must be positive", u.JoinRate),
		gripe(u.Loss >= 0 && u.Loss < 1, "-loss is %g, must be at least 0 and less than 1", u.Loss),
		gripe(u.Jitter >= 0, "-jitter is %g, must not be negative", u.Jitter),
		gripe(u.TTL >= time.Second && u.TTL <= 5*time.Minute, "-ttl is %v, must be 1s to 5m", u.TTL),
	)
}

// open builds the ring.
func (u *Unrest) open(ctx context.Context, p *Progress) (*sim.Sim, error) {
	return u.build(ctx, p, func(cfg *sim.Config) {
		tune := cfg.Tune
		cfg.Tune = func(i int, c *pastry.Config) {
			tune(i, c)
			if u.Coordinates {
				c.Proximity = pastry.NewVivaldi("", 0, c.Rand)
			}
			if u.tune != nil {
				u.tune(i, c)
			}
		}
	})
}

// let makes virtual time pass in steps of a second at most, each of which the
// meter samples, until done returns true, limit is over or ctx ends. progress,
// if set, is asked for the share that is done.
func let(ctx context.Context, world *sim.Sim, m *meter, limit time.Duration, done func() bool, p *Progress, progress func() float64) error {
	for end := world.Now() + limit; world.Now() < end && (done == nil || !done()); {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := min(time.Second, end-world.Now())
		world.Run(d)
		if m != nil {
			m.sample(d)
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
