package pastry

import (
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry/ring"
)

// RawNode is Pastry without a transport: the routing table, leaf set and
// neighborhood set of one node, and the state machine that keeps them true and
// routes by them. It has no goroutine, clock or lock. Its driver feeds it
// inputs, each with the current time, and carries out the actions it returns:
//
//	out = n.Step(now, input, out[:0])   // something happened
//	out = n.Advance(now, out[:0])       // Deadline has come
//
// A RawNode is deterministic: the same configuration, random source and inputs
// give the same actions. It is not safe for concurrent use. Node drives one
// behind a libp2p host; internal/sim drives thousands in virtual time.
type RawNode struct {
	cfg   Config
	self  *Contact
	state State
	over  bool // the node has left: to others it stays StateLeaving
	rng   *rand.Rand
	now   Time
	out   []Action
	seq   uint64 // last sequence number given to a packet
	stats Stats

	leaves  *LeafSet
	table   *Table
	hood    *Neighborhood
	peers   peerSet
	sweepAt int                     // number of peers at which those that nothing needs are forgotten
	known   index                   // the usable ones of peers
	owed    map[*peerState][]uint64 // sequence numbers of a peer's packets still to be acknowledged
	apps    map[string]bool

	timers timerHeap
	due    [timerHold + 1]Time // when the one-of-a-kind timers fire

	calls      map[MessageID]*call
	pending    map[uint64]*transit // unacknowledged, by sequence number
	forwarding map[MessageID]*transit
	signing    map[MessageID]*transit // of this node's own, waiting for a signature
	relays     memory[relay]
	deliveries memory[delivery]
	answers    answers
	held       []held // routed here before the node was active
	reqRTT     rtt    // of whole requests

	join       joining
	grants     [2]grant // given to a joiner: on the smaller, on the larger side
	dead       map[ring.ID]grave
	leafDied   Time       // when a leaf was last found dead
	lost       []*Contact // dead leaves and seeds, for merging, oldest first
	lostNext   int
	candidate  []*Contact   // for the table, waiting for a probe
	asking     int          // table probes outstanding
	leafProbes []*peerState // being probed for the leaf set
	rows       rowRepair
	tuning     tuning
	differs    [2]differ // by side
	shown      shown     // the leaf set, last
	exchanges  int       // leaf exchanges since the start, to take turns
	unshown    bool      // the leaf set has changed, and was not shown since
	lookedUp   Time      // when a lost part of the ring was last looked up
	wary       Time      // until when a split of the ring is reckoned with
	strained   int       // see strain
	strainedAt Time
	lossy      float64          // share of the probes whose first try was not answered, of late
	handing    bool             // its immediate neighbours are being told that it leaves
	closing    bool             // it leaves, and takes over nothing more for its own keys
	farewell   map[ring.ID]bool // to whom the node said that it leaves
	holders    holders
	ward       ward
	kept       []*transit // while closing, messages that a neighbour is to be root of
}

// grave marks a node that was found dead.
type grave struct {
	at      Time
	epoch   uint64
	doubted bool // hearsay counts again
}

// NewRawNode returns a node that is idle until it is told to join. It reports
// every fault of cfg at once.
func NewRawNode(cfg Config) (*RawNode, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &RawNode{
		cfg:        cfg,
		self:       cfg.Self,
		rng:        cfg.Rand,
		leaves:     NewLeafSet(cfg.Self.ID, cfg.LeafSetSize),
		table:      NewTable(cfg.Self.ID, cfg.DigitBits),
		hood:       NewNeighborhood(cfg.NeighborhoodSize),
		seq:        cfg.Rand.Uint64() >> 8, // no answer to an earlier incarnation fits
		owed:       make(map[*peerState][]uint64),
		apps:       make(map[string]bool),
		calls:      make(map[MessageID]*call),
		pending:    make(map[uint64]*transit),
		forwarding: make(map[MessageID]*transit),
		signing:    make(map[MessageID]*transit),
		relays:     newMemory[relay](cfg.Memory),
		deliveries: newMemory[delivery](cfg.Memory),
		dead:       make(map[ring.ID]grave),
		farewell:   make(map[ring.ID]bool),
	}
	n.peers.salt = n.seq<<1 | 1
	n.tuning.period = maxTablePeriod
	n.locate()
	return n, nil
}

// Step takes in what happened at the given time and returns out with what is to
// be done appended. Time never goes back for a RawNode: an earlier now counts as
// the latest one seen.
func (n *RawNode) Step(now Time, in Input, out []Action) []Action {
	n.now, n.out = max(now, n.now), out
	switch in.Kind {
	case InPacket:
		n.receive(in.From, in.Packet)
	case InSendFailed:
		n.sendFailed(in.From, in.Packet)
	case InConnected:
		n.connected(in.From)
	case InDisconnected:
		n.disconnected(in.From)
	case InJoin:
		n.startJoin(in.Contacts)
	case InLeave:
		n.startLeave()
	case InSelf:
		n.self = in.From
		n.locate()
	case InRegister:
		n.apps[in.App] = true
	case InUnregister:
		delete(n.apps, in.App)
	case InRoute:
		n.startCall(in.Msg, in.TTL, in.From)
	case InCancel:
		n.finishCall(in.ID, &Answer{ID: in.ID, Code: CodeCancelled}, nil)
	case InForwarded:
		n.forwarded(in.ID, in.Msg)
	case InDelivered:
		n.delivered(in)
	case InSigned:
		n.signed(in.ID, in.Msg)
	case InVouched:
		n.vouched(in.ID, in.Auth)
	case InMerge:
		n.startMerge(in.Contacts)
	}
	return n.take()
}

// Advance runs every timer due at the given time and returns out with what is
// to be done appended.
func (n *RawNode) Advance(now Time, out []Action) []Action {
	n.now, n.out = max(now, n.now), out
	for len(n.timers.a) > 0 && n.timers.a[0].at <= n.now {
		n.fire(n.timers.pop())
	}
	return n.take()
}

// Deadline returns the time by which Advance must be called; ok is false when
// nothing is waited for.
func (n *RawNode) Deadline() (t Time, ok bool) {
	if len(n.timers.a) == 0 {
		return 0, false
	}
	return n.timers.a[0].at, true
}

func (n *RawNode) take() []Action {
	if n.peers.len() > n.sweepAt {
		n.sweep()
	}
	out := n.out
	n.out = nil
	return out
}

func (n *RawNode) emit(a Action) { n.out = append(n.out, a) }

func (n *RawNode) after(d Time, t timer) {
	t.at = n.now + d
	n.timers.push(t)
}

// arm sets a timer of which there is one of its kind, replacing the former.
func (n *RawNode) arm(kind timerKind, d time.Duration) {
	if d < 0 {
		return
	}
	n.due[kind] = n.now + Time(d)
	n.after(Time(d), timer{kind: kind})
}

// jitter returns d changed at random by at most a quarter, so that nodes that
// started together do not act together.
func (n *RawNode) jitter(d time.Duration) time.Duration {
	return d*3/4 + time.Duration(n.rng.Int64N(int64(d)/2+1))
}

func (n *RawNode) fire(t timer) {
	switch t.kind {
	case timerPending:
		n.pendingDue(t.ref)
	case timerProbe:
		n.probeDue(t.id, t.ref)
	case timerCall:
		n.callDue(t.msg)
	case timerAck:
		n.ackDue(t.id)
	case timerGrant:
		n.grantDue(t.id, t.ref)
	case timerJoin:
		n.joinDue(t.ref)
	default:
		if n.due[t.kind] == t.at {
			n.fireOnly(t.kind)
		}
	}
}

// fireOnly runs the timers of which there is one of a kind.
func (n *RawNode) fireOnly(kind timerKind) {
	switch kind {
	case timerExpire:
		n.expire()
	case timerHeartbeat:
		n.heartbeat()
	case timerMonitor:
		n.monitor()
	case timerTable:
		n.probeTable()
	case timerRows:
		n.exchangeRows()
	case timerLeaves:
		n.exchangeLeaves()
	case timerMerge:
		n.seekLost()
	case timerLeave:
		n.leaveDue()
	case timerHold:
		n.tellKept()
	}
}

// receive is where every packet comes in.
func (n *RawNode) receive(from *Contact, p *Packet) {
	if from.ID == n.self.ID || !p.sane() {
		n.stats.Drops[DropMalformed]++
		return
	}
	n.stats.Received[p.Kind]++
	ps := n.touch(from, p)
	if ps == nil {
		n.stats.Drops[DropStale]++
		return
	}
	for _, seq := range p.Acks {
		n.acknowledged(ps, seq, false)
	}
	if p.Holding || p.Kind == KindHold {
		n.heldBy(ps)
	}
	switch p.Kind {
	case KindRoute:
		n.onRoute(ps, p)
	case KindReply:
		n.onReply(ps, p)
	case KindAck:
		n.onAck(ps, p)
	case KindProbe:
		n.onProbe(ps, p)
	case KindProbeReply:
		n.onProbeReply(ps, p)
	case KindHeartbeat:
		n.onHeartbeat(ps, p)
	case KindGrant:
		n.onGrant(ps, p)
	case KindGrantReply:
		n.onGrantReply(ps, p)
	case KindSuspect:
		n.onSuspect(ps, p)
	case KindLeave:
		n.onLeave(ps, p)
	case KindHold:
		n.heardFrom(ps)
	}
}

// send emits a packet to a peer, filling in what every packet says. The packet
// must be a new one: what was emitted before is not changed any more.
func (n *RawNode) send(to *peerState, p *Packet) {
	p.State = n.state
	if n.over {
		p.State = StateLeaving
	}
	if p.Kind == KindProbe || p.Kind == KindProbeReply || p.Kind == KindHeartbeat {
		p.Coord = n.self.Coord
	}
	if (p.Kind == KindProbe || p.Kind == KindProbeReply || p.Kind == KindHold) && n.keeps(to.c.ID) {
		p.Holding, to.told = p.Kind != KindHold, n.now
	}
	if p.Acks == nil {
		p.Acks = n.owed[to]
		delete(n.owed, to)
	}
	to.sent = n.now
	n.stats.Sent[p.Kind]++
	n.emit(Action{Kind: ActSend, To: to.c, Packet: p})
}

func (n *RawNode) nextSeq() uint64 {
	n.seq++
	return n.seq
}

// setState moves the node to its next state in life.
func (n *RawNode) setState(s State) {
	if n.state == s {
		return
	}
	n.state = s
	n.emit(Action{Kind: ActState, State: s})
}

// Self returns the node's own contact, with its coordinate of now.
func (n *RawNode) Self() *Contact { return n.self }

// State returns where the node is in its life.
func (n *RawNode) State() State { return n.state }

// Leaves returns the node's leaf set, to be read only between two steps.
func (n *RawNode) Leaves() *LeafSet { return n.leaves }

// Table returns the node's routing table, to be read only between two steps.
func (n *RawNode) Table() *Table { return n.table }

// Neighborhood returns the neighborhood set, to be read only between two steps.
func (n *RawNode) Neighborhood() *Neighborhood { return n.hood }

// RTT returns the least round trip measured of late to a node, zero if none was.
func (n *RawNode) RTT(id ring.ID) time.Duration {
	if ps := n.peers.get(id); ps != nil {
		return time.Duration(ps.rtt.least)
	}
	return 0
}

// Stats returns what the node has counted since it was made.
func (n *RawNode) Stats() Stats { return n.stats }
