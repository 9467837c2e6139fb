package experiment

import (
	"context"
	"fmt"
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
// last. It returns the account of those sent before, and of those of the minute.
func (s *stage) end(ctx context.Context, p *Progress, over *bool) (Lookups, Calm, error) {
	before := s.ledger.turn()
	if err := rest(ctx, p, s.world, "the last lookups end", time.Minute); err != nil {
		return Lookups{}, Calm{}, err
	}
	*over = true
	if err := s.wait(ctx, p); err != nil {
		return Lookups{}, Calm{}, err
	}
	calm := s.ledger.account(s.ledger.book)
	return s.ledger.account(before), Calm{calm.Sent, calm.Wrong, calm.Lost}, nil
}

// Calm counts the lookups of the minute after all was over. They are apart from those
// that an experiment is about, which they would make look better.
type Calm struct {
	CalmSent  int `json:"calm_lookups"`
	CalmWrong int `json:"calm_wrong"`
	CalmLost  int `json:"calm_lost"`
}

func (c *Calm) rows() []Row {
	return []Row{{Name: "in the minute after: lookups, wrong, lost", Value: fmt.Sprintf("%d, %d, %d", c.CalmSent, c.CalmWrong, c.CalmLost)}}
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
