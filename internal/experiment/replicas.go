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
several ways that get the same lookups. Two are those of nodes as they are:

  first        prefix routing that ends at the first replica it meets
  reads        as records are read: an origin that sees all replicas asks the one
               nearest to itself, any other asks the root

The others are proposals, which no node follows yet:

  sight        the first node on the way that sees all replicas hands the lookup to
               the one nearest to itself
  coordinates  the same, but to the one nearest to the origin, judged by the network
               coordinates of the origin, carried in the lookup, and of the replicas
  handed       the same, and a root that gets a lookup hands it on in this way, too;
               the time between the two journeys is left out

Held against Rowstron and Druschel (2001), section 3.3: "first" against prefix
routing alone, the proposals against the paper's heuristic.`,
	New:     func() Run { return newReplicas() },
	Figures: replicasFigures,
}

// Replicas is the experiment on lookups that any replica may answer.
type Replicas struct {
	Static
	Replicas int
	Way      string // whose figures are those of the report as a whole

	proximity map[int]*pastry.Vivaldi
	passed    map[pastry.MessageID][]int // who passed on lookups under way
	handed    map[ring.ID]*trip          // to the root that handed a lookup on, by key
}

func newReplicas() *Replicas {
	r := &Replicas{Static: newStatic(), Replicas: 5, Way: "reads"}
	r.Nodes, r.DigitBits, r.LeafSet = 10_000, 3, 8
	return r
}

// Flags adds a flag for every parameter.
func (r *Replicas) Flags(fs *pflag.FlagSet) {
	r.Static.Flags(fs)
	fs.IntVarP(&r.Replicas, "replicas", "k", r.Replicas, "replicas of a key, at most half the leaf set and one")
	fs.StringVar(&r.Way, "way", r.Way, `which way's figures are "nearest_1" and so on of the report: "first", "reads", "sight", "coordinates" or "handed"`)
}

// ways are the ways in which a lookup may find a replica, in the order of the
// report.
var ways = []string{"first", "reads", "sight", "coordinates", "handed"}

// The places of ways.
const (
	wayFirst = iota
	wayReads
	waySight
	wayCoordinates
	wayHanded
)

// label returns the name of a way as reports for people have it.
func label(way string) string {
	if slices.Index(ways, way) >= waySight {
		return "proposal: " + way
	}
	return way
}

// byCoordinates reports whether a way goes by coordinates.
func byCoordinates(way byte) bool { return way == wayCoordinates || way == wayHanded }

// faults returns what is wrong with the parameters.
func (r *Replicas) faults() []error {
	return append(r.Static.faults(), gripes(
		gripe(r.Replicas >= 1 && r.Replicas <= r.LeafSet/2+1, "-replicas is %d, must be 1 to %d, half the leaf set and one", r.Replicas, r.LeafSet/2+1),
		gripe(r.Replicas <= r.Nodes, "-replicas is %d, must be at most the %d nodes", r.Replicas, r.Nodes),
		gripe(slices.Contains(ways, r.Way), "-way is %q, must be one of %q", r.Way, ways),
		gripe(r.Coordinates || slices.Index(ways, r.Way) < wayCoordinates, "-way is %q, which needs -coordinates", r.Way),
	)...)
}

// Run builds the ring and sends every lookup each way.
func (r *Replicas) Run(ctx context.Context, p *Progress) (Report, error) {
	began := time.Now()
	r.proximity, r.passed, r.handed = make(map[int]*pastry.Vivaldi), make(map[pastry.MessageID][]int), make(map[ring.ID]*trip)
	t, err := r.open(ctx, p, r.faults(), func(i int, v *pastry.Vivaldi) { r.proximity[i] = v })
	if err != nil {
		return nil, err
	}
	world := t.world
	world.Forward = func(i int, msg *pastry.Routed, _ *pastry.Contact) *pastry.Routed { return r.divert(world, i, msg) }
	finds := make([]finding, r.ways())
	t.ended = func(trip *trip) {
		if whole := r.handOn(t, trip); whole != nil {
			finds[whole.msg.Payload[0]].add(world, whole, r.Replicas)
		}
	}
	var from, way int
	var key ring.ID
	err = t.send(p, fmt.Sprintf("%d lookups, %d ways", r.Lookups, r.ways()), r.ways()*r.Lookups, r.gap()/time.Duration(r.ways()), func() (int, *pastry.Routed) {
		if way == 0 {
			from, key = world.RandomActive(), world.RandomKey()
		}
		msg := r.start(world, from, key, way)
		way = (way + 1) % r.ways()
		return from, msg
	})
	if err != nil {
		return nil, err
	}
	report := &ReplicasReport{Coordinates: r.Coordinates, Replicas: r.Replicas, Lookups: r.Lookups, Lost: t.lost, Wrong: t.wrong, Problems: t.problems, Faults: history(world), Way: r.Way}
	report.fill(finds)
	report.Header = r.header("replicas", world, began)
	return report, nil
}

// ways returns how many ways can be gone: without coordinates, those that come
// first.
func (r *Replicas) ways() int {
	if r.Coordinates {
		return len(ways)
	}
	return wayCoordinates
}

// start returns the lookup of a key as its origin sends it. Its payload says
// which way it goes, and whose key it is when it is sent straight to a replica.
func (r *Replicas) start(world *sim.Sim, from int, key ring.ID, way int) *pastry.Routed {
	text := key.Bytes()
	msg := &pastry.Routed{Key: key, Payload: append([]byte{byte(way)}, text[:]...)}
	if way == wayFirst {
		return msg
	}
	return r.aim(world, from, from, msg)
}

// divert plays the application on the way of a lookup.
func (r *Replicas) divert(world *sim.Sim, i int, msg *pastry.Routed) *pastry.Routed {
	if way := msg.Payload[0]; way < waySight {
		return msg
	}
	aimed := r.aim(world, i, world.Index(msg.Origin), msg)
	r.passed[msg.ID] = append(r.passed[msg.ID], i)
	return aimed
}

// handOn sends a lookup that has come to the root on its second journey, if it is
// to go on one. It returns the lookup with all its journeys, nil while there is one
// to come. The time between the two does not count.
func (r *Replicas) handOn(t *trips, trip *trip) *trip {
	passed := append(r.passed[trip.msg.ID], trip.from)
	delete(r.passed, trip.msg.ID)
	key := keyOf(trip.msg)
	if first := r.handed[key]; first != nil && trip.msg.Payload[0] == wayHanded {
		delete(r.handed, key)
		first.path = append(first.path, trip.path[1:]...)
		first.took, first.ok = first.took+trip.took, trip.ok
		return first
	}
	root := trip.to()
	if trip.msg.Payload[0] != wayHanded || trip.msg.Direct || !trip.ok || root != t.world.Root(key) || root == trip.from {
		return trip
	}
	msg := &pastry.Routed{Key: key, Payload: trip.msg.Payload}
	r.passed[msg.ID] = passed // of no message yet
	msg = r.aim(t.world, root, trip.from, msg)
	delete(r.passed, pastry.MessageID{})
	if !msg.Direct || msg.Key == t.world.ID(root) {
		return trip
	}
	r.handed[key] = trip
	t.route(root, msg)
	return nil
}

// keyOf returns the key that a lookup was made for.
func keyOf(msg *pastry.Routed) ring.ID {
	key, err := ring.FromBytes(msg.Payload[1:])
	if err != nil {
		panic(err) // start has put it there
	}
	return key
}

// aim returns the lookup addressed to the replica that node i thinks the best, or
// as it is when i does not see all replicas. Nobody gets back what it has sent or
// passed on without knowing that it is a replica.
func (r *Replicas) aim(world *sim.Sim, i, origin int, msg *pastry.Routed) *pastry.Routed {
	n := world.Node(i)
	set, ok := n.Replicas(nil, msg.Key, r.Replicas)
	if !ok {
		return msg
	}
	set = slices.DeleteFunc(set, func(c *pastry.Contact) bool {
		j := world.Index(c.Peer)
		return j != i && (j == origin || slices.Contains(r.passed[msg.ID], j))
	})
	cost := func(c *pastry.Contact) time.Duration {
		switch {
		case byCoordinates(msg.Payload[0]) && i != origin:
			coord := c.Coord
			if c.ID == n.Self().ID {
				coord = r.proximity[i].Coordinate()
			}
			if d, ok := r.proximity[origin].Distance(&pastry.Contact{Coord: coord}, 0); ok {
				return d
			}
		case c.ID == n.Self().ID:
			return 0
		}
		if d := n.RTT(c.ID); d > 0 {
			return d
		}
		return time.Hour // never measured
	}
	if len(set) == 0 {
		return msg
	}
	best := slices.MinFunc(set, func(a, b *pastry.Contact) int { return cmp.Compare(cost(a), cost(b)) })
	aimed := *msg
	aimed.Key, aimed.Direct = best.ID, true
	return &aimed
}
