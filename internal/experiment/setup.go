package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// Setup is the ring that an experiment starts from. Experiments embed it.
type Setup struct {
	Nodes     int
	LeafSet   int
	DigitBits int
	Seed      uint64
	Topology  string // a name that sim.OpenTopology knows
	Perfect   bool
	Blind     bool
	JoinRate  float64 // joins per second and hundred members
	Loss      float64
	Jitter    float64
}

// newSetup returns the settings of the paper: b=4 and L=16 on a random plane.
func newSetup() Setup {
	return Setup{Nodes: 1000, LeafSet: 16, DigitBits: 4, Seed: 1, Topology: "plane", JoinRate: 10}
}

// Flags adds a flag for every setting.
func (s *Setup) Flags(fs *pflag.FlagSet) {
	fs.IntVar(&s.Nodes, "nodes", s.Nodes, "nodes in the ring")
	fs.IntVar(&s.LeafSet, "leafset", s.LeafSet, "size L of the leaf set, even")
	fs.IntVar(&s.DigitBits, "bits", s.DigitBits, "bits b of a digit, 1 to 8")
	fs.Uint64Var(&s.Seed, "seed", s.Seed, "seed of all randomness")
	fs.StringVar(&s.Topology, "topology", s.Topology, `where the nodes are: "plane", "sphere", "regions", or a file with a matrix of round trips`)
	fs.BoolVar(&s.Perfect, "perfect", s.Perfect, "start from perfect tables instead of joins")
	fs.BoolVar(&s.Blind, "blind", s.Blind, "nodes have no network coordinates, only the round trips they measure")
	fs.Float64Var(&s.JoinRate, "joinrate", s.JoinRate, "nodes that join a second for every hundred members, while the ring is built")
	fs.Float64Var(&s.Loss, "loss", s.Loss, "share of the packets that are lost")
	fs.Float64Var(&s.Jitter, "jitter", s.Jitter, "share of its latency by which a packet may be late")
}

// built returns how the ring is built, as reports name it.
func (s *Setup) built() string {
	if s.Perfect {
		return "perfect tables"
	}
	return "joins"
}

// build returns a simulation with a ring of s.Nodes active members, whose leaf
// sets are exact. change, if set, alters the configuration of the world before.
func (s *Setup) build(ctx context.Context, p *Progress, change func(*sim.Config)) (*sim.Sim, error) {
	topology, err := sim.OpenTopology(s.Topology)
	if err != nil {
		return nil, err
	}
	cfg := sim.Config{Seed: s.Seed, Topology: topology, Jitter: s.Jitter}
	cfg.Tune = func(i int, c *pastry.Config) {
		c.LeafSetSize, c.DigitBits = s.LeafSet, s.DigitBits
		if !s.Blind {
			c.Proximity = pastry.NewVivaldi("", 1, rand.New(rand.NewPCG(s.Seed, uint64(i))))
		}
	}
	if change != nil {
		change(&cfg)
	}
	world := sim.New(cfg)
	if s.Perfect {
		p.Stage(fmt.Sprintf("%d nodes get perfect tables", s.Nodes))
		if err := world.Perfect(s.Nodes, p.Done); err != nil {
			return nil, err
		}
	} else if err := s.grow(ctx, p, world); err != nil {
		return nil, err
	}
	world.Loss = s.Loss
	return world, nil
}

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
	}
}
