package explore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
	"github.com/secondbit/pastry/ring"
)

const (
	maxNodes = 16
	began    = pastry.Time(time.Second)
	grain    = pastry.Time(10 * time.Microsecond) // all times are multiples of it
)

// Config says which runs are explored.
type Config struct {
	// Nodes is the number of nodes, at most 16. They are spread evenly over the
	// ring in the order of their numbers.
	Nodes int
	// Members are those that form a settled ring at the start. The others join
	// through all of them; with no member, all begin to join through each other.
	Members []int
	// Absent are those that never run: they leave a gap in the ring.
	Absent []int
	// Script, if set, leads from the settled ring of the members to the state in
	// which the search, or the walk, begins. What it does must follow from its
	// argument. What it loses and crashes counts against no allowance.
	Script func(*Stage)
	// LeafSetSize is L. Default 4.
	LeafSetSize int
	// Faults is how many packets may be lost or late.
	Faults int
	// Crashes is how many nodes may crash; an active one of Members is always left,
	// through which the others can join.
	Crashes int
	// Rests is how often time may pass while the ring is exact and nothing is in
	// flight.
	Rests int
	// Depth is the most steps of a run, Limit the most states to visit.
	Depth, Limit int
	// Settle has the search see that a run without further faults leads from every
	// state to one ring.
	Settle bool
	// Patience is how long such a run may take, in virtual time. Default 3 min.
	Patience time.Duration
	// Seed gives the nodes random sources of their own. Zero makes every draw of
	// a node the same, so that equal states are recognised.
	Seed uint64
	// Step, if set, takes the place of RawNode.Step, and with a nil input that of
	// Advance. What it does must follow from its arguments.
	Step func(n *pastry.RawNode, now pastry.Time, in *pastry.Input) []pastry.Action

	joiners bool // compare the roots of those that were not members at the start alone
}

// lab is where the nodes of one configuration live.
type lab struct {
	Config
	contacts []*pastry.Contact
	index    map[ring.ID]int
	keys     []ring.ID                // at which roots are compared
	origin   map[pastry.MessageID]int // who sent it
	replays  int                      // steps repeated to bring nodes back
	steps    int                      // steps taken for the first time
	snap     pastry.Snapshot          // reused
}

func newLab(cfg Config) *lab {
	if cfg.LeafSetSize == 0 {
		cfg.LeafSetSize = 4
	}
	if cfg.Step == nil {
		cfg.Step = step
	}
	if cfg.Patience == 0 {
		cfg.Patience = 3 * time.Minute
	}
	l := &lab{Config: cfg, index: make(map[ring.ID]int), origin: make(map[pastry.MessageID]int)}
	l.contacts = contacts(cfg.Nodes)
	for i, c := range l.contacts {
		l.index[c.ID] = i
	}
	l.keys = keys(l.contacts)
	return l
}

func step(n *pastry.RawNode, now pastry.Time, in *pastry.Input) []pastry.Action {
	if in == nil {
		return n.Advance(now, nil)
	}
	return n.Step(now, *in, nil)
}

// contacts finds peer IDs whose ids lie about evenly on the ring.
func contacts(n int) []*pastry.Contact {
	best := make([]*pastry.Contact, n)
	for i := range 4096 {
		c := pastry.NewContact(pastry.PeerID(fmt.Sprintf("n%d", i)))
		c.Epoch = 1
		hi, _ := c.ID.Uint64s()
		at := int(hi >> 32 * uint64(n) >> 32)
		target := ring.FromUint64s((uint64(2*at+1)<<32/uint64(2*n))<<32, 0)
		if best[at] == nil || ring.Closer(target, c.ID, best[at].ID) {
			best[at] = c
		}
	}
	return best
}

// keys returns a key of each piece into which the ids and the points halfway
// between any two of them cut the ring: no other key has other roots.
func keys(cs []*pastry.Contact) []ring.ID {
	var cuts []ring.ID
	half := ring.FromUint64s(1<<63, 0)
	for i, a := range cs {
		cuts = append(cuts, a.ID, a.ID.Add(half))
		for _, b := range cs[:i] {
			middle := b.ID.Add(ring.Clockwise(b.ID, a.ID).Half())
			cuts = append(cuts, middle, middle.Add(half))
		}
	}
	slices.SortFunc(cuts, ring.ID.Compare)
	ks := make([]ring.ID, len(cuts))
	for i, k := range cuts {
		ks[i] = k.Add(ring.Clockwise(k, cuts[(i+1)%len(cuts)]).Half())
	}
	return ks
}

// node makes node i, idle.
func (l *lab) node(i int) *pastry.RawNode {
	var src rand.Source = &steady{node: uint64(i), nodes: uint64(l.Nodes)}
	if l.Seed != 0 {
		src = rand.NewPCG(l.Seed, uint64(i))
	}
	n, err := pastry.NewRawNode(pastry.Config{Self: l.contacts[i], Rand: rand.New(src), LeafSetSize: l.LeafSetSize,
		RowExchange: -1, Memory: 1 << 10, Proximity: metric{l, i}})
	if err != nil {
		panic(fmt.Sprintf("explore: %v", err)) // Config is the caller's
	}
	n.Step(began, pastry.Input{Kind: pastry.InRegister, App: sim.App}, nil)
	return n
}

// seeds returns whom a node is told to join through: the members, or everybody
// when there are none. The first member founds the ring, the others join it.
func (l *lab) seeds(i int) []*pastry.Contact {
	var cs []*pastry.Contact
	member := slices.Index(l.Members, i)
	for j, c := range l.contacts {
		k := slices.Index(l.Members, j)
		if j != i && (len(l.Members) == 0 || member < 0 && k >= 0 || member > 0 && k == 0) {
			cs = append(cs, pastry.NewContact(c.Peer))
		}
	}
	return cs
}

// metric is a proximity that does not depend on what was measured, so that the
// order of measurements makes no difference.
type metric struct {
	l    *lab
	self int
}

func (m metric) Observe(*pastry.Contact, time.Duration)       {}
func (m metric) Coordinate() []float32                        { return nil }
func (m metric) Between(a, b []float32) (time.Duration, bool) { return 0, false }
func (m metric) Distance(c *pastry.Contact, _ time.Duration) (time.Duration, bool) {
	j := m.l.index[c.ID]
	return time.Duration(1+(j-m.self+m.l.Nodes)%m.l.Nodes) * time.Millisecond, true
}

// steady is a random source whose draws differ in 8 bits only, those of which a
// message id is made: all durations drawn are the same, within grain.
type steady struct {
	node, nodes, drawn uint64
}

func (s *steady) Uint64() uint64 {
	s.drawn++
	x := (s.drawn*64 + s.node) * 0x9e3779b97f4a7c15
	return (2*s.node+1)<<56/s.nodes<<7 | (x>>40&0xff)<<32
}
