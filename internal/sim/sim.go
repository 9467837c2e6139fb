package sim

import (
	"io"
	"math/rand/v2"
	"time"

	"github.com/secondbit/pastry"
)

// start is the virtual time at which every simulation begins.
const start = pastry.Time(time.Second)

// App is the application that every node registers.
const App = "echo"

// Config describes the world of a simulation. It is embedded in Sim, where all
// of it but Seed may be changed while the simulation stands.
type Config struct {
	// Seed is the source of all randomness: of the network, of the nodes, of
	// their ids and places.
	Seed uint64
	// Tune, if set, changes the settings of node i before it is made.
	Tune func(i int, cfg *pastry.Config)
	// Topology places the nodes and says how long packets take between them.
	// By default nodes lie at random on a sphere and are 1 to 110 ms apart.
	Topology Topology
	// Latency, if set, takes the place of the topology's delays.
	Latency func(from, to int) time.Duration
	// Jitter is the share of the latency by which a packet may be late at random.
	Jitter float64
	// Loss is the probability that a packet is lost.
	Loss float64
	// Late is the probability that a packet is held up for up to LateBy, so that
	// others overtake it.
	Late   float64
	LateBy time.Duration
	// FailAfter, if positive, makes a packet to a node that is down or behind a
	// partition come back as a failed send after this time. Otherwise nobody
	// learns of it.
	FailAfter time.Duration
	// Connect tells both nodes of a connection when the first packet gets from
	// one to the other, and of its end when one of them crashes with Reset.
	Connect bool
	// Deliver, if set, is the application's answer to a message it is given. The
	// default echoes the payload at once.
	Deliver func(d Delivery, msg *pastry.Routed) Reply
	// Forward, if set, is asked on the way of a message from node i to next. It
	// returns the message to pass on, nil to stop it.
	Forward func(i int, msg *pastry.Routed, next *pastry.Contact) *pastry.Routed
	// Ended, if set, is called when a message's receipt has come, or when its
	// origin crashed or restarted before. The message is forgotten afterwards:
	// Messages returns only those that have not ended.
	Ended func(m *Message)
	// Watch, if set, sees every action of every node before it is carried out.
	Watch func(i int, a *pastry.Action)
	// Trace, if set, is given a line for every event.
	Trace io.Writer
}

// Reply is what an application makes of a message.
type Reply struct {
	Payload []byte
	Code    pastry.Code
	After   time.Duration
	Never   bool // there is no answer
}

// Sim is a simulation. It is not safe for concurrent use; several may run
// beside each other.
type Sim struct {
	Config

	now      pastry.Time
	queue    queue
	rng      *rand.Rand // of the network and of the scenario
	nodes    []*node
	members  members
	joiners  int     // nodes that join as members
	roster   *roster // of a perfect ring, nil when there is none or every member is made
	unmade   int     // its members that have no state machine yet
	messages messages
	faults   []error
	out      []pastry.Action // reused from event to event
	hash     uint64
	counts   Counts
}

// Counts is what a simulation has counted since it began.
type Counts struct {
	Events  uint64 // that happened
	Packets uint64 // that were sent
	Lost    uint64 // of them at random
	Cut     uint64 // of them to nodes that were down or behind a partition
}

// New returns a simulation without nodes.
func New(cfg Config) *Sim {
	if cfg.Topology == nil {
		cfg.Topology = globe{}
	}
	return &Sim{
		Config: cfg,
		now:    start,
		rng:    rand.New(rand.NewPCG(cfg.Seed, 0x5eed)),
		hash:   cfg.Seed,
	}
}

// Now returns the virtual time since the beginning.
func (s *Sim) Now() time.Duration { return time.Duration(s.now - start) }

// Rand returns the generator of the network. A scenario that draws from it stays
// a function of the seed.
func (s *Sim) Rand() *rand.Rand { return s.rng }

// Counts returns what was counted so far.
func (s *Sim) Counts() Counts { return s.counts }

// Hash returns the hash of everything that happened so far, in its order.
func (s *Sim) Hash() uint64 { return s.hash }

// After calls f when the given virtual time has passed.
func (s *Sim) After(d time.Duration, f func()) {
	s.queue.push(s.now+pastry.Time(d), event{kind: evCall, node: -1, fn: f})
}

// Run lets the given virtual time pass.
func (s *Sim) Run(d time.Duration) {
	end := s.now + pastry.Time(d)
	for s.queue.len() > 0 && s.queue.heap[0].at <= end {
		s.step()
	}
	s.now = end
}

// RunUntil lets time pass until done returns true, asking every so often, but at
// most limit. It returns the time that passed and whether done was true.
func (s *Sim) RunUntil(done func() bool, every, limit time.Duration) (time.Duration, bool) {
	began := s.now
	for !done() {
		if time.Duration(s.now-began) >= limit {
			return time.Duration(s.now - began), false
		}
		s.Run(every)
	}
	return time.Duration(s.now - began), true
}

// step lets the next event happen.
func (s *Sim) step() {
	p, e := s.queue.pop()
	s.now = p.at
	if e.kind == evCall {
		s.note(&e)
		e.fn()
		return
	}
	n := s.nodes[e.node]
	if e.kind == evWake {
		if n.wake != p.seq {
			return // an earlier one has taken its place
		}
		n.wake = 0
	}
	if !n.up || n.gen != e.gen {
		if e.kind == evPacket {
			s.counts.Cut++
		}
		return
	}
	switch e.kind {
	case evPacket:
		s.arrive(n, &e)
	case evFailed:
		s.note(&e)
		s.input(n, pastry.Input{Kind: pastry.InSendFailed, From: e.peer, Packet: e.packet})
	case evWake:
		s.advance(n, &e)
	case evInput:
		s.note(&e)
		s.input(n, *e.input)
	}
}

// advance runs the due timers of a node, or sets the alarm clock anew if its
// deadline has moved away since.
func (s *Sim) advance(n *node, e *event) {
	if at, ok := n.raw.Deadline(); ok && at <= n.clock(s.now) {
		s.note(e)
		s.out = n.raw.Advance(n.clock(s.now), s.out[:0])
		s.act(n)
	}
	s.schedule(n)
}

// input gives a node an input and carries out what it wants done.
func (s *Sim) input(n *node, in pastry.Input) {
	if n.raw == nil {
		if s.roster.over() {
			return
		}
		s.enrol(n)
	}
	s.out = n.raw.Step(n.clock(s.now), in, s.out[:0])
	s.act(n)
	s.schedule(n)
}

// schedule sees to it that a node is woken at its deadline. There is one valid
// wake-up a node; it is replaced only when the deadline gets earlier.
func (s *Sim) schedule(n *node) {
	at, ok := n.raw.Deadline()
	if !ok || !n.up {
		return
	}
	at = max(at-n.offset, s.now)
	if n.wake != 0 && n.wakeAt <= at {
		return
	}
	n.wakeAt = at
	n.wake = s.queue.push(at, event{kind: evWake, node: n.index, gen: n.gen}).seq
}

// act carries out the actions of a node's last step. What answers an action is
// an event of its own; only a callback of Config may step a node meanwhile.
func (s *Sim) act(n *node) {
	out := s.out
	s.out = nil
	for i := range out {
		a := &out[i]
		if s.Watch != nil {
			s.Watch(int(n.index), a)
		}
		switch a.Kind {
		case pastry.ActSend:
			s.send(n, a)
		case pastry.ActDeliver:
			s.deliver(n, a)
		case pastry.ActForward:
			s.forward(n, a)
		case pastry.ActReceipt:
			s.receipt(n, a)
		case pastry.ActSign:
			signed := *a.Msg
			signed.Auth = []byte("signed")
			s.answer(n, 0, pastry.Input{Kind: pastry.InSigned, ID: signed.ID, Msg: &signed})
		case pastry.ActVouch:
			s.answer(n, 0, pastry.Input{Kind: pastry.InVouched, ID: a.Answer.ID, Auth: []byte("signed")})
		case pastry.ActState:
			s.setState(n, a.State)
		}
	}
	clear(out)
	s.out = out[:0]
}

// answer lets a node have an input after a while, if it is up then.
func (s *Sim) answer(n *node, d time.Duration, in pastry.Input) {
	s.queue.push(s.now+pastry.Time(d), event{kind: evInput, node: n.index, gen: n.gen, from: int32(in.Kind), input: &in})
}
