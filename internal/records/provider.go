package records

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
)

const (
	// MaxMultihash is the longest multihash, in bytes, that a record is about.
	MaxMultihash = 128

	// MaxSealed is the longest sealed record in bytes.
	MaxSealed = 4 << 10
)

// providerCodec is the payload type of a sealed Provider.
const providerCodec = "/pastry/provider-record"

// Provider is the statement of a peer that it provides a content. Sealed, it
// can pass through any hands.
type Provider struct {
	Multihash multihash.Multihash
	Peer      peer.ID
	Seq       uint64    // the larger one of two replaces the other
	Expires   time.Time // in whole milliseconds
}

var _ record.Record = (*Provider)(nil)

// Domain returns what keeps a signature on a Provider from serving elsewhere.
func (*Provider) Domain() string { return "pastry-provider-record" }

// Codec returns the payload type of the envelope.
func (*Provider) Codec() []byte { return []byte(providerCodec) }

// MarshalRecord returns the signed bytes.
func (p *Provider) MarshalRecord() ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(&pb.ProviderRecord{
		Multihash: p.Multihash,
		Peer:      []byte(p.Peer),
		Seq:       p.Seq,
		ExpiresMs: uint64(max(0, p.Expires.UnixMilli())),
	})
}

// UnmarshalRecord reads what MarshalRecord returned. The error wraps
// [ErrForged].
func (p *Provider) UnmarshalRecord(b []byte) error {
	var m pb.ProviderRecord
	if err := proto.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrForged, err)
	}
	if err := CheckMultihash(m.Multihash); err != nil {
		return fmt.Errorf("%w: %w", ErrForged, err)
	}
	id, err := peer.IDFromBytes(m.Peer)
	if err != nil {
		return fmt.Errorf("%w: peer ID: %w", ErrForged, err)
	}
	*p = Provider{Multihash: m.Multihash, Peer: id, Seq: m.Seq, Expires: time.UnixMilli(int64(min(m.ExpiresMs, math.MaxInt64)))}
	return nil
}

// Seal returns p signed with the key of p.Peer.
func (p *Provider) Seal(key crypto.PrivKey) ([]byte, error) {
	envelope, err := record.Seal(p, key)
	if err != nil {
		return nil, fmt.Errorf("records: seal a provider record: %w", err)
	}
	return envelope.Marshal()
}

// OpenProvider returns what is sealed, after verifying that the peer it names
// signed it. Whether it has expired is left to the caller. The error wraps
// [ErrForged].
func OpenProvider(sealed []byte) (*Provider, error) {
	if len(sealed) > MaxSealed {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrForged, len(sealed), MaxSealed)
	}
	var p Provider
	envelope, err := record.ConsumeTypedEnvelope(sealed, &p)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	case !bytes.Equal(envelope.PayloadType, p.Codec()):
		return nil, fmt.Errorf("%w: payload type %q", ErrForged, envelope.PayloadType)
	case !p.Peer.MatchesPublicKey(envelope.PublicKey):
		return nil, fmt.Errorf("%w: provider %s, signed by another key", ErrForged, p.Peer)
	}
	return &p, nil
}

// ReadProvider returns what is sealed without verifying who signed it, nil if it
// cannot be read: enough to tell whether the same record was verified before.
func ReadProvider(sealed []byte) *Provider {
	envelope, err := record.UnmarshalEnvelope(sealed)
	if err != nil || len(sealed) > MaxSealed {
		return nil
	}
	var p Provider
	if p.UnmarshalRecord(envelope.RawPayload) != nil {
		return nil
	}
	return &p
}

// CheckMultihash reports what is wrong with the name of a content.
func CheckMultihash(mh multihash.Multihash) error {
	if len(mh) == 0 || len(mh) > MaxMultihash {
		return fmt.Errorf("records: multihash of %d bytes, must be 1 to %d", len(mh), MaxMultihash)
	}
	if _, err := multihash.Decode(mh); err != nil {
		return fmt.Errorf("records: %w", err)
	}
	return nil
}
