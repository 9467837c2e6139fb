package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// Setup is the ring that an experiment starts from. Experiments embed it.
type Setup struct {
	Nodes       int
	LeafSet     int
	DigitBits   int
	Seed        uint64
	Topology    string // a name that sim.OpenTopology knows
	Perfect     bool
	Coordinates bool
	Heartbeat   time.Duration
	JoinRate    float64 // joins per second and hundred members
	Loss        float64
	Jitter      float64
	Late        float64
	LateBy      time.Duration
}

// newSetup returns the settings of the paper: b=4 and L=16 on a random plane.
func newSetup() Setup {
	return Setup{Nodes: 1000, LeafSet: 16, DigitBits: 4, Seed: 1, Topology: "plane", JoinRate: 10,
		Coordinates: true, Heartbeat: 5 * time.Second, LateBy: 200 * time.Millisecond}
}

// Flags adds a flag for every setting.
func (s *Setup) Flags(fs *pflag.FlagSet) {
	fs.IntVar(&s.Nodes, "nodes", s.Nodes, "nodes in the ring")
	fs.IntVar(&s.LeafSet, "leafset", s.LeafSet, "size L of the leaf set, even")
	fs.IntVar(&s.DigitBits, "bits", s.DigitBits, "bits b of a digit, 1 to 8")
	fs.Uint64Var(&s.Seed, "seed", s.Seed, "seed of all randomness")
	fs.StringVar(&s.Topology, "topology", s.Topology, `where the nodes are: "plane", "sphere", "regions", or a file with a matrix of round trips`)
	fs.BoolVar(&s.Perfect, "perfect", s.Perfect, "start from perfect tables instead of joins")
	fs.BoolVar(&s.Coordinates, "coordinates", s.Coordinates,
		"predict round trips by network coordinates, as nodes behind a host do; otherwise only measured ones count")
	fs.DurationVar(&s.Heartbeat, "heartbeat", s.Heartbeat, "time between two signs of life to the left neighbour")
	fs.Float64Var(&s.JoinRate, "joinrate", s.JoinRate, "nodes that join a second for every hundred members, while the ring is built")
	fs.Float64Var(&s.Loss, "loss", s.Loss, "share of the packets that are lost")
	fs.Float64Var(&s.Jitter, "jitter", s.Jitter, "share of its latency by which a packet may be late")
	fs.Float64Var(&s.Late, "late", s.Late, "share of the packets that are held up, so that others overtake them")
	fs.DurationVar(&s.LateBy, "lateby", s.LateBy, "for how long they are held up at most")
}

// built returns how the ring is built, as reports name it.
func (s *Setup) built() string {
	if s.Perfect {
		return perfectTables
	}
	return "joins"
}

// perfectTables names the other way to build a ring than by joins.
const perfectTables = "perfect tables"

// faults returns what is wrong with the settings that all experiments have
// in common.
func (s *Setup) faults() []error {
	_, err := sim.OpenTopology(s.Topology)
	return gripes(err,
		gripe(s.LeafSet >= 2 && s.LeafSet <= 128 && s.LeafSet%2 == 0, "-leafset is %d, must be even and 2 to 128", s.LeafSet),
		gripe(s.DigitBits >= 1 && s.DigitBits <= 8, "-bits is %d, must be 1 to 8", s.DigitBits),
		gripe(s.JoinRate > 0 && s.JoinRate <= 1000 || s.Perfect, "-joinrate is %g, must be positive and at most 1000", s.JoinRate),
		gripe(s.Loss >= 0 && s.Loss < 1, "-loss is %g, must be at least 0 and less than 1", s.Loss),
		gripe(s.Jitter >= 0 && s.Jitter <= 100, "-jitter is %g, must be 0 to 100", s.Jitter),
		gripe(s.Late >= 0 && s.Late <= 1, "-late is %g, must be 0 to 1", s.Late),
		gripe(s.LateBy >= 0 && s.LateBy <= time.Minute, "-lateby is %v, must be 0s to 1m", s.LateBy),
		gripe(s.Late == 0 || s.LateBy != 0, "-late is %g, but -lateby 0s holds nothing up", s.Late),
		gripe(s.Heartbeat >= 10*time.Millisecond && s.Heartbeat <= time.Hour, "-heartbeat is %v, must be 10ms to 1h", s.Heartbeat),
		s.tooMany("-nodes", 0),
	)
}

// build returns a simulation with a ring of s.Nodes active members, whose leaf
// sets are exact. change, if set, alters the configuration of the world before.
func (s *Setup) build(ctx context.Context, p *Progress, change func(*sim.Config)) (*sim.Sim, error) {
	topology, err := sim.OpenTopology(s.Topology)
	if err != nil {
		return nil, err
	}
	cfg := sim.Config{Seed: s.Seed, Topology: topology, Jitter: s.Jitter, Late: s.Late, LateBy: s.LateBy}
	cfg.Tune = func(_ int, c *pastry.Config) {
		c.LeafSetSize, c.DigitBits, c.Heartbeat = s.LeafSet, s.DigitBits, s.Heartbeat
		if s.Coordinates {
			c.Proximity = pastry.NewVivaldi("", 1, c.Rand)
		}
	}
	if change != nil {
		change(&cfg)
	}
	world := sim.New(cfg)
	if s.Perfect {
		p.Stage(fmt.Sprintf("%d nodes get perfect tables", s.Nodes))
		if err := world.Perfect(ctx, s.Nodes, p.Done); err != nil {
			return nil, err
		}
	} else if err := s.grow(ctx, p, world); err != nil {
		return nil, err
	}
	world.Loss = s.Loss
	return world, nil
}

// buildCost estimates what it costs to build the ring: about as many events.
func (s *Setup) buildCost() float64 {
	if s.Perfect {
		return 5 * float64(s.Nodes)
	}
	return s.joinCost(s.Nodes)
}

// joinCost estimates what it costs that so many nodes join.
func (s *Setup) joinCost(nodes int) float64 {
	if s.Coordinates {
		return 630 * float64(nodes)
	}
	return 430 * float64(nodes)
}

// restCost estimates what it costs to let a ring at rest be for a time: each node has
// about one event a second.
func (s *Setup) restCost(d time.Duration) float64 { return float64(s.Nodes) * d.Seconds() }

// lookupCost is about how many events a lookup costs.
const lookupCost = 10

// grow builds the ring by joins.
func (s *Setup) grow(ctx context.Context, p *Progress, world *sim.Sim) error {
	p.Stage(fmt.Sprintf("%d nodes join", s.Nodes))
	return world.Grow(ctx, s.Nodes, s.JoinRate, p.Done)
}

// header returns the header of a report of the named experiment on a world, begun
// at the given wall time.
func (s *Setup) header(name string, world *sim.Sim, began time.Time) Header {
	counts := world.Counts()
	return Header{
		Experiment: name, Seed: s.Seed, Nodes: s.Nodes, LeafSet: s.LeafSet, DigitBits: s.DigitBits,
		Topology: s.Topology, Built: s.built(), VirtualTime: world.Now().Seconds(),
		WallTime: time.Since(began).Seconds(), Events: counts.Events, Packets: counts.Packets,
		PeakMemory: PeakMemory(), GOGC: gcPercent(), Faults: history(world),
	}
}
