package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/ring"
)

// node is one RawNode and what the simulated world knows about it.
type node struct {
	raw     *pastry.RawNode // nil for a member of a perfect ring that was not needed yet
	contact *pastry.Contact
	index   int32
	gen     uint32 // incarnations so far
	half    int    // L/2
	group   int    // of the partition it is in
	up      bool
	state   pastry.State
	offset  pastry.Time // its clock less the virtual time
	wake    uint64      // sequence number of the valid wake-up, zero if none
	wakeAt  pastry.Time
	drawn   int32 // its place in members.drawn while it is active
	place   Place
	joinAt  pastry.Time // when it was last told to join, zero if it is not to be a member
	tookAt  pastry.Time // when it became active
	conns   map[int32]uint32
	open    []*Message // of its own, kept only with Config.Ended
}

func (n *node) clock(now pastry.Time) pastry.Time { return now + n.offset }

// peerName returns the peer ID of node i. Its index can be read out of it.
func peerName(seed uint64, i int) pastry.PeerID {
	return pastry.PeerID(fmt.Sprintf("sim-%08d-%x", i, seed))
}

// indexOf returns the index that peerName put into a peer ID.
func indexOf(p pastry.PeerID) int {
	i := 0
	for _, c := range []byte(p[4:12]) {
		i = 10*i + int(c-'0')
	}
	return i
}

// Add makes a node that is up and idle and returns its index.
func (s *Sim) Add() int {
	return s.add(false)
}

// AddClient makes a node that uses the overlay without being part of it.
func (s *Sim) AddClient() int { return s.add(true) }

func (s *Sim) add(client bool) int {
	n := &node{index: int32(len(s.nodes)), place: s.Topology.Place(s.rng)}
	s.nodes = append(s.nodes, n)
	s.boot(n, client)
	return int(n.index)
}

// boot starts the next incarnation of a node.
func (s *Sim) boot(n *node, client bool) {
	s.begin(n)
	n.contact.Client = client
	s.equip(n)
	s.setState(n, n.raw.State())
	s.register(n)
}

// register tells a node of the application that its messages are for.
func (s *Sim) register(n *node) { s.input(n, pastry.Input{Kind: pastry.InRegister, App: App}) }

// begin gives a node the contact of its next incarnation.
func (s *Sim) begin(n *node) {
	n.gen++
	n.contact = pastry.NewContact(peerName(s.Seed, int(n.index)))
	n.contact.Epoch = uint64(n.gen)
	n.up, n.conns = true, nil
	n.wake, n.tookAt = 0, 0
}

// equip makes the state machine of a node and returns its settings. Its clock has
// an origin of its own: no two nodes agree on the time.
func (s *Sim) equip(n *node) *pastry.Config {
	rng := rand.New(rand.NewPCG(s.Seed, uint64(n.gen)<<32|uint64(n.index)))
	n.offset = pastry.Time(rng.Int64N(int64(time.Hour)))
	cfg := pastry.Config{Self: n.contact, Rand: rng, DigitBits: 4, LeafSetSize: 24, NeighborhoodSize: 24, Memory: 1 << 12}
	if s.Tune != nil {
		s.Tune(int(n.index), &cfg)
	}
	raw, err := pastry.NewRawNode(cfg)
	if err != nil {
		panic(fmt.Sprintf("sim: node %d: %v", n.index, err)) // the scenario's fault
	}
	n.raw, n.half = raw, cfg.LeafSetSize/2
	return &cfg
}

// Join makes node i join the ring through the given nodes; without any it
// starts a ring.
func (s *Sim) Join(i int, via ...int) {
	s.makeAll()
	n := s.nodes[i]
	n.joinAt = s.now
	s.input(n, pastry.Input{Kind: pastry.InJoin, Contacts: s.strangers(via)})
}

// Merge makes node i look for another ring through the given nodes.
func (s *Sim) Merge(i int, via ...int) {
	s.makeAll()
	s.input(s.nodes[i], pastry.Input{Kind: pastry.InMerge, Contacts: s.strangers(via)})
}

// strangers returns contacts as a configuration file has them: nothing but the
// identity is known.
func (s *Sim) strangers(nodes []int) []*pastry.Contact {
	var cs []*pastry.Contact
	for _, i := range nodes {
		cs = append(cs, pastry.NewContact(s.nodes[i].contact.Peer))
	}
	return cs
}

// Leave makes node i leave the ring gracefully. It stays up and idle.
func (s *Sim) Leave(i int) {
	s.makeAll()
	s.nodes[i].joinAt = 0
	s.input(s.nodes[i], pastry.Input{Kind: pastry.InLeave})
}

// Crash stops node i without a word to anybody.
func (s *Sim) Crash(i int) {
	s.makeAll()
	n := s.nodes[i]
	n.up, n.wake = false, 0
	s.setState(n, pastry.StateIdle)
	s.abandon(n)
}

// Reset stops node i so that all who have a connection to it notice at once.
// Without Config.Connect it is the same as Crash.
func (s *Sim) Reset(i int) {
	n := s.nodes[i]
	s.Crash(i)
	for j, o := range s.nodes { // in the order of indices, not of the map
		gen, ok := n.conns[int32(j)]
		if !ok || !o.up || o.gen != gen {
			continue
		}
		delete(o.conns, n.index)
		s.answer(o, s.delay(n, o), pastry.Input{Kind: pastry.InDisconnected, From: n.contact})
	}
	n.conns = nil
}

// Restart starts node i anew, idle and with the same id. If it is still up it
// crashes first.
func (s *Sim) Restart(i int) {
	s.Crash(i)
	n := s.nodes[i]
	n.joinAt = 0
	s.boot(n, n.contact.Client)
}

// JumpClock moves the clock of node i forward, or back if d is negative.
func (s *Sim) JumpClock(i int, d time.Duration) {
	s.makeAll()
	n := s.nodes[i]
	n.offset += pastry.Time(d)
	n.wake = 0
	s.schedule(n)
}

// Partition puts every node into a group; packets do not pass between groups.
// Nodes added later are in group 0 until SetGroup says otherwise.
func (s *Sim) Partition(group func(i int) int) {
	s.makeAll()
	for i, n := range s.nodes {
		n.group = group(i)
	}
}

// SetGroup puts one node into a group of the partition.
func (s *Sim) SetGroup(i, group int) {
	s.makeAll()
	s.nodes[i].group = group
}

// Group returns the group a node is in.
func (s *Sim) Group(i int) int { return s.nodes[i].group }

// Heal puts all nodes into one group.
func (s *Sim) Heal() { s.Partition(func(int) int { return 0 }) }

// Len returns how many nodes were ever added.
func (s *Sim) Len() int { return len(s.nodes) }

// Node returns the state machine of node i, to be read.
func (s *Sim) Node(i int) *pastry.RawNode {
	n := s.nodes[i]
	if n.raw == nil {
		s.enrol(n)
	}
	return n.raw
}

// ID returns the id of node i.
func (s *Sim) ID(i int) ring.ID { return s.nodes[i].contact.ID }

// Index returns the index of the node with a peer ID of this simulation.
func (s *Sim) Index(p pastry.PeerID) int { return indexOf(p) }

// Up reports whether node i runs.
func (s *Sim) Up(i int) bool { return s.nodes[i].up }

// Active reports whether node i runs and is an active member of a ring.
func (s *Sim) Active(i int) bool { return s.nodes[i].up && s.nodes[i].state == pastry.StateActive }

// JoinTime returns how long node i took from its last Join to being active, and
// whether it is.
func (s *Sim) JoinTime(i int) (time.Duration, bool) {
	n := s.nodes[i]
	return time.Duration(n.tookAt - n.joinAt), s.Active(i)
}

// Actives returns the indices of all active nodes, in order.
func (s *Sim) Actives() []int {
	var is []int
	for i := range s.nodes {
		if s.Active(i) {
			is = append(is, i)
		}
	}
	return is
}
