package records

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// The reasons for which a record is refused.
var (
	// ErrForged is wrapped by the error for a record that is malformed or not
	// signed by the peer it names.
	ErrForged = errors.New("records: forged record")
	// ErrExpired is wrapped by the error for a record that is no longer valid.
	ErrExpired = errors.New("records: expired record")
	// ErrStale is wrapped by the error for a record when a newer or better one is
	// held.
	ErrStale = errors.New("records: a newer record is held")
	// ErrInvalid is wrapped by the error for a value that the validator of its
	// namespace refuses, or that has none.
	ErrInvalid = errors.New("records: invalid value")
	// ErrTooLarge is wrapped by the error for a record, or its addresses, beyond
	// the limits.
	ErrTooLarge = errors.New("records: record too large")
	// ErrUnaddressed is wrapped by the error for a record without an address.
	ErrUnaddressed = errors.New("records: no address with the record")
	// ErrFull is wrapped by the error for a record for which there is no room.
	ErrFull = errors.New("records: no room for the record")
)

// Type says what a record is. Its numbers are those of pb.RecordType.
type Type uint8

// The types of records.
const (
	TypeProvider = Type(pb.RecordType_RECORD_TYPE_PROVIDER)
	TypeValue    = Type(pb.RecordType_RECORD_TYPE_VALUE)
	TypePeer     = Type(pb.RecordType_RECORD_TYPE_PEER)
)

// String returns "provider", "value" or "peer".
func (t Type) String() string {
	return [...]string{"unknown", "provider", "value", "peer", "unknown"}[min(t, TypePeer+1)]
}

// ID names a record: its key, and Rest, which tells the records of one key
// apart. IDs are ordered by key.
type ID struct {
	Key  ring.ID
	Rest [16]byte
}

// IDSize is the length of the bytes of an ID.
const IDSize = ring.Size + 16

// NewID returns the ID of the record of a type with a name (see Record.Name)
// and, of a provider record, the provider. Rest is the first half of the SHA-256
// of the type in one byte, the length of the name in four bytes, most significant
// first, the name, and the bytes of the provider's peer ID.
func NewID(t Type, name []byte, provider peer.ID) ID {
	b := make([]byte, 0, 5+len(name)+len(provider))
	b = append(b, byte(t))
	b = binary.BigEndian.AppendUint32(b, uint32(len(name)))
	b = append(append(b, name...), provider...)
	sum := sha256.Sum256(b)
	return ID{Key: ring.FromKey(name), Rest: [16]byte(sum[:16])}
}

// Compare orders IDs by key, then by Rest.
func (x ID) Compare(y ID) int {
	if c := x.Key.Compare(y.Key); c != 0 {
		return c
	}
	for i, b := range x.Rest {
		if b != y.Rest[i] {
			return int(b) - int(y.Rest[i])
		}
	}
	return 0
}

// AppendBinary appends the IDSize bytes of x: Key, then Rest. The error is
// always nil.
func (x ID) AppendBinary(b []byte) ([]byte, error) {
	b, _ = x.Key.AppendBinary(b)
	return append(b, x.Rest[:]...), nil
}

// IDFromBytes reads an ID from exactly IDSize bytes.
func IDFromBytes(b []byte) (ID, error) {
	if len(b) != IDSize {
		return ID{}, fmt.Errorf("records: an ID of %d bytes, want %d", len(b), IDSize)
	}
	key, err := ring.FromBytes(b[:ring.Size])
	return ID{Key: key, Rest: [16]byte(b[ring.Size:])}, err
}

// Record is a record that was verified when it came in.
type Record struct {
	Type    Type
	Name    []byte    // the multihash, the key of the value, or the bytes of the peer ID
	Peer    peer.ID   // the provider, or the peer the record is about; empty for a value
	Version uint64    // the sequence number; of a value, see ValueVersion
	Expires time.Time // in whole milliseconds
	Data    []byte    // the sealed provider record, the value, or the sealed peer record
}

// ID returns the name under which r is held.
func (r *Record) ID() ID {
	if r.Type == TypeProvider {
		return NewID(r.Type, r.Name, r.Peer)
	}
	return NewID(r.Type, r.Name, "")
}

// Encode returns r as it is sent.
func (r *Record) Encode() *pb.Record {
	m := &pb.Record{Type: pb.RecordType(r.Type), Data: r.Data}
	if r.Type == TypeValue {
		m.Name, m.ExpiresMs = r.Name, uint64(max(0, r.Expires.UnixMilli()))
	}
	return m
}

// Outcome returns the outcome that reports err, an error of this package or nil.
func Outcome(err error) pb.RecordOutcome {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.outcome
		}
	}
	return pb.RecordOutcome_RECORD_OUTCOME_FULL
}

// OutcomeError returns the error that an outcome reports, nil if it is OK. What
// only a root says has no error here.
func OutcomeError(outcome pb.RecordOutcome) error {
	for _, o := range outcomes {
		if o.outcome == outcome {
			return o.err
		}
	}
	return fmt.Errorf("records: outcome %d", outcome)
}

var outcomes = []struct {
	outcome pb.RecordOutcome
	err     error
}{
	{pb.RecordOutcome_RECORD_OUTCOME_OK, nil},
	{pb.RecordOutcome_RECORD_OUTCOME_FORGED, ErrForged},
	{pb.RecordOutcome_RECORD_OUTCOME_EXPIRED, ErrExpired},
	{pb.RecordOutcome_RECORD_OUTCOME_STALE, ErrStale},
	{pb.RecordOutcome_RECORD_OUTCOME_INVALID, ErrInvalid},
	{pb.RecordOutcome_RECORD_OUTCOME_TOO_LARGE, ErrTooLarge},
	{pb.RecordOutcome_RECORD_OUTCOME_UNADDRESSED, ErrUnaddressed},
	{pb.RecordOutcome_RECORD_OUTCOME_FULL, ErrFull},
}

// Arc is a part of the ring: the keys from First to Last going up, both
// included. Last may be below First; the whole ring has First one above Last.
type Arc struct{ First, Last ring.ID }

// WholeRing is the arc of all keys.
var WholeRing = Arc{Last: ring.FromUint64s(1<<64-1, 1<<64-1)}

// Contains reports whether key is in the arc.
func (a Arc) Contains(key ring.ID) bool {
	return ring.Clockwise(a.First, key).Compare(ring.Clockwise(a.First, a.Last)) <= 0
}

// Item is what the comparison of two members' records goes by: a record, and
// which version of it.
type Item struct {
	ID      ID
	Version uint64
}

// Summary is the sum modulo 2^128 of the fingerprints of records, and how many
// they are. Two members with equal summaries of an arc hold the same records.
type Summary struct {
	Sum   ring.ID
	Count int
}

// Fingerprint returns the first 16 bytes of the SHA-256 of the bytes of the ID
// and of the version, 8 bytes, most significant first.
func (i Item) Fingerprint() ring.ID {
	var buf [IDSize + 8]byte
	b, _ := i.ID.AppendBinary(buf[:0])
	return ring.FromKey(binary.BigEndian.AppendUint64(b, i.Version))
}
