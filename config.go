package pastry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Proximity judges how far other nodes are. A RawNode calls it from the
// goroutine that drives it; the implementations of this package and any other
// must not block.
type Proximity interface {
	// Observe takes in the least round trip measured to c of late.
	Observe(c *Contact, rtt time.Duration)
	// Distance returns the cost of a round trip to c in units of time, and
	// whether there is ground for it. A positive rtt is the least round trip
	// measured of late; otherwise Distance predicts, if it can.
	Distance(c *Contact, rtt time.Duration) (time.Duration, bool)
	// Coordinate returns the node's own network coordinate to be carried in its
	// contact, nil if the metric has none. The result is not changed later.
	Coordinate() []float32
	// Between returns the cost of a round trip between two nodes of which each is
	// known by its coordinate alone, and whether there is ground for it. Either
	// may be nil, or come from a node that lies.
	Between(a, b []float32) (time.Duration, bool)
}

// maxLeafSet is the largest L.
const maxLeafSet = 128

// Config holds the settings of a RawNode. Durations and sizes that are zero
// take the default; a negative period turns the activity off.
type Config struct {
	// Self is the node's own contact. ID, Peer and Epoch must be set.
	Self *Contact
	// Rand is the source of all randomness, owned by the node from then on.
	Rand *rand.Rand
	// Proximity judges nodes; nil goes by measured round trips alone.
	Proximity Proximity
	// DigitBits is b, the bits of a digit, 1 to 8. Default 4. All nodes of a
	// ring should agree; routes are longer when they do not.
	DigitBits int
	// LeafSetSize is L, even, 2 to 128. Default 24.
	LeafSetSize int
	// NeighborhoodSize is M, 0 to 256. Default 24.
	NeighborhoodSize int
	// Heartbeat is the time between two signs of life to the left neighbour.
	// This and a probe is about what a silent death takes at the most to be found
	// when no message finds it earlier. Default 5 s.
	Heartbeat time.Duration
	// LeafExchange is the time between two exchanges of leaf sets with neighbours
	// although none is known to differ: heartbeats tell when one does. Default 30 min.
	LeafExchange time.Duration
	// RowExchange is the time in which one node of each row is asked for its
	// row. Default 30 min.
	RowExchange time.Duration
	// MergeInterval is the time between two attempts to reach a node that was
	// lost, in case the ring was split: for an hour after many were lost at once,
	// for three minutes after joining, and as long as nobody else is known. Otherwise
	// it takes ten times as long. Default 30 s.
	MergeInterval time.Duration
	// ProbeTimeout is how long the first probe of a node of unknown distance
	// waits; a dial must fit. Default 1 s.
	ProbeTimeout time.Duration
	// MinProbeTimeout is the least time the answer to a probe is given. Default
	// 250 ms. While a message waits for the outcome, tries follow each other at
	// half of it; else the last may take twice as long.
	MinProbeTimeout time.Duration
	// ProbeTries is how many unanswered probes make a node dead, one less if it
	// was silent to a message before, and up to three more where many get lost.
	// Default 3.
	ProbeTries int
	// MinHopTimeout is the least time to wait for a hop's acknowledgement.
	// Default 20 ms.
	MinHopTimeout time.Duration
	// HopLimit is the most links a message may cross. Default 32.
	HopLimit int
	// JoinTimeout is the time after which an unfinished join starts over.
	// Default 10 s.
	JoinTimeout time.Duration
	// GrantLease is how long a joiner may hold the place it was granted before
	// it must be active. Default 10 s.
	GrantLease time.Duration
	// Memory is how many messages are remembered, each for delivery and for
	// the way back of replies. Default 65,536.
	Memory int
	// LossTarget is the share of lookups that may meet a dead table entry; the
	// probing period of the table is tuned to it. Default 0.05.
	LossTarget float64
}

// minPeriod is the shortest period of an activity.
const minPeriod = 10 * time.Millisecond

func orDefault[T int | time.Duration | float64](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func (c *Config) setDefaults() {
	orDefault(&c.DigitBits, 4)
	orDefault(&c.LeafSetSize, 24)
	orDefault(&c.NeighborhoodSize, 24)
	orDefault(&c.Heartbeat, 5*time.Second)
	orDefault(&c.LeafExchange, 30*time.Minute)
	orDefault(&c.RowExchange, 30*time.Minute)
	orDefault(&c.MergeInterval, 30*time.Second)
	orDefault(&c.ProbeTimeout, time.Second)
	orDefault(&c.MinProbeTimeout, 250*time.Millisecond)
	orDefault(&c.ProbeTries, 3)
	orDefault(&c.MinHopTimeout, 20*time.Millisecond)
	orDefault(&c.HopLimit, 32)
	orDefault(&c.JoinTimeout, 10*time.Second)
	orDefault(&c.GrantLease, 10*time.Second)
	orDefault(&c.Memory, 1<<16)
	orDefault(&c.LossTarget, 0.05)
	if c.Proximity == nil {
		c.Proximity = measured{}
	}
}

// validate reports every fault of the settings at once.
func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("pastry: "+format, args...))
		}
	}
	check(c.Self != nil && c.Self.Peer != "", "Config.Self must name the node's peer ID")
	check(c.Rand != nil, "Config.Rand must be set")
	check(c.DigitBits >= 1 && c.DigitBits <= 8, "digit bits are %d, must be 1 to 8", c.DigitBits)
	check(c.LeafSetSize >= 2 && c.LeafSetSize <= maxLeafSet && c.LeafSetSize%2 == 0,
		"leaf set size is %d, must be even and 2 to 128", c.LeafSetSize)
	check(c.NeighborhoodSize >= 0 && c.NeighborhoodSize <= 256,
		"neighborhood size is %d, must be 0 to 256", c.NeighborhoodSize)
	check(c.ProbeTries >= 1, "probe tries are %d, must be at least 1", c.ProbeTries)
	check(c.HopLimit >= 1 && c.HopLimit <= 255, "hop limit is %d, must be 1 to 255", c.HopLimit)
	check(c.Memory >= 16, "message memory is %d, must be at least 16", c.Memory)
	check(c.LossTarget > 0 && c.LossTarget < 1, "loss target is %g, must be between 0 and 1", c.LossTarget)
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"Heartbeat", c.Heartbeat}, {"ProbeTimeout", c.ProbeTimeout}, {"MinProbeTimeout", c.MinProbeTimeout},
		{"MinHopTimeout", c.MinHopTimeout}, {"JoinTimeout", c.JoinTimeout}, {"GrantLease", c.GrantLease}} {
		check(d.v > 0, "%s is %v, must be positive", d.name, d.v)
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{{"LeafExchange", c.LeafExchange}, {"RowExchange", c.RowExchange}, {"MergeInterval", c.MergeInterval}} {
		check(d.v < 0 || d.v >= minPeriod, "%s is %v, must be negative (off) or at least %v", d.name, d.v, minPeriod)
	}
	return errors.Join(errs...)
}

// measured is the Proximity that knows nothing but what was measured.
type measured struct{}

func (measured) Observe(*Contact, time.Duration) {}
func (measured) Distance(_ *Contact, rtt time.Duration) (time.Duration, bool) {
	return rtt, rtt > 0
}
func (measured) Coordinate() []float32                        { return nil }
func (measured) Between(a, b []float32) (time.Duration, bool) { return 0, false }
