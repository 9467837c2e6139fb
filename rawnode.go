package pastry

import (
	"math/rand/v2"
	"slices"
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

	leaves *LeafSet
	table  *Table
	hood   *Neighborhood
	peers  map[ring.ID]*peerState
	known  index // the usable ones of peers
	apps   map[string]bool

	timers timerHeap
	due    [timerLeave + 1]Time // when the one-of-a-kind timers fire

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
	lost       []*Contact // dead leaves and seeds, for merging, oldest first
	lostNext   int
	candidate  []*Contact   // for the table, waiting for a probe
	asking     int          // table probes outstanding
	leafProbes []*peerState // being probed for the leaf set
	rows       rowRepair
	tuning     tuning
	exchanges  int           // leaf exchanges since the start, to take turns
	leafWait   time.Duration // until the next leaf exchange
	lookedUp   Time          // when a lost part of the ring was last looked up
	strained   int           // see strain
	strainedAt Time
	handing    bool             // its immediate neighbours are being told that it leaves
	closing    bool             // it leaves, and takes over nothing more for its own keys
	farewell   map[ring.ID]bool // to whom the node said that it leaves
	kept       []*transit       // while closing, messages that a neighbour is to be root of
}

// grave marks a node that was found dead.
type grave struct {
	at    Time
	epoch uint64
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
		peers:      make(map[ring.ID]*peerState),
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
	n.tuning.period = maxTablePeriod
	return n, nil
}

// InputKind tells what happened.
type InputKind uint8

// The inputs of Step. Fields of Input that a kind does not name are ignored.
const (
	InPacket       InputKind = iota // From sent Packet
	InSendFailed                    // Packet could not be sent to From
	InConnected                     // there is an open connection to From
	InDisconnected                  // the last connection to From is gone
	InJoin                          // join the ring through any of Contacts; with none, start one
	InLeave                         // tell the neighbours and stop; the second time, stop at once
	InSelf                          // the node's own contact is now From
	InRegister                      // messages for App may be forwarded and delivered here
	InUnregister                    // and no longer
	InRoute                         // send Msg on its way, first to From if it is set; give up after TTL
	InCancel                        // the caller of message ID has given up
	InForwarded                     // answers ActForward of ID: pass on Msg, or stop it if Msg is nil
	InDelivered                     // answers ActDeliver of ID with Code, Payload and Auth
	InSigned                        // answers ActSign of ID with Msg
	InVouched                       // answers ActVouch of ID with Auth
	InMerge                         // look for another part of the ring through Contacts
)

// Input is something that happened: a tagged struct in which Kind tells the
// fields that matter. What it points to belongs to the node from then on and is
// not to be changed.
type Input struct {
	Kind     InputKind
	From     *Contact
	Packet   *Packet
	Contacts []*Contact
	App      string
	ID       MessageID
	Msg      *Routed
	TTL      time.Duration
	Code     Code
	Payload  []byte
	Auth     []byte
}

// ActionKind tells what the driver must do.
type ActionKind uint8

// The actions Step and Advance return, to be carried out in order.
const (
	ActSend      ActionKind = iota // send Packet to To, dialling if need be; report a failure with InSendFailed
	ActDeliver                     // give Msg, which came from To, to its application, answer with InDelivered
	ActForward                     // ask the application about Msg going to To, answer with InForwarded
	ActReceipt                     // message Answer.ID of this node's own has ended; the answer came from To, if set
	ActSign                        // sign Msg, of this node's own, and give it back with InSigned: it goes through others
	ActVouch                       // sign Answer and give it back with InVouched: it goes through others
	ActState                       // the node's State changed
	ActLeaves                      // the leaf set changed
	ActJoined                      // To has entered the leaf set
	ActGone                        // To was in a table and is dead, or has left (Code is CodeNotActive)
	ActHeartbeat                   // To, the right neighbour, has given its sign of life
	ActForget                      // To did not answer: connections to it are of no use
)

// Action is something for the driver to do: a tagged struct in which Kind tells
// the fields that are set. What it points to is shared with the node and with
// other actions, and is not to be changed.
type Action struct {
	Kind   ActionKind
	To     *Contact
	Packet *Packet
	Msg    *Routed
	Hops   int           // ActDeliver, ActForward: links crossed so far
	TTL    time.Duration // ActDeliver, ActForward: time left until the origin gives up
	Path   []PeerID      // ActDeliver: the nodes passed
	Answer *Answer
	State  State
	Code   Code
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
		if right := n.leaves.Right(); right != nil && right.ID == ps.c.ID {
			n.emit(Action{Kind: ActHeartbeat, To: ps.c})
		}
		n.heardFrom(ps)
	case KindGrant:
		n.onGrant(ps, p)
	case KindGrantReply:
		n.onGrantReply(ps, p)
	case KindSuspect:
		n.onSuspect(ps, p)
	case KindLeave:
		n.onLeave(ps, p)
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
		p.Coord = n.cfg.Proximity.Coordinate()
	}
	if p.Acks == nil {
		p.Acks, to.owed = to.owed, nil
	}
	to.sent = n.now
	n.stats.Sent[p.Kind]++
	n.emit(Action{Kind: ActSend, To: to.c, Packet: p})
}

func (n *RawNode) nextSeq() uint64 {
	n.seq++
	return n.seq
}

// peer returns the state kept for a contact, making it if there is none.
func (n *RawNode) peer(c *Contact) *peerState {
	ps := n.peers[c.ID]
	if ps == nil {
		ps = &peerState{c: c}
		n.peers[c.ID] = ps
	}
	return ps
}

// touch notes the sign of life that a packet is. It returns nil if the packet
// is from an incarnation of the sender that is no more.
func (n *RawNode) touch(from *Contact, p *Packet) *peerState {
	ps := n.peer(from)
	switch {
	case from.Epoch < ps.epoch:
		return nil
	case from.Epoch > ps.epoch:
		n.reborn(ps, from)
	}
	state := p.State
	if from.Client {
		state = StateClient
	}
	ps.heard = n.now
	ps.state = max(ps.state, state)
	n.refresh(ps, from, p.Coord)
	if g, dead := n.dead[from.ID]; dead {
		if from.Epoch == g.epoch && p.State == StateActive {
			n.hasty()
		}
		delete(n.dead, from.ID)
	}
	_, hop := n.known.search(from.ID)
	held := hop || n.holds(from.ID)
	switch {
	case held && (ps.state == StateJoining && !n.granted(from.ID) || ps.state == StateClient):
		n.evict(ps)
	case held && ps.state == StateLeaving && p.Kind != KindLeave:
		n.gone(ps)
	case ps.state == StateActive:
		n.releaseGrant(from.ID)
	}
	if ps.probe != nil && ps.probe.want == 0 && ps.probe.why == whyAlive {
		n.endProbe(ps, true)
	}
	return ps
}

// reborn replaces what is known of a peer that has started anew.
func (n *RawNode) reborn(ps *peerState, c *Contact) {
	if ps.epoch != 0 {
		n.evict(ps)
		ps.live, ps.state, ps.owed, ps.handed = false, StateIdle, nil, false
	}
	ps.epoch, ps.version = c.Epoch, 0
}

// refresh puts newer words about a peer into the tables that hold it.
func (n *RawNode) refresh(ps *peerState, from *Contact, coord []float32) {
	if from == ps.said && (coord == nil || slices.Equal(coord, ps.c.Coord)) {
		return
	}
	ps.said = from
	c := *from
	if coord != nil {
		c.Coord = coord
	} else if c.Coord == nil {
		c.Coord = ps.c.Coord
	}
	ps.c = &c
	if n.leaves.Get(c.ID) != nil {
		n.leaves.Insert(ps.c)
	}
	if n.table.Contains(c.ID) {
		n.table.Insert(ps.c, n.distance)
	}
	if n.hood.Contains(c.ID) {
		n.hood.Insert(ps.c, n.distance(ps.c))
	}
}

// distance returns the proximity of a contact, farther than anything when it is
// not known.
func (n *RawNode) distance(c *Contact) Time {
	if d, ok := n.predict(c); ok {
		return d
	}
	return 1 << 62
}

func (n *RawNode) predict(c *Contact) (Time, bool) {
	var least Time
	if ps := n.peers[c.ID]; ps != nil {
		least = ps.rtt.least
	}
	d, ok := n.cfg.Proximity.Distance(c, time.Duration(least))
	return Time(d), ok
}

// connected notes an open connection, over which the peer may serve as a hop.
// What waited for the first one has left only now.
func (n *RawNode) connected(c *Contact) {
	ps := n.peer(c)
	if ps.connected {
		return
	}
	ps.connected, ps.cutOff = true, false
	if ps.probe != nil {
		n.probeLeft(ps)
	}
	for _, t := range n.waitingFor(ps) {
		if t.tries == 1 {
			t.due += n.now - t.sentAt
			t.sentAt, t.firstAt = n.now, n.now
			n.timers.push(timer{at: t.due, kind: timerPending, ref: t.pkt.Seq})
		}
	}
}

// disconnected notes that the connection to a peer is gone. A closed connection
// is not a dead node: the peer is probed if it matters.
func (n *RawNode) disconnected(c *Contact) {
	ps := n.peers[c.ID]
	if ps == nil {
		return
	}
	ps.connected, ps.cutOff = false, true
	for _, t := range n.waitingFor(ps) {
		t.due = n.now
		n.timers.push(timer{at: n.now, kind: timerPending, ref: t.pkt.Seq})
	}
	if n.holds(c.ID) {
		n.ask(ps, whyAlive, 0, 0)
	}
}

// holds reports whether any table has the node.
func (n *RawNode) holds(id ring.ID) bool {
	return n.leaves.Get(id) != nil || n.table.Contains(id) || n.hood.Contains(id)
}

// setState moves the node to its next state in life.
func (n *RawNode) setState(s State) {
	if n.state == s {
		return
	}
	n.state = s
	n.emit(Action{Kind: ActState, State: s})
}

// Self returns the node's own contact.
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
	if ps := n.peers[id]; ps != nil {
		return time.Duration(ps.rtt.least)
	}
	return 0
}

// Stats returns what the node has counted since it was made.
func (n *RawNode) Stats() Stats { return n.stats }
