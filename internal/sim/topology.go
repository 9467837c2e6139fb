package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// Topology says where nodes are and how long packets take between them. It is
// immutable and may be shared by simulations.
type Topology interface {
	// Name returns the name that OpenTopology knows it by.
	Name() string
	// Place draws the place of the next node.
	Place(rng *rand.Rand) Place
	// Delay returns the time a packet takes from a to b, which is the same as
	// from b to a. It is positive.
	Delay(a, b *Place) time.Duration
}

// Place is where a node is. What its fields mean depends on the topology; those
// that it does not use are zero.
type Place struct {
	X, Y, Z float64
	Access  time.Duration // that every packet to or from the node takes besides
	Site    int32         // index
}

// OpenTopology returns the topology with the given name:
//
//   - "plane": nodes uniformly at random on a square, 100 ms from corner to
//     corner, and delays proportional to distance, as in Rowstron and Druschel
//     (2001), section 3;
//   - "sphere": nodes uniformly at random on a sphere, up to 100 ms apart along
//     a great circle, each behind an access link whose delay is 2 ms in the
//     median and log-normally distributed;
//   - "regions": nodes at random in the regions of a cloud, with measured round
//     trips between them, see regions.csv.
//
// Any other name is that of a file with a matrix of round trips, see ReadMatrix.
func OpenTopology(name string) (Topology, error) {
	switch name {
	case "plane":
		return plane{}, nil
	case "sphere":
		return sphere{}, nil
	case "regions":
		return regions()
	}
	return openMatrix(name)
}

// shortest is the least delay between two nodes of a plane or a sphere: so short
// that it does not flatten the ratio of a route's length to the direct way.
const shortest = 10 * time.Microsecond

// plane is a square with a side of one.
type plane struct{}

// planeDiagonal is the delay between opposite corners.
const planeDiagonal = 100 * time.Millisecond

func (plane) Name() string { return "plane" }

func (plane) Place(rng *rand.Rand) Place { return Place{X: rng.Float64(), Y: rng.Float64()} }

func (plane) Delay(a, b *Place) time.Duration {
	dx, dy := a.X-b.X, a.Y-b.Y
	return plane{}.reach(math.Sqrt(dx*dx+dy*dy), 0)
}

func (plane) reach(distance float64, _ time.Duration) time.Duration {
	return shortest + time.Duration(distance/math.Sqrt2*float64(planeDiagonal-shortest))
}

// sphere is a sphere with a radius of one, and access links.
type sphere struct{}

const (
	halfRound    = 100 * time.Millisecond // between antipodes
	medianAccess = 2 * time.Millisecond
	accessSpread = 1.0 // standard deviation of the logarithm
)

func (sphere) Name() string { return "sphere" }

func (sphere) Place(rng *rand.Rand) Place {
	p := onSphere(rng)
	p.Access = access(rng, medianAccess, accessSpread)
	return p
}

func (sphere) Delay(a, b *Place) time.Duration {
	return sphere{}.along(angle(a, b), a.Access+b.Access)
}

func (sphere) along(angle float64, access time.Duration) time.Duration {
	return shortest + access + time.Duration(angle/math.Pi*float64(halfRound-shortest))
}

func (sphere) reach(distance float64, access time.Duration) time.Duration {
	return sphere{}.along(chordAngle(distance), access)
}

// access draws the delay of an access link from a log-normal distribution. What
// is beyond four standard deviations counts as four.
func access(rng *rand.Rand, median time.Duration, spread float64) time.Duration {
	x := max(-4, min(rng.NormFloat64(), 4))
	return time.Duration(float64(median) * math.Exp(spread*x))
}

// onSphere returns a random point on the unit sphere.
func onSphere(rng *rand.Rand) Place {
	z, phi := 2*rng.Float64()-1, 2*math.Pi*rng.Float64()
	r := math.Sqrt(1 - z*z)
	return Place{X: r * math.Cos(phi), Y: r * math.Sin(phi), Z: z}
}

// angle returns the angle between two points of the unit sphere, 0 to π.
func angle(a, b *Place) float64 {
	cos := a.X*b.X + a.Y*b.Y + a.Z*b.Z
	return math.Acos(max(-1, min(cos, 1)))
}

// chordAngle returns the angle between two points of the unit sphere at a
// straight distance.
func chordAngle(distance float64) float64 { return 2 * math.Asin(min(distance/2, 1)) }

// globe is what a Config without a topology gets: a sphere without access links,
// whose nodes are never nearer than a millisecond.
type globe struct{}

// The nearest and the farthest nodes of a globe, one way.
const (
	nearest  = time.Millisecond
	farthest = 110 * time.Millisecond
)

func (globe) Name() string { return "globe" }

func (globe) Place(rng *rand.Rand) Place { return onSphere(rng) }

func (globe) Delay(a, b *Place) time.Duration {
	return globe{}.along(angle(a, b))
}

func (globe) along(angle float64) time.Duration {
	return nearest + time.Duration(angle/math.Pi*float64(farthest-nearest))
}

func (globe) reach(distance float64, _ time.Duration) time.Duration {
	return globe{}.along(chordAngle(distance))
}
