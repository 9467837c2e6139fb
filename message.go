package pastry

import (
	"time"

	"github.com/secondbit/pastry/ring"
)

// Kind tells what a Packet says.
type Kind uint8

// The kinds of packets neighbours exchange; docs/protocol.md describes each.
const (
	KindRoute      Kind = 1 + iota // a message on its way to the root of its key
	KindReply                      // the root's answer on its way back
	KindAck                        // the next hop has taken over a Route, Reply or Leave, or refuses it
	KindProbe                      // are you alive, and what do you know
	KindProbeReply                 // the answer to a Probe
	KindHeartbeat                  // sign of life to the left neighbour
	KindGrant                      // a joiner asks an immediate neighbour for its part of the ring
	KindGrantReply                 // the neighbour's answer
	KindSuspect                    // the sender suspects these nodes to be dead
	KindLeave                      // the sender leaves the ring
	KindHold                       // the sender keeps the receiver in its tables
	numKinds
)

var kindNames = [numKinds]string{"unknown", "route", "reply", "ack", "probe", "probe-reply",
	"heartbeat", "grant", "grant-reply", "suspect", "leave", "hold"}

// String returns the kind as the metrics name it.
func (k Kind) String() string {
	if k >= numKinds {
		k = 0
	}
	return kindNames[k]
}

// State is a node's place in its life. Within one epoch it only grows.
type State uint8

// A node joins, is active, and leaves. A client never becomes active.
const (
	StateIdle State = iota
	StateJoining
	StateActive
	StateLeaving
	StateClient
)

// String returns the state in lower case, such as "active".
func (s State) String() string {
	return [...]string{"idle", "joining", "active", "leaving", "client"}[min(s, StateClient)]
}

// MessageID names one routed message end to end; its origin draws it at random.
type MessageID [16]byte

// Want tells a probed node which of its tables to put into the answer.
type Want uint8

// The tables a Probe can ask for.
const (
	WantLeaves  Want = 1 << iota // the leaf set
	WantHood                     // the neighborhood set
	WantRow                      // the row of the routing table given in Packet.Row
	WantHolders                  // who keeps the node in its tables
)

// Code says how a routed message ended.
type Code uint8

// The codes of a Reply, a refusing Ack and a GrantReply.
const (
	CodeOK          Code = iota
	CodeAppError         // the application's Deliver returned an error; its text is the payload
	CodeNoApp            // nobody registered the application at the root
	CodeStopped          // a node on the way stopped the message
	CodeHopLimit         // too many hops
	CodeUnreachable      // the addressed member is not in the ring
	CodeForged           // a signature did not match
	CodeBusy             // try again: queue full, or another joiner is being helped
	CodeNotActive        // the node is not, or no longer, active
	CodeNotNeighbor      // the joiner's place is not next to the asked node
	CodeDuplicate        // delivered before, and the answer is lost
	CodeTimeout          // the deadline passed without an answer
	CodeCancelled        // the caller gave up
	CodeUnsigned         // the node is not root, and a message that goes on must be signed
	numCodes
)

var codeNames = [numCodes]string{"ok", "application error", "no such application", "stopped on the way",
	"hop limit reached", "not a member", "forged signature", "busy", "not active", "not a neighbor",
	"delivered before, answer lost", "no answer in time", "cancelled", "not signed"}

// String returns the code in words.
func (c Code) String() string {
	if c >= numCodes {
		return "unknown code"
	}
	return codeNames[c]
}

// Routed is the part of a message that travels from its origin to the root,
// the same at every hop. It is immutable; a forwarder that changes the payload
// makes a new one.
type Routed struct {
	ID       MessageID
	App      string    // the application it is for; empty for a join
	Key      ring.ID   // where to
	Origin   PeerID    // who sent it
	OriginID ring.ID   // ring.FromPeer(Origin)
	Join     bool      // the origin joins at Key, its own id: hops add their rows
	Direct   bool      // only the node whose id is Key may deliver
	Replicas int       // any of so many members closest to Key may deliver, preferably the one nearest to the origin; below 2 only the root
	Coord    []float32 // with Replicas, the network coordinate of the origin, empty if it has none
	Payload  []byte
	Auth     []byte // the signatures, opaque to the core; empty until one is needed, see ActSign
}

// unsigned reports whether nobody but the link it came by vouches for a message.
func (m *Routed) unsigned() bool { return len(m.Auth) == 0 && !m.Join }

// Answer is the root's reply to a Routed, immutable as well.
type Answer struct {
	ID       MessageID
	Origin   PeerID
	OriginID ring.ID
	Root     PeerID // who delivered, or who gave up
	Code     Code
	Hops     int      // links the message crossed from origin to root
	Path     []PeerID // the nodes it passed, origin excluded, root included
	Payload  []byte
	Auth     []byte     // the root's signature, opaque to the core
	Contacts []*Contact // for a join: the hops' rows and the root's leaf set
}

// Packet is one protocol message between two neighbours: a tagged struct in
// which Kind tells the fields that matter. It is immutable once emitted.
type Packet struct {
	Kind  Kind
	State State     // the sender's
	Seq   uint64    // Route, Reply, Leave, Probe, Grant: drawn by the sender; answers repeat it
	Code  Code      // Ack, GrantReply
	Coord []float32 // Probe, ProbeReply, Heartbeat: the sender's network coordinate

	Msg     *Routed       // Route
	Answer  *Answer       // Reply
	Attempt uint32        // Route, Reply: the origin's count of end-to-end sends
	Hops    int           // Route: links crossed so far; Reply: links crossed back
	TTL     time.Duration // Route: time left until the origin gives up
	Chosen  bool          // Route: the sender has chosen the receiver of those that may deliver
	Path    []PeerID      // Route: the nodes passed so far, origin excluded

	Want      Want          // Probe, ProbeReply
	Row       int           // Probe, ProbeReply with WantRow; Route of a join: the first row not yet added
	Version   uint64        // Probe: of the leaf set the prober has; ProbeReply: of the sender's
	Period    time.Duration // ProbeReply: the sender's own table probing period
	Larger    bool          // Grant, GrantReply: the joiner is on the asked node's larger side
	Contacts  []*Contact    // Route of a join, ProbeReply, GrantReply; Leave: the immediate neighbours
	Suspects  []ring.ID     // Suspect
	Delivered []Delivery    // GrantReply, Leave: messages delivered of late in the range handed over
	Holding   bool          // Probe, ProbeReply: the sender keeps the receiver in its tables
	Holders   []ring.ID     // Heartbeat: the sender's holders that came or went; ProbeReply: all; Suspect: whom to tell
	Held      uint64        // Heartbeat: the digest of the sender's holders
	Digest    uint64        // Heartbeat, Probe: of what the sender and its left, or right, neighbour should both see
	Acks      []uint64      // any kind: sequence numbers of packets the sender has taken over as well
}

// sane reports whether a node that keeps the rules can have sent the packet. A
// path names each hop but the origin, so it is shorter than the way; a longer one
// would grow beyond what the next hop accepts.
func (p *Packet) sane() bool {
	return p.Kind > 0 && p.Kind < numKinds && (len(p.Path) == 0 || len(p.Path) < p.Hops)
}

// Delivery tells a new root that a message for its range was delivered before.
type Delivery struct {
	ID  MessageID
	Key ring.ID
	By  PeerID // who delivered it
}

// weight returns about how many bytes of memory the packet takes up for itself.
func (p *Packet) weight() int {
	n := 256 + 8*len(p.Contacts) + 16*len(p.Path) + 64*len(p.Delivered) + 16*len(p.Holders)
	if p.Msg != nil {
		n += len(p.Msg.Payload) + len(p.Msg.Auth)
	}
	if p.Answer != nil {
		n += len(p.Answer.Payload) + len(p.Answer.Auth) + 8*len(p.Answer.Contacts)
	}
	return n
}
