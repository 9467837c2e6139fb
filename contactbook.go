package pastry

import (
	"bytes"
	"container/list"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/secondbit/pastry/pb"
)

// maxRecord is the longest sealed peer record that is sent or accepted, in
// bytes.
const maxRecord = 8 << 10

// A contactBook turns the contacts that others send into verified ones. It
// remembers the peers seen last, so that a record is verified once, no matter
// how many neighbours repeat it, and so that equal contacts share their memory.
// It is safe for concurrent use.
type contactBook struct {
	size int

	mu      sync.Mutex // guards what follows; not held while verifying
	entries map[PeerID]*list.Element
	recent  list.List // of *bookEntry, the latest used in front
}

// A bookEntry is the latest contact of one peer and the sequence number of its
// record, 0 when there is no record.
type bookEntry struct {
	contact *Contact
	seq     uint64
}

// newContactBook returns a book of at most size peers.
func newContactBook(size int) *contactBook {
	return &contactBook{size: max(size, 1), entries: make(map[PeerID]*list.Element)}
}

// contact returns the contact that m stands for. When m says what was said of
// the peer last time, that is the same value as then.
//
// The record is verified unless its bytes are those of the last one. An older
// record, or none, is replaced by the latest of the book, so what a contact
// returned holds is always verified. The error wraps [ErrMalformed], also when
// the record is forged or another peer's.
func (b *contactBook) contact(m *pb.Contact) (*Contact, error) {
	c, err := decodeContact(m)
	if err != nil {
		return nil, err
	}
	if shared := b.recall(c); shared != nil {
		return shared, nil
	}
	rec, err := consumeRecord(c.Peer, c.Record)
	if err != nil {
		return nil, err
	}
	return b.store(c, rec.Seq), nil
}

// recall returns the contact to use for c if no record needs to be verified for
// it, and nil otherwise.
func (b *contactBook) recall(c *Contact) *Contact {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.lookup(c.Peer)
	switch {
	case e != nil && (len(c.Record) == 0 || bytes.Equal(c.Record, e.contact.Record)):
		return e.update(c)
	case len(c.Record) == 0:
		b.add(&bookEntry{contact: c})
		return c
	}
	return nil
}

// store takes in c, whose record is verified and has sequence number seq.
func (b *contactBook) store(c *Contact, seq uint64) *Contact {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.lookup(c.Peer)
	if e == nil {
		b.add(&bookEntry{contact: c, seq: seq})
		return c
	}
	if seq > e.seq || len(e.contact.Record) == 0 {
		e.contact, e.seq = c, seq
	}
	return e.update(c)
}

// update takes in everything about c but its record.
func (e *bookEntry) update(c *Contact) *Contact {
	old := e.contact
	if c.Epoch == old.Epoch && c.Region == old.Region && c.Client == old.Client && slices.Equal(c.Coord, old.Coord) {
		return old
	}
	c.Record = old.Record
	e.contact = c
	return c
}

// lookup returns the entry of p, now the latest used, or nil.
func (b *contactBook) lookup(p PeerID) *bookEntry {
	el := b.entries[p]
	if el == nil {
		return nil
	}
	b.recent.MoveToFront(el)
	return el.Value.(*bookEntry)
}

// add puts in the entry of a peer that has none, in the place of the one not
// used for the longest time.
func (b *contactBook) add(e *bookEntry) {
	b.entries[e.contact.Peer] = b.recent.PushFront(e)
	if b.recent.Len() > b.size {
		last := b.recent.Remove(b.recent.Back()).(*bookEntry)
		delete(b.entries, last.contact.Peer)
	}
}

// addrs returns the addresses of c's record, none if it has no record. It
// verifies the record anew, so c may come from anywhere. The error wraps
// [ErrMalformed].
func (b *contactBook) addrs(c *Contact) ([]ma.Multiaddr, error) {
	if len(c.Record) == 0 {
		return nil, nil
	}
	rec, err := consumeRecord(c.Peer, c.Record)
	if err != nil {
		return nil, err
	}
	return rec.Addrs, nil
}

// decodeContact returns the contact that m stands for, its record unverified.
func decodeContact(m *pb.Contact) (*Contact, error) {
	if m == nil {
		return nil, fmt.Errorf("%w: no contact", ErrMalformed)
	}
	var d decoder
	c := NewContact(d.peer(m.Peer))
	c.Epoch, c.Record, c.Region, c.Client = m.Epoch, m.Record, m.Region, m.Client
	c.Coord = d.coord(m.Coord)
	d.atMost("bytes of region", uint64(len(m.Region)), maxRegion)
	d.atMost("bytes of record", uint64(len(m.Record)), maxRecord)
	return c, d.err
}

// consumeRecord verifies that a sealed peer record is signed by p and about p.
// The signature of an envelope alone only shows that somebody signed it.
func consumeRecord(p PeerID, sealed []byte) (*peer.PeerRecord, error) {
	if len(sealed) > maxRecord {
		return nil, fmt.Errorf("%w: record of %d bytes, at most %d", ErrMalformed, len(sealed), maxRecord)
	}
	envelope, rec, err := record.ConsumeEnvelope(sealed, peer.PeerRecordEnvelopeDomain)
	if err != nil {
		return nil, fmt.Errorf("%w: record of %s: %w", ErrMalformed, p, err)
	}
	pr, ok := rec.(*peer.PeerRecord)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: record of %s holds a %T", ErrMalformed, p, rec)
	case pr.PeerID != p:
		return nil, fmt.Errorf("%w: record of %s is about %s", ErrMalformed, p, pr.PeerID)
	case !p.MatchesPublicKey(envelope.PublicKey):
		return nil, fmt.Errorf("%w: record of %s is signed by another key", ErrMalformed, p)
	}
	return pr, nil
}

// sealRecord returns the peer record of p, the peer of key, with as many of the
// addresses, taken in order, as fit maxRecord. A peer prefers the record with
// the larger seq.
func sealRecord(key crypto.PrivKey, p peer.ID, addrs []ma.Multiaddr, seq uint64) ([]byte, error) {
	for {
		envelope, err := record.Seal(&peer.PeerRecord{PeerID: p, Addrs: addrs, Seq: seq}, key)
		if err != nil {
			return nil, fmt.Errorf("pastry: sealing the peer record: %w", err)
		}
		sealed, err := envelope.Marshal()
		if err != nil {
			return nil, fmt.Errorf("pastry: marshalling the peer record: %w", err)
		}
		if len(sealed) <= maxRecord || len(addrs) == 0 {
			return sealed, nil
		}
		addrs = addrs[:len(addrs)/2]
	}
}
