package pastry

import (
	"math"
	"slices"
	"time"

	"github.com/secondbit/pastry/ring"
)

// Snapshot is a canonical encoding of all that decides what a node does from now
// on, or of a packet. Two nodes of the same configuration whose snapshots are
// equal, what Refs names included, answer the same inputs with the same actions.
// It serves to recognise states that were met before, and is not for the wire.
//
// Times are encoded relative to the time of the node's last step and rounded.
// Numbers that only tell one thing from another are renamed: the node's own
// sequence numbers by their place in Waits; what was numbered by others is in
// Refs, for the reader of several snapshots to rename. Left out are statistics,
// the state of the random source, timers that mean nothing any more, and orders
// that only decide which of several packets of one instant is sent first: that of
// timers due at the same time, of the ways back, and of names a joiner heard.
type Snapshot struct {
	Bytes []byte
	Refs  []Ref
	// Waits are the node's own sequence numbers to which an answer still matters.
	Waits []uint64
	// Version is that of the node's leaf set, as its ProbeReplies tell it.
	Version uint64
	// Due is when the earliest timer fires that still means anything, zero if none
	// does. Deadline may be earlier.
	Due Time
}

// RefKind tells what a Ref names.
type RefKind uint8

// The kinds of Ref.
const (
	RefSeq     RefKind = iota // N is a sequence number of node Of
	RefVersion                // N is a version of the leaf set of node Of
	RefMessage                // Msg is the id of a message from node Of, if Of is set
)

// Ref is a name in a Snapshot that another node gave.
type Ref struct {
	Kind RefKind
	Of   ring.ID
	N    uint64
	Msg  MessageID
}

// Snapshot encodes the node into s, whose slices are reused. Times are rounded to
// multiples of grain. It does not change the node.
func (n *RawNode) Snapshot(grain time.Duration, s *Snapshot) {
	e := &snapshotter{Snapshot: s, now: n.now, grain: Time(grain)}
	e.reset()
	s.Version = n.leaves.version + 1
	e.life(n)
	e.peers(n)
	e.tables(n)
	e.joining(n)
	e.messages(n)
	e.upkeep(n)
	e.timers(n)
}

// Snapshot encodes a packet on its way between two nodes into s.
func (p *Packet) Snapshot(from, to ring.ID, grain time.Duration, s *Snapshot) {
	e := &snapshotter{Snapshot: s, grain: Time(grain)}
	e.reset()
	switch p.Kind {
	case KindRoute, KindReply, KindLeave, KindProbe, KindGrant:
		e.ref(Ref{Kind: RefSeq, Of: from, N: p.Seq})
	case KindAck, KindProbeReply, KindGrantReply:
		e.ref(Ref{Kind: RefSeq, Of: to, N: p.Seq})
	}
	for _, seq := range p.Acks {
		e.ref(Ref{Kind: RefSeq, Of: to, N: seq})
	}
	of := to
	if p.Kind == KindProbeReply {
		of = from
	}
	e.ref(Ref{Kind: RefVersion, Of: of, N: p.Version})
	e.packet(p)
}

// snapshotter writes a Snapshot.
type snapshotter struct {
	*Snapshot
	now, grain Time
	transits   []*transit // met so far, each encoded where it was met first
}

func (e *snapshotter) reset() {
	*e.Snapshot = Snapshot{Bytes: e.Bytes[:0], Refs: e.Refs[:0], Waits: e.Waits[:0]}
}

func (e *snapshotter) uint(v uint64) {
	for ; v >= 0x80; v >>= 7 {
		e.Bytes = append(e.Bytes, byte(v)|0x80)
	}
	e.Bytes = append(e.Bytes, byte(v))
}

func (e *snapshotter) int(v int64) { e.uint(uint64(v)<<1 ^ uint64(v>>63)) }

func (e *snapshotter) bool(v bool) { e.Bytes = append(e.Bytes, byte(boolToInt(v))) }

func (e *snapshotter) id(id ring.ID) {
	b := id.Bytes()
	e.Bytes = append(e.Bytes, b[:]...)
}

func (e *snapshotter) string(s string) {
	e.uint(uint64(len(s)))
	e.Bytes = append(e.Bytes, s...)
}

// time encodes a point in time. Zero is never, and different from any other.
func (e *snapshotter) time(t Time) {
	e.bool(t != 0)
	if t != 0 {
		e.span(t - e.now)
	}
}

// span encodes a time between two points.
func (e *snapshotter) span(d Time) {
	half := e.grain / 2
	if d < 0 {
		half = -half
	}
	e.int(int64((d + half) / e.grain))
}

// own encodes a sequence number of the node's own.
func (e *snapshotter) own(seq uint64) {
	if seq == 0 {
		e.uint(0)
		return
	}
	i := slices.Index(e.Waits, seq)
	if i < 0 {
		i = len(e.Waits)
		e.Waits = append(e.Waits, seq)
	}
	e.uint(uint64(i + 1))
}

func (e *snapshotter) ref(r Ref) {
	e.bool(r.N != 0 || r.Kind == RefMessage)
	if r.N != 0 || r.Kind == RefMessage {
		e.Refs = append(e.Refs, r)
	}
}

func (e *snapshotter) message(id MessageID, origin ring.ID) {
	e.ref(Ref{Kind: RefMessage, Of: origin, Msg: id})
}

func (e *snapshotter) contact(c *Contact) {
	e.bool(c != nil)
	if c == nil {
		return
	}
	e.id(c.ID)
	e.uint(c.Epoch)
	e.bool(c.Client)
	e.string(c.Region)
	e.coord(c.Coord)
}

func (e *snapshotter) coord(coord []float32) {
	e.uint(uint64(len(coord)))
	for _, x := range coord {
		e.uint(uint64(math.Float32bits(x)))
	}
}

func (e *snapshotter) contacts(cs []*Contact) {
	e.uint(uint64(len(cs)))
	for _, c := range cs {
		e.contact(c)
	}
}

// contactSet encodes contacts whose order does not matter.
func (e *snapshotter) contactSet(cs []*Contact) {
	cs = slices.Clone(cs)
	slices.SortFunc(cs, func(a, b *Contact) int { return a.ID.Compare(b.ID) })
	e.contacts(cs)
}

func (e *snapshotter) ids(ids []ring.ID) {
	e.uint(uint64(len(ids)))
	for _, id := range ids {
		e.id(id)
	}
}

// idSet encodes ids whose order does not matter. It sorts them.
func (e *snapshotter) idSet(ids []ring.ID) {
	slices.SortFunc(ids, ring.ID.Compare)
	e.ids(ids)
}

// packet encodes what a packet says, but for the numbers of the link it crosses.
func (e *snapshotter) packet(p *Packet) {
	e.uint(uint64(p.Kind))
	e.uint(uint64(p.State))
	e.uint(uint64(p.Code))
	e.coord(p.Coord)
	if e.bool(p.Msg != nil); p.Msg != nil {
		e.routed(p.Msg)
	}
	if e.bool(p.Answer != nil); p.Answer != nil {
		e.answer(p.Answer)
	}
	e.uint(uint64(p.Attempt))
	e.int(int64(p.Hops))
	e.span(Time(p.TTL))
	e.bool(p.Chosen)
	e.path(p.Path)
	e.uint(uint64(p.Want))
	e.int(int64(p.Row))
	e.span(Time(p.Period))
	e.bool(p.Larger)
	e.contacts(p.Contacts)
	e.ids(p.Suspects)
	e.uint(uint64(len(p.Delivered)))
	for _, d := range p.Delivered {
		e.message(d.ID, ring.ID{})
		e.id(d.Key)
		e.string(string(d.By))
	}
	e.bool(p.Holding)
	e.idSet(slices.Clone(p.Holders))
	e.uint(p.Held)
	e.uint(p.Digest)
}

func (e *snapshotter) routed(m *Routed) {
	e.message(m.ID, m.OriginID)
	e.string(m.App)
	e.id(m.Key)
	e.bool(m.Join)
	e.bool(m.Direct)
	e.uint(uint64(m.Replicas))
	e.coord(m.Coord)
	e.string(string(m.Payload))
	e.string(string(m.Auth))
}

func (e *snapshotter) answer(a *Answer) {
	e.message(a.ID, a.OriginID)
	e.string(string(a.Root))
	e.uint(uint64(a.Code))
	e.int(int64(a.Hops))
	e.path(a.Path)
	e.string(string(a.Payload))
	e.bool(a.Auth != nil)
	e.string(string(a.Auth))
	e.contacts(a.Contacts)
}

func (e *snapshotter) path(path []PeerID) {
	e.uint(uint64(len(path)))
	for _, p := range path {
		e.string(string(p))
	}
}
