package experiment

import (
	"fmt"
	"time"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/sim"
)

// Traffic is what the active nodes of a ring sent each other, in packets a second
// and active node. Packets count when they are sent, also those that get lost and
// those sent to the dead. A question and its answer are two packets.
//
// Control is all of it but what lookups are made of: Routes, Replies and Acks. An
// acknowledgement that travels with another packet is no packet. Where the
// literature counts acknowledgements and what is sent again as control traffic,
// ControlAndAcks is the figure to compare.
type Traffic struct {
	Control        float64 `json:"control_per_second"`
	ControlAndAcks float64 `json:"control_and_acks_per_second"`    // and lookups' Acks, and their Routes and Replies beyond one a hop
	Joining        float64 `json:"control_joining_per_second"`     // of Control, from and to nodes that join
	Heartbeats     float64 `json:"control_heartbeats_per_second"`  // to the left neighbour
	Alive          float64 `json:"control_alive_per_second"`       // probes that ask for nothing: for life or distance
	LeafSets       float64 `json:"control_leaf_sets_per_second"`   // probes for leaf sets
	Rows           float64 `json:"control_rows_per_second"`        // probes for rows of the routing table
	Hoods          float64 `json:"control_hoods_per_second"`       // probes for neighborhood sets, as of joiners
	Grants         float64 `json:"control_grants_per_second"`      // a joiner's place in the ring
	Suspects       float64 `json:"control_suspects_per_second"`    // warnings of dead leaves
	Leaves         float64 `json:"control_leaves_per_second"`      // farewells
	Holds          float64 `json:"control_holds_per_second"`       // to the entries of tables, that they are kept
	JoinRoutes     float64 `json:"control_join_routes_per_second"` // joins on their way, their answers and Acks
	Contacts       float64 `json:"control_contacts_per_second"`    // contacts named in control packets
	Routes         float64 `json:"lookup_routes_per_second"`
	Replies        float64 `json:"lookup_replies_per_second"`
	Acks           float64 `json:"lookup_acks_per_second"`
	MeanActive     float64 `json:"mean_active"` // nodes
}

// rows returns the traffic for people. paper is the literature's figure for control
// packets, acknowledgements included.
func (t *Traffic) rows(paper string) []Row {
	line := func(name string, v float64) Row { return Row{Name: name, Value: fmt.Sprintf("%.4f /s/node", v)} }
	withAcks := line("  with acknowledgements and resends", t.ControlAndAcks)
	withAcks.Paper = paper
	return []Row{
		{Name: "active nodes, mean", Value: fmt.Sprintf("%.0f", t.MeanActive)},
		line("control packets", t.Control),
		withAcks,
		line("  of joining nodes", t.Joining),
		line("  heartbeats", t.Heartbeats),
		line("  probes for life and distance", t.Alive),
		line("  leaf sets", t.LeafSets),
		line("  rows", t.Rows),
		line("  neighborhood sets", t.Hoods),
		line("  grants", t.Grants),
		line("  suspicions", t.Suspects),
		line("  farewells", t.Leaves),
		line("  holds", t.Holds),
		line("  joins on their way", t.JoinRoutes),
		line("lookups: routes", t.Routes),
		line("lookups: replies", t.Replies),
		line("lookups: acknowledgements", t.Acks),
	}
}

type class uint8

const (
	classHeartbeat class = iota
	classAlive
	classLeafSets
	classRows
	classHoods
	classGrant
	classSuspect
	classLeave
	classHold
	classJoinRoute
	classRoute // this and what follows belongs to lookups
	classReply
	classAck
	numClasses
)

// sent names a packet that waits for its acknowledgement.
type sent struct {
	by  int
	seq uint64
}

// meter counts the packets of a world by what they are for.
type meter struct {
	world    *sim.Sim
	isLookup func(id pastry.MessageID) bool

	joining  map[int]bool
	joins    map[sent]struct{} // of joins' packets, acknowledgements outstanding
	count    [numClasses]int
	hops     int // that Routes of lookups were counted for by their deliverers, and that answers have to go back
	byJoiner int
	contacts int
	since    time.Duration
	nodes    float64 // seconds of active nodes
}

func newMeter(world *sim.Sim, l *ledger) *meter {
	return &meter{
		world: world, since: world.Now(), joining: make(map[int]bool), joins: make(map[sent]struct{}),
		isLookup: func(id pastry.MessageID) bool { return l.find(id) != nil },
	}
}

// watch counts a packet. It belongs into Config.Watch.
func (m *meter) watch(i int, a *pastry.Action) {
	switch a.Kind {
	case pastry.ActState:
		m.state(i, a.State)
	case pastry.ActSend:
		to := m.world.Index(a.To.Peer)
		c := m.classify(i, to, a.Packet)
		m.count[c]++
		if c >= classRoute {
			return
		}
		m.contacts += len(a.Packet.Contacts)
		if m.joining[i] || m.joining[to] {
			m.byJoiner++
		}
	}
}

// state keeps in mind who joins.
func (m *meter) state(i int, s pastry.State) {
	if s == pastry.StateJoining {
		m.joining[i] = true
	} else {
		delete(m.joining, i)
	}
}

// gone forgets a node that crashed.
func (m *meter) gone(i int) { delete(m.joining, i) }

func (m *meter) classify(from, to int, p *pastry.Packet) class {
	switch p.Kind {
	case pastry.KindHeartbeat:
		return classHeartbeat
	case pastry.KindProbe, pastry.KindProbeReply:
		return probeClass(p.Want)
	case pastry.KindGrant, pastry.KindGrantReply:
		return classGrant
	case pastry.KindSuspect:
		return classSuspect
	case pastry.KindLeave:
		return classLeave
	case pastry.KindHold:
		return classHold
	case pastry.KindRoute:
		if !p.Msg.Join {
			return classRoute
		}
		m.expect(sent{from, p.Seq})
		return classJoinRoute
	case pastry.KindReply:
		if m.isLookup(p.Answer.ID) {
			return classReply
		}
		m.expect(sent{from, p.Seq})
		return classJoinRoute
	default:
		return m.ackClass(to, p)
	}
}

func probeClass(w pastry.Want) class {
	switch {
	case w&pastry.WantHood != 0:
		return classHoods
	case w&pastry.WantRow != 0:
		return classRows
	case w&pastry.WantLeaves != 0:
		return classLeafSets
	}
	return classAlive
}

// expect keeps a join's packet in mind. Those sent to the dead are never
// acknowledged, so that all are forgotten now and then.
func (m *meter) expect(s sent) {
	if len(m.joins) > 1<<16 {
		clear(m.joins)
	}
	m.joins[s] = struct{}{}
}

// ackClass tells the acknowledgement of a lookup from that of a join.
func (m *meter) ackClass(to int, p *pastry.Packet) class {
	seqs := p.Acks
	if p.Seq != 0 {
		seqs = []uint64{p.Seq}
	}
	c := classJoinRoute
	for _, seq := range seqs {
		s := sent{to, seq}
		if _, ok := m.joins[s]; !ok {
			c = classAck
		}
		delete(m.joins, s)
	}
	return c
}

// sample adds up the active nodes. It is to be called after every step of d.
func (m *meter) sample(d time.Duration) {
	m.nodes += float64(m.world.CountActive()) * d.Seconds()
}

// restart forgets what was counted.
func (m *meter) restart() {
	m.count, m.hops, m.byJoiner, m.contacts = [numClasses]int{}, 0, 0, 0
	m.since, m.nodes = m.world.Now(), 0
}

// take returns the traffic since the last restart.
func (m *meter) take() Traffic {
	per := func(n int) float64 {
		if m.nodes == 0 {
			return 0
		}
		return float64(n) / m.nodes
	}
	control := 0
	for _, n := range m.count[:classRoute] {
		control += n
	}
	resent := max(0, m.count[classRoute]-m.hops) + max(0, m.count[classReply]-m.hops)
	return Traffic{
		Control: per(control), ControlAndAcks: per(control + m.count[classAck] + resent), Joining: per(m.byJoiner),
		Heartbeats: per(m.count[classHeartbeat]), Alive: per(m.count[classAlive]), LeafSets: per(m.count[classLeafSets]),
		Rows: per(m.count[classRows]), Hoods: per(m.count[classHoods]), Grants: per(m.count[classGrant]),
		Suspects: per(m.count[classSuspect]), Leaves: per(m.count[classLeave]), Holds: per(m.count[classHold]), JoinRoutes: per(m.count[classJoinRoute]),
		Contacts: per(m.contacts), Routes: per(m.count[classRoute]), Replies: per(m.count[classReply]), Acks: per(m.count[classAck]),
		MeanActive: m.nodes / max(1e-9, (m.world.Now()-m.since).Seconds()),
	}
}
