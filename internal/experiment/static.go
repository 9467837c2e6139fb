package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry/internal/sim"
)

// static are the experiments on a ring whose members are there from the start
// and stay, or fall silent all at once.
var static = []Experiment{hopsExperiment, replicasExperiment, failuresExperiment, skewExperiment}

// Static is a ring at rest and the lookups that go through it. The experiments
// of this kind embed it.
type Static struct {
	Setup
	Lookups int
	Settle  time.Duration // virtual time that passes before anything is measured
}

func newStatic() Static {
	return Static{Setup: newSetup(), Lookups: 20_000, Settle: time.Minute}
}

// Flags adds a flag for every parameter.
func (s *Static) Flags(fs *pflag.FlagSet) {
	s.Setup.Flags(fs)
	fs.IntVar(&s.Lookups, "lookups", s.Lookups, "messages that are sent, in each part of the experiment")
	fs.DurationVar(&s.Settle, "settle", s.Settle, "virtual time that the ring is left alone before anything is measured")
}

// faults returns what is wrong with the parameters.
func (s *Static) faults() []error {
	return append(s.Setup.faults(), gripes(
		atLeast("nodes", s.Nodes, 2),
		atLeast("lookups", s.Lookups, 1),
		gripe(s.Settle >= 0, "-settle is %v, must not be negative", s.Settle),
	)...)
}

// gripe returns nil if all is well, and otherwise the error that says what is not.
func gripe(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// atLeast returns an error if the value of a flag is less than it must be.
func atLeast[T int | time.Duration](flag string, got, least T) error {
	return gripe(got >= least, "-%s is %v, must be at least %v", flag, got, least)
}

// gripes returns those errors that are not nil.
func gripes(errs ...error) []error {
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// refuse returns an error that names every fault, nil if there is none.
func refuse(faults []error) error { return errors.Join(faults...) }

// sendCost estimates what it costs to send all lookups, with this time between two.
func (s *Static) sendCost(gap time.Duration) float64 {
	return float64(s.Lookups) * (s.restCost(gap) + lookupCost)
}

// open builds the ring, unless something is wrong, lets it settle, and returns what
// sends lookups through it. later is what the stages after that cost.
func (s *Static) open(ctx context.Context, p *Progress, wrong error, later ...float64) (*trips, error) {
	if wrong != nil {
		return nil, wrong
	}
	p.Expect(append([]float64{s.buildCost(), s.restCost(s.Settle)}, later...)...)
	world, err := s.build(ctx, p, nil)
	if err != nil {
		return nil, err
	}
	if err := rest(ctx, p, world, "the ring settles", s.Settle); err != nil {
		return nil, err
	}
	return newTrips(ctx, world), nil
}

// rest lets virtual time pass.
func rest(ctx context.Context, p *Progress, world *sim.Sim, stage string, d time.Duration) error {
	p.Stage(stage)
	return let(ctx, world, nil, d, nil, p, nil)
}

// gap returns the time between two lookups: each node sends one every five
// seconds, but the ring as a whole at least a hundred a second.
func (s *Static) gap() time.Duration { return time.Second / time.Duration(max(100, s.Nodes/5)) }
