package experiment

import (
	"time"

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
