package experiment

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// stage is a world with a ledger of its lookups and a meter of its traffic.
type stage struct {
	world  *sim.Sim
	ledger *ledger
	meter  *meter
}

// newStage attaches a ledger and a meter to a world.
func newStage(world *sim.Sim, seed uint64, ttl time.Duration) *stage {
	s := &stage{world: world, ledger: newLedger(world, seed, ttl)}
	s.meter = newMeter(world, s.ledger)
	s.ledger.told = func(_ *lookup, d sim.Delivery, _ bool) { s.meter.hops += d.Hops }
	world.Watch = s.meter.watch
	return s
}

// wait lets virtual time pass until the fate of every lookup is known.
func (s *stage) wait(ctx context.Context, p *Progress) error {
	return rest(ctx, p, s.world, "the last lookups end", s.ledger.ttl+2*ledgerGrace)
}

// end lets lookups go on for a minute, says that they are over, and waits for the
// last.
func (s *stage) end(ctx context.Context, p *Progress, over *bool) error {
	if err := rest(ctx, p, s.world, "the last lookups end", time.Minute); err != nil {
		return err
	}
	*over = true
	return s.wait(ctx, p)
}

// populate lets nodes come to the world, and go as depart says, once the population
// it returns is started.
func (s *stage) populate(seed uint64, size int, session time.Duration, depart func(i int)) *population {
	pop := newPopulation(s.world, rand.New(rand.NewPCG(seed, 0xc4024)), size, session, depart)
	s.world.Watch = func(i int, a *pastry.Action) {
		s.meter.watch(i, a)
		pop.watch(i, a)
	}
	return pop
}
