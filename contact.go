package pastry

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/ring"
)

// PeerID is libp2p's identity of a host. The core names it through this alias
// and never looks inside.
type PeerID = peer.ID

// Contact is what one node tells another about a third: who it is, and what is
// needed to reach and to judge it. Contacts are immutable once they are shared:
// the tables, messages and snapshots hold pointers to the same value.
type Contact struct {
	// ID is the node's point on the ring, ring.FromPeer(Peer).
	ID ring.ID
	// Peer is the libp2p identity.
	Peer PeerID
	// Epoch orders the incarnations of one peer: a node that restarts has a
	// larger one. Zero in contacts that were never heard from.
	Epoch uint64
	// Record is the peer's sealed, signed peer record (a libp2p envelope), the
	// only source of addresses to dial. It may be empty in simulations.
	Record []byte
	// Region names the place the node runs in, empty when it says nothing.
	Region string
	// Coord is the node's network coordinate in the form of its Proximity,
	// nil when unknown. It is a hint and is not signed.
	Coord []float32
	// Client is set for nodes that use the overlay without being part of it:
	// they are nobody's table entry and root of no key.
	Client bool
}

// NewContact returns the contact of a peer of which only the identity is known.
func NewContact(p PeerID) *Contact {
	return &Contact{ID: ring.FromPeer(p), Peer: p}
}

func ringID(p PeerID) ring.ID { return ring.FromPeer(p) }
