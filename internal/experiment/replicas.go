package experiment

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

var replicasExperiment = Experiment{
	Name:  "replicas",
	Short: "whether lookups that any replica may answer reach the nearest",
	Long: `Any of the k nodes closest to a key may answer a lookup of it. Measured is which of
them does, the nearest to the origin, the second nearest and so on by delay, in
three ways that get the same lookups:

  first    prefix routing that ends at the first replica it meets
  reads    as records are read: an origin that sees all replicas asks the one
           nearest to itself, any other asks the root
  nearest  by RouteNearest: the first node on the way that sees all replicas, at
           last the root, hands the lookup to the one nearest to the origin, judged
           by network coordinates

Held against Rowstron and Druschel (2001), section 3.3: "first" against prefix
routing alone, "nearest" against the paper's heuristic.`,
	New:     func() Run { return newReplicas() },
	Blank:   func() Report { return new(ReplicasReport) },
	Figures: replicasFigures,
}

// Replicas is the experiment on lookups that any replica may answer.
type Replicas struct {
	Static
	Replicas int
	Way      string // whose figures are those of the report as a whole
}

func newReplicas() *Replicas {
	r := &Replicas{Static: newStatic(), Replicas: 5, Way: "nearest"}
	r.Nodes, r.DigitBits, r.LeafSet = 10_000, 3, 8
	return r
}

// Flags adds a flag for every parameter.
func (r *Replicas) Flags(fs *pflag.FlagSet) {
	r.Static.Flags(fs)
	fs.IntVarP(&r.Replicas, "replicas", "k", r.Replicas, "replicas of a key, at most half the leaf set and one")
	fs.StringVar(&r.Way, "way", r.Way, `which way's figures are "nearest_1" and so on of the report: "first", "reads" or "nearest"`)
}

// ways are the ways in which a lookup may find a replica, in the order of the
// report.
var ways = []string{"first", "reads", "nearest"}

// The places of ways.
const (
	wayFirst = iota
	wayReads
	wayNearest
)

// Check returns an error that names every bad parameter.
func (r *Replicas) Check() error {
	return refuse(append(r.Static.faults(), gripes(
		gripe(r.Replicas >= 1 && r.Replicas <= r.LeafSet/2+1, "-replicas is %d, must be 1 to %d, half the leaf set and one", r.Replicas, r.LeafSet/2+1),
		gripe(r.Replicas <= r.Nodes, "-replicas is %d, must be at most the %d nodes", r.Replicas, r.Nodes),
		gripe(slices.Contains(ways, r.Way), "-way is %q, must be one of %q", r.Way, ways),
	)...))
}

// Run builds the ring and sends every lookup each way.
func (r *Replicas) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	t, err := r.open(ctx, p, r.Check(), r.sendCost(r.gap())+float64((len(ways)-1)*r.Lookups*lookupCost))
	if err != nil {
		return nil, err
	}
	world := t.world
	finds := make([]finding, len(ways))
	t.ended = func(trip *trip) { finds[trip.msg.Payload[0]].add(world, trip, r.Replicas) }
	var from, way int
	var key ring.ID
	err = t.send(p, fmt.Sprintf("%d lookups, %d ways", r.Lookups, len(ways)), len(ways)*r.Lookups, r.gap()/time.Duration(len(ways)), func() (int, *pastry.Routed) {
		if way == 0 {
			from, key = world.RandomActive(), world.RandomKey()
		}
		msg := r.start(world, from, key, way)
		way = (way + 1) % len(ways)
		return from, msg
	})
	if err != nil {
		return nil, err
	}
	report := &ReplicasReport{Coordinates: r.Coordinates, Replicas: r.Replicas, Lookups: r.Lookups, Lost: t.lost, Wrong: t.wrong, Problems: t.problems, Way: r.Way}
	report.fill(finds)
	report.Header = r.header("replicas", world, began)
	return report, nil
}

// start returns the lookup of a key as its origin sends it. Its payload says
// which way it goes, and whose key it is when it is sent straight to a replica.
func (r *Replicas) start(world *sim.Sim, from int, key ring.ID, way int) *pastry.Routed {
	text := key.Bytes()
	msg := &pastry.Routed{Key: key, Payload: append([]byte{byte(way)}, text[:]...)}
	switch way {
	case wayReads:
		if best := r.nearestTo(world, from, key); best != nil {
			msg.Key, msg.Direct = best.ID, true
		}
	case wayNearest:
		msg.Replicas = r.Replicas
	}
	return msg
}

// keyOf returns the key that a lookup was made for.
func keyOf(msg *pastry.Routed) ring.ID {
	key, err := ring.FromBytes(msg.Payload[1:])
	if err != nil {
		panic(err) // start has put it there
	}
	return key
}

// nearestTo returns the replica nearest to node i by round trip, nil if i does not
// see all.
func (r *Replicas) nearestTo(world *sim.Sim, i int, key ring.ID) *pastry.Contact {
	n := world.Node(i)
	set, ok := n.Replicas(nil, key, r.Replicas)
	if !ok {
		return nil
	}
	cost := func(c *pastry.Contact) time.Duration {
		if c.ID == n.Self().ID {
			return 0
		}
		if d := n.RTT(c.ID); d > 0 {
			return d
		}
		return time.Hour // never measured
	}
	return slices.MinFunc(set, func(a, b *pastry.Contact) int { return cmp.Compare(cost(a), cost(b)) })
}
