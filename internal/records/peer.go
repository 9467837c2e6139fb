package records

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	// MaxPeerRecord is the longest sealed peer record in bytes.
	MaxPeerRecord = 8 << 10

	// MaxPeer is how long after the time that its sequence number says a peer
	// record is held under the peer's own ID.
	MaxPeer = 24 * time.Hour
)

// Addresses says where a peer is: a peer record that was verified when it came
// in.
type Addresses struct {
	Peer   peer.ID
	Seq    uint64 // the larger one of two replaces the other
	Addrs  []ma.Multiaddr
	Key    crypto.PubKey
	Sealed []byte // as the peer signed it
}

// OpenAddresses returns what is in a sealed peer record, a libp2p envelope,
// after verifying that the peer it names signed it. The error wraps [ErrForged].
func OpenAddresses(sealed []byte) (*Addresses, error) {
	if len(sealed) > MaxPeerRecord {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrForged, len(sealed), MaxPeerRecord)
	}
	var p peer.PeerRecord
	envelope, err := record.ConsumeTypedEnvelope(sealed, &p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	case !bytes.Equal(envelope.PayloadType, p.Codec()):
		return nil, fmt.Errorf("%w: payload type %q", ErrForged, envelope.PayloadType)
	case !p.PeerID.MatchesPublicKey(envelope.PublicKey):
		return nil, fmt.Errorf("%w: peer record of %s, signed by another key", ErrForged, p.PeerID)
	}
	return &Addresses{Peer: p.PeerID, Seq: p.Seq, Addrs: p.Addrs, Key: envelope.PublicKey, Sealed: sealed}, nil
}

// readAddresses returns what is in a sealed peer record that was verified
// before.
func readAddresses(sealed []byte) (*Addresses, error) {
	envelope, err := record.UnmarshalEnvelope(sealed)
	if err != nil {
		return nil, err
	}
	var p peer.PeerRecord
	if err := envelope.TypedRecord(&p); err != nil {
		return nil, err
	}
	return &Addresses{Peer: p.PeerID, Seq: p.Seq, Addrs: p.Addrs, Key: envelope.PublicKey, Sealed: sealed}, nil
}

// record returns the record that says where the peer of a is.
func (a *Addresses) record(expires time.Time) *Record {
	return &Record{Type: TypePeer, Name: []byte(a.Peer), Peer: a.Peer, Version: a.Seq, Expires: expires, Data: a.Sealed}
}

// seqTime returns the time that a sequence number stands for, in nanoseconds
// since 1970.
func seqTime(seq uint64) time.Time { return time.Unix(0, int64(min(seq, math.MaxInt64))) }
