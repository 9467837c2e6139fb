package pastry

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/serf/coordinate"
)

// A Vivaldi coordinate is carried in a contact as the components of its vector,
// the error estimate, the adjustment and the height, all but the error in
// seconds.
const (
	coordDims   = 8
	coordError  = coordDims
	coordAdjust = coordDims + 1
	coordHeight = coordDims + 2
	coordLen    = coordDims + 3
)

const (
	// defaultRegionFactor is what a round trip to another region counts for.
	defaultRegionFactor = 5

	// maxPredictError is the error estimate of a coordinate at and above which
	// it predicts nothing. Nodes start at 1.5 and settle around 0.2.
	maxPredictError = 1.0

	// minRTT and maxRTT bound the round trips that count as such.
	minRTT = time.Microsecond
	maxRTT = 10 * time.Second

	// spread is how far first coordinates are scattered, in seconds.
	spread = 1e-3

	// tooClose is the distance in seconds below which serf takes two points for
	// one, with a margin for rounding. It then moves in a random direction that
	// it takes from the global source.
	tooClose = 2e-6

	// nudge is how far two points that are too close are set apart, in seconds.
	nudge = 20e-6

	// noticeable is the change of a coordinate that is worth telling others: in
	// seconds, as a share of the usual round trip, and of its error as a number.
	noticeable      = 50e-6
	noticeableShare = 1.0 / 64
	noticeableError = 0.05

	// usualGain is the weight of the latest round trip in the usual one.
	usualGain = 1.0 / 16

	// anyone stands for all nodes: serf is not to remember their round trips, since
	// those it is given are filtered.
	anyone = "node"

	// gravity is serf's GravityRho, 150, which this type applies by itself.
	gravity = 150.0
)

// Vivaldi is the default [Proximity]: round trips that were measured and, for
// nodes that were not, the prediction of a Vivaldi network coordinate (Dabek et
// al., SIGCOMM 2004, with the height and adjustment terms of HashiCorp's serf).
// Nodes of another region count as farther than they are, so that routes cross
// between regions late and seldom.
//
// Its memory is constant. It is deterministic: the same random source and calls
// give the same results. It is not safe for concurrent use.
type Vivaldi struct {
	region string
	factor float64
	rng    *rand.Rand

	client *coordinate.Client
	config *coordinate.Config
	origin *coordinate.Coordinate
	own    *coordinate.Coordinate // what client has
	other  *coordinate.Coordinate // scratch
	told   []float32              // never changed, only replaced
	usual  float64                // round trip in seconds, a moving average
}

// NewVivaldi returns the proximity of a node in region, which may be empty. A
// round trip between two different regions counts factor times; 0 stands for 5,
// and 1 makes regions not matter. The result draws from rng now and, rarely,
// later.
func NewVivaldi(region string, factor float64, rng *rand.Rand) *Vivaldi {
	orDefault(&factor, defaultRegionFactor)
	config := coordinate.DefaultConfig()
	config.Dimensionality = coordDims
	config.GravityRho = math.Inf(1)
	config.LatencyFilterSize = 1
	client, err := coordinate.NewClient(config)
	if err != nil {
		panic(err) // only for zero dimensions
	}
	v := &Vivaldi{
		region: region,
		factor: factor,
		rng:    rng,
		client: client,
		config: config,
		origin: coordinate.NewCoordinate(config),
		other:  coordinate.NewCoordinate(config),
	}
	v.restart()
	return v
}

// Observe moves the node's coordinate by a round trip to c, the least of late. It
// does nothing if c has no valid coordinate.
func (v *Vivaldi) Observe(c *Contact, rtt time.Duration) {
	if !validCoord(c.Coord) {
		return
	}
	expand(c.Coord, v.other)
	for separation(v.own.Vec, v.other.Vec) < tooClose {
		v.scatter(v.other.Vec, nudge)
	}
	rtt = min(max(rtt, minRTT), maxRTT)
	v.usual += (rtt.Seconds() - v.usual) * usualGain
	own, err := v.client.Update(anyone, v.other, rtt)
	v.client.ForgetNode(anyone)
	if err != nil {
		return // not for coordinates and round trips that are valid
	}
	v.own = own
	v.settle()
	v.tell()
}

// Distance returns rtt or, if it is not positive, the round trip to c that the
// coordinates predict; a multiple of it if c is in another region. It reports
// false if rtt is not positive and c's coordinate or the node's own is missing,
// invalid or too uncertain. It does not allocate.
func (v *Vivaldi) Distance(c *Contact, rtt time.Duration) (time.Duration, bool) {
	if rtt <= 0 {
		predicted, ok := v.predict(c.Coord)
		if !ok {
			return 0, false
		}
		rtt = predicted
	}
	if c.Region != "" && v.region != "" && c.Region != v.region {
		rtt = time.Duration(float64(rtt) * v.factor)
	}
	return rtt, true
}

// Coordinate returns the node's coordinate in the form that contacts carry. It
// is the same slice as before until the coordinate has changed noticeably, and
// is never changed.
func (v *Vivaldi) Coordinate() []float32 { return v.told }

func (v *Vivaldi) predict(coord []float32) (time.Duration, bool) {
	if v.own.Error >= maxPredictError || !validCoord(coord) || coord[coordError] >= maxPredictError {
		return 0, false
	}
	var sum float64
	for i, x := range v.own.Vec {
		d := x - float64(coord[i])
		sum += d * d
	}
	return roundTrip(sum, v.own.Height, float64(coord[coordHeight]), v.own.Adjustment, float64(coord[coordAdjust])), true
}

// Between returns the round trip that two coordinates predict. It reports false if
// one of them is missing, invalid or too uncertain. Regions do not count. It does
// not allocate.
func (v *Vivaldi) Between(a, b []float32) (time.Duration, bool) {
	for _, coord := range [...][]float32{a, b} {
		if !validCoord(coord) || coord[coordError] >= maxPredictError {
			return 0, false
		}
	}
	var sum float64
	for i := range coordDims {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return roundTrip(sum, float64(a[coordHeight]), float64(b[coordHeight]), float64(a[coordAdjust]), float64(b[coordAdjust])), true
}

// roundTrip returns the round trip between two nodes whose points lie the root of
// square apart, all in seconds. The adjustments are left out if they would make it
// negative.
func roundTrip(square, heightA, heightB, adjustA, adjustB float64) time.Duration {
	raw := math.Sqrt(square) + heightA + heightB
	if adjusted := raw + adjustA + adjustB; adjusted > 0 {
		raw = adjusted
	}
	return max(time.Duration(raw*float64(time.Second)), minRTT)
}

// settle pulls the coordinate towards the origin against drift, and starts over
// if it has become one that others would not accept. Serf does the same but for
// the global random source.
func (v *Vivaldi) settle() {
	if separation(v.own.Vec, v.origin.Vec) >= tooClose {
		pull := v.origin.DistanceTo(v.own).Seconds() / gravity
		v.own = v.own.ApplyForce(v.config, -pull*pull, v.origin)
	}
	if v.client.SetCoordinate(v.own) != nil || !validCoord(flatten(v.own)) {
		v.restart()
	}
}

// restart puts the node at a random place near the origin.
func (v *Vivaldi) restart() {
	v.own = coordinate.NewCoordinate(v.config)
	v.scatter(v.own.Vec, spread)
	if err := v.client.SetCoordinate(v.own); err != nil {
		panic(err) // not for a coordinate of its own making
	}
	v.told = flatten(v.own)
}

// scatter moves a point to a random place in the cube of the given width around
// it.
func (v *Vivaldi) scatter(vec []float64, width float64) {
	for i := range vec {
		vec[i] += (v.rng.Float64() - 0.5) * width
	}
}

// tell updates told when the coordinate has moved away from it.
func (v *Vivaldi) tell() {
	expand(v.told, v.other)
	moved := separation(v.own.Vec, v.other.Vec) + math.Abs(v.own.Height-v.other.Height) +
		math.Abs(v.own.Adjustment-v.other.Adjustment)
	if moved > max(noticeable, v.usual*noticeableShare) || math.Abs(v.own.Error-v.other.Error) > noticeableError {
		v.told = flatten(v.own)
	}
}

// validCoord reports whether coord can be the coordinate of an honest node: the
// longest round trip bounds every part of it. A NaN is not within any bounds.
func validCoord(coord []float32) bool {
	if len(coord) != coordLen {
		return false
	}
	limit := float32(maxRTT.Seconds())
	for i, x := range coord {
		low := -limit
		if i == coordError || i == coordHeight {
			low = 0
		}
		if !(x >= low && x <= limit) {
			return false
		}
	}
	return true
}

// expand writes coord, which is valid, into c.
func expand(coord []float32, c *coordinate.Coordinate) {
	for i := range c.Vec {
		c.Vec[i] = float64(coord[i])
	}
	c.Error = float64(coord[coordError])
	c.Adjustment = float64(coord[coordAdjust])
	c.Height = float64(coord[coordHeight])
}

// flatten is the inverse of expand. The result is new.
func flatten(c *coordinate.Coordinate) []float32 {
	coord := make([]float32, 0, coordLen)
	for _, x := range c.Vec {
		coord = append(coord, float32(x))
	}
	return append(coord, float32(c.Error), float32(c.Adjustment), float32(c.Height))
}

// separation returns the distance between two vectors, heights left out.
func separation(a, b []float64) float64 {
	var sum float64
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum)
}
