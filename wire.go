package pastry

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// ErrMalformed is wrapped by the error for bytes from the network that break
// the rules of docs/protocol.md.
var ErrMalformed = errors.New("pastry: malformed packet")

// The most that a packet may hold. What goes beyond is malformed.
const (
	maxHops      = 255
	maxPath      = 255
	maxContacts  = 1024
	maxSuspects  = 1024
	maxDelivered = 1 << 14
	maxCoord     = 32 // numbers
	maxWireAcks  = 1024
	maxRegion    = 64  // bytes
	maxAppName   = 128 // bytes
	maxPeerID    = 64  // bytes
	maxRow       = ring.Bits
)

// encodePacket returns the wire form of p. The two share the payloads, the
// signatures, the records and the coordinates.
func encodePacket(p *Packet) *pb.Packet {
	return &pb.Packet{
		Kind:      pb.Kind(p.Kind),
		State:     pb.State(p.State),
		Seq:       p.Seq,
		Code:      pb.Code(p.Code),
		Coord:     p.Coord,
		Msg:       encodeRouted(p.Msg),
		Answer:    encodeAnswer(p.Answer),
		Attempt:   p.Attempt,
		Hops:      uint32(p.Hops),
		TtlMs:     milliseconds(p.TTL),
		Chosen:    p.Chosen,
		Path:      encodePeers(p.Path),
		Want:      uint32(p.Want),
		Row:       uint32(p.Row),
		Version:   p.Version,
		PeriodMs:  milliseconds(p.Period),
		Larger:    p.Larger,
		Contacts:  encodeContacts(p.Contacts),
		Suspects:  encodeIDs(p.Suspects),
		Delivered: encodeDelivered(p.Delivered),
		Acks:      p.Acks,
		Holding:   p.Holding,
		Holders:   encodeIDs(p.Holders),
		Held:      p.Held,
		Digest:    p.Digest,
	}
}

func encodeRouted(m *Routed) *pb.Routed {
	if m == nil {
		return nil
	}
	key := m.Key.Bytes()
	return &pb.Routed{
		Id:       m.ID[:],
		App:      m.App,
		Key:      key[:],
		Origin:   []byte(m.Origin),
		Join:     m.Join,
		Direct:   m.Direct,
		Payload:  m.Payload,
		Auth:     m.Auth,
		Replicas: uint32(m.Replicas),
		Coord:    m.Coord,
	}
}

func encodeAnswer(a *Answer) *pb.Answer {
	if a == nil {
		return nil
	}
	return &pb.Answer{
		Id:       a.ID[:],
		Origin:   []byte(a.Origin),
		Root:     []byte(a.Root),
		Code:     pb.Code(a.Code),
		Hops:     uint32(a.Hops),
		Path:     encodePeers(a.Path),
		Payload:  a.Payload,
		Auth:     a.Auth,
		Contacts: encodeContacts(a.Contacts),
	}
}

// encodeContact returns the wire form of c, which shares its slices.
func encodeContact(c *Contact) *pb.Contact {
	return &pb.Contact{
		Peer:   []byte(c.Peer),
		Epoch:  c.Epoch,
		Record: c.Record,
		Region: c.Region,
		Coord:  c.Coord,
		Client: c.Client,
	}
}

func encodeContacts(cs []*Contact) []*pb.Contact {
	return convert(cs, encodeContact)
}

func encodePeers(ps []PeerID) [][]byte {
	return convert(ps, func(p PeerID) []byte { return []byte(p) })
}

func encodeIDs(ids []ring.ID) [][]byte {
	return convert(ids, func(id ring.ID) []byte { b := id.Bytes(); return b[:] })
}

func encodeDelivered(ds []Delivery) []*pb.Delivery {
	return convert(ds, func(d Delivery) *pb.Delivery {
		key := d.Key.Bytes()
		return &pb.Delivery{Id: d.ID[:], Key: key[:], By: []byte(d.By)}
	})
}

// convert applies f to every element of s. The result is nil if s is empty, as
// it is after unmarshalling.
func convert[S, T any](s []S, f func(S) T) []T {
	if len(s) == 0 {
		return nil
	}
	out := make([]T, len(s))
	for i := range s {
		out[i] = f(s[i])
	}
	return out
}

// milliseconds rounds d up, so that a wait which is not over does not become
// one that is. What is negative becomes 0; the largest result is 49 days.
func milliseconds(d time.Duration) uint32 {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return uint32(max(0, min(ms, math.MaxUint32)))
}

// A decoder turns wire forms into packets. After a first fault, which err
// keeps, its results are worthless. What it returns shares the byte slices and
// coordinates of the wire form, which must not be changed afterwards.
type decoder struct {
	book *contactBook
	err  error
}

// decodePacket returns the packet that m stands for, with its contacts verified
// by book. The error wraps [ErrMalformed].
func decodePacket(m *pb.Packet, book *contactBook) (*Packet, error) {
	if m == nil {
		return nil, fmt.Errorf("%w: no packet", ErrMalformed)
	}
	d := decoder{book: book}
	p := d.packet(m)
	if d.err != nil {
		return nil, d.err
	}
	return p, nil
}

func (d *decoder) packet(m *pb.Packet) *Packet {
	d.kind(m)
	return &Packet{
		Kind:      Kind(m.Kind),
		State:     State(d.atMost("state", uint64(m.State), uint64(StateClient))),
		Seq:       m.Seq,
		Code:      d.code(m.Code),
		Coord:     d.coord(m.Coord),
		Msg:       d.routed(m.Msg),
		Answer:    d.answer(m.Answer),
		Attempt:   m.Attempt,
		Hops:      int(d.atMost("hops", uint64(m.Hops), maxHops)),
		TTL:       time.Duration(m.TtlMs) * time.Millisecond,
		Chosen:    m.Chosen,
		Path:      d.path(m.Path),
		Want:      Want(d.atMost("want", uint64(m.Want), math.MaxUint8)),
		Row:       int(d.atMost("row", uint64(m.Row), maxRow)),
		Version:   m.Version,
		Period:    time.Duration(m.PeriodMs) * time.Millisecond,
		Larger:    m.Larger,
		Contacts:  d.contacts(m.Contacts),
		Suspects:  decodeList(d, "suspects", m.Suspects, maxSuspects, d.ringID),
		Delivered: decodeList(d, "deliveries", m.Delivered, maxDelivered, d.delivery),
		Acks:      d.acks(m.Acks),
		Holding:   m.Holding,
		Holders:   decodeList(d, "holders", m.Holders, maxHolders, d.ringID),
		Held:      m.Held,
		Digest:    m.Digest,
	}
}

func (d *decoder) acks(seqs []uint64) []uint64 {
	d.atMost("acknowledgements", uint64(len(seqs)), maxWireAcks)
	return seqs
}

// kind checks that the kind is known and has the body it needs, and no other.
func (d *decoder) kind(m *pb.Packet) {
	kind := d.atMost("kind", uint64(m.Kind), uint64(numKinds-1))
	switch {
	case kind == 0:
		d.fail("no kind")
	case (m.Msg != nil) != (Kind(kind) == KindRoute):
		d.fail("%v with message: %t", Kind(kind), m.Msg != nil)
	case (m.Answer != nil) != (Kind(kind) == KindReply):
		d.fail("%v with answer: %t", Kind(kind), m.Answer != nil)
	}
	d.only(Kind(kind), "contacts", len(m.Contacts), KindRoute, KindProbeReply, KindGrantReply, KindLeave)
	d.only(Kind(kind), "suspects", len(m.Suspects), KindSuspect)
	d.only(Kind(kind), "holders", len(m.Holders), KindHeartbeat, KindProbeReply, KindSuspect)
	d.only(Kind(kind), "deliveries", len(m.Delivered), KindGrantReply, KindLeave)
	d.only(Kind(kind), "path", len(m.Path), KindRoute)
}

// only refuses a list in a packet of another kind: it would cost the receiver
// work for nothing.
func (d *decoder) only(kind Kind, list string, length int, kinds ...Kind) {
	if length > 0 && !slices.Contains(kinds, kind) {
		d.fail("%v with %s", kind, list)
	}
}

func (d *decoder) routed(m *pb.Routed) *Routed {
	if m == nil || d.err != nil {
		return nil
	}
	r := &Routed{
		ID:       d.messageID(m.Id),
		App:      m.App,
		Key:      d.ringID(m.Key),
		Origin:   d.peer(m.Origin),
		Join:     m.Join,
		Direct:   m.Direct,
		Payload:  m.Payload,
		Auth:     m.Auth,
		Replicas: int(d.atMost("replicas", uint64(m.Replicas), maxReplicas)),
		Coord:    d.coord(m.Coord),
	}
	if r.Replicas > 0 && (r.Join || r.Direct) {
		d.fail("a join, or a message to one member, for any of %d", r.Replicas)
	}
	d.atMost("bytes of application name", uint64(len(m.App)), maxAppName)
	r.OriginID = ring.FromPeer(r.Origin)
	return r
}

func (d *decoder) answer(m *pb.Answer) *Answer {
	if m == nil || d.err != nil {
		return nil
	}
	a := &Answer{
		ID:       d.messageID(m.Id),
		Origin:   d.peer(m.Origin),
		Root:     d.peer(m.Root),
		Code:     d.code(m.Code),
		Hops:     int(d.atMost("hops", uint64(m.Hops), maxHops)),
		Path:     d.path(m.Path),
		Payload:  m.Payload,
		Auth:     m.Auth,
		Contacts: d.contacts(m.Contacts),
	}
	a.OriginID = ring.FromPeer(a.Origin)
	return a
}

func (d *decoder) delivery(m *pb.Delivery) Delivery {
	return Delivery{ID: d.messageID(m.GetId()), Key: d.ringID(m.GetKey()), By: d.peer(m.GetBy())}
}

func (d *decoder) contacts(ms []*pb.Contact) []*Contact {
	return decodeList(d, "contacts", ms, maxContacts, func(m *pb.Contact) *Contact {
		c, err := d.book.contact(m)
		if err != nil && d.err == nil {
			d.err = err
		}
		return c
	})
}

func (d *decoder) path(bs [][]byte) []PeerID {
	return decodeList(d, "path", bs, maxPath, d.peer)
}

func (d *decoder) peer(b []byte) PeerID {
	if len(b) > maxPeerID {
		d.fail("peer ID of %d bytes", len(b))
		return ""
	}
	p, err := peer.IDFromBytes(b)
	if err != nil {
		d.fail("peer ID: %v", err)
	}
	return p
}

func (d *decoder) ringID(b []byte) ring.ID {
	id, err := ring.FromBytes(b)
	if err != nil {
		d.fail("%v", err)
	}
	return id
}

func (d *decoder) messageID(b []byte) (id MessageID) {
	if copy(id[:], b) != len(id) || len(b) != len(id) {
		d.fail("message ID of %d bytes", len(b))
	}
	return id
}

func (d *decoder) code(c pb.Code) Code {
	return Code(d.atMost("code", uint64(c), uint64(numCodes-1)))
}

func (d *decoder) coord(c []float32) []float32 {
	if err := checkCoord(c); err != nil {
		d.fail("%v", err)
	}
	return c
}

func checkCoord(c []float32) error {
	if len(c) > maxCoord {
		return fmt.Errorf("coordinate of %d numbers", len(c))
	}
	if slices.ContainsFunc(c, func(x float32) bool { return x-x != 0 }) { // NaN or an infinity
		return errors.New("coordinate is not finite")
	}
	return nil
}

// atMost returns v, or 0 with a fault when it is above limit. A negative enum,
// converted, is above every limit.
func (d *decoder) atMost(what string, v, limit uint64) uint64 {
	if v > limit {
		d.fail("%d is too large: %s may be %d", v, what, limit)
		return 0
	}
	return v
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, slices.Concat([]any{ErrMalformed}, args)...)
	}
}

// decodeList applies f to every element of s, up to the first fault. It is nil
// if s is empty.
func decodeList[S, T any](d *decoder, what string, s []S, limit int, f func(S) T) []T {
	d.atMost(what, uint64(len(s)), uint64(limit))
	if d.err != nil || len(s) == 0 {
		return nil
	}
	out := make([]T, 0, len(s))
	for i := range s {
		out = append(out, f(s[i]))
		if d.err != nil {
			return nil
		}
	}
	return out
}
