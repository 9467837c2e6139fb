package records

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
	envelope "github.com/libp2p/go-libp2p/core/record/pb"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/ring"
)

// The rows of a store: under /r/ the records, by their IDs in hexadecimal, so
// that the records of an arc are next to each other; under /a/ the sealed peer
// records of providers. Each ends with the CRC-32C of what is before, in four
// bytes, most significant first. The row of a record is a pb.Record with
// expires_ms set whatever its type, as this store may let it expire earlier than
// its data says.
const (
	recordRows  = "/r"
	addressRows = "/a"
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errUnreadable = errors.New("records: unreadable row")
)

// row is a record on its way to the datastore.
type row struct {
	id     ID
	record *Record
	key    ds.Key
	value  []byte
}

// newRow returns the row of r. It is for callers of the writer to do, who are
// many.
func newRow(r *Record) (*row, error) {
	m := r.Encode()
	m.ExpiresMs = uint64(max(0, r.Expires.UnixMilli()))
	b, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 0, proto.Size(m)+crc32.Size), m)
	if err != nil {
		return nil, fmt.Errorf("records: encode a record: %w", err)
	}
	id := r.ID()
	return &row{id: id, record: r, key: rowKey(id), value: appendSum(b)}, nil
}

func (r *row) entry() Entry {
	return Entry{
		ID: r.id, Version: r.record.Version, Expires: r.record.Expires.UnixMilli(),
		Size: uint32(len(r.value)), Tag: uint32(r.record.Type),
	}
}

// readRow returns the record in a row, which was verified before it was stored.
// The error wraps errUnreadable.
func readRow(id ID, value []byte) (*Record, error) {
	var m pb.Record
	b, err := checkSum(value)
	if err == nil {
		err = proto.Unmarshal(b, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	r, err := readRecord(&m)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if r.ID() != id {
		return nil, fmt.Errorf("%w: another record", errUnreadable)
	}
	return r, nil
}

func readRecord(m *pb.Record) (*Record, error) {
	expires := time.UnixMilli(int64(m.ExpiresMs))
	switch m.Type {
	case pb.RecordType_RECORD_TYPE_PROVIDER:
		var e envelope.Envelope
		if err := proto.Unmarshal(m.Data, &e); err != nil {
			return nil, err
		}
		var p Provider
		if err := p.UnmarshalRecord(e.Payload); err != nil {
			return nil, err
		}
		p.Expires = expires
		return p.record(m.Data), nil
	case pb.RecordType_RECORD_TYPE_VALUE:
		return newValue(m.Name, m.Data, expires), nil
	case pb.RecordType_RECORD_TYPE_PEER:
		a, err := readAddresses(m.Data)
		if err != nil {
			return nil, err
		}
		return a.record(expires), nil
	}
	return nil, fmt.Errorf("record of type %d", m.Type)
}

// newAddressRow returns the row of a sealed peer record.
func newAddressRow(sealed []byte) []byte {
	return appendSum(append(make([]byte, 0, len(sealed)+crc32.Size), sealed...))
}

// readAddressRow returns what is in the row of the addresses of p. The error
// wraps errUnreadable.
func readAddressRow(p peer.ID, value []byte) (*Addresses, error) {
	b, err := checkSum(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	a, err := readAddresses(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if a.Peer != p {
		return nil, fmt.Errorf("%w: another peer's addresses", errUnreadable)
	}
	return a, nil
}

func appendSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// checkSum returns b without the checksum at its end.
func checkSum(b []byte) ([]byte, error) {
	n := len(b) - crc32.Size
	if n < 0 || binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return nil, errors.New("wrong checksum")
	}
	return b[:n:n], nil
}

// rowKey returns the key of the row of a record.
func rowKey(id ID) ds.Key {
	var raw [IDSize]byte
	b, _ := id.AppendBinary(raw[:0])
	text := make([]byte, 0, len(recordRows)+2+2*IDSize)
	text = append(append(text, recordRows...), '/')
	text = append(hex.AppendEncode(text, b[:ring.Size]), '/')
	return ds.RawKey(string(hex.AppendEncode(text, b[ring.Size:])))
}

// rowID reads what rowKey returned.
func rowID(key string) (ID, error) {
	first, rest, ok := strings.Cut(strings.TrimPrefix(key, recordRows+"/"), "/")
	if !ok || len(first) != 2*ring.Size {
		return ID{}, fmt.Errorf("records: row %q", key)
	}
	b, err := hex.DecodeString(first + rest)
	if err != nil {
		return ID{}, fmt.Errorf("records: row %q: %w", key, err)
	}
	return IDFromBytes(b)
}

// addressKey returns the key of the row of a peer's addresses.
func addressKey(p peer.ID) ds.Key { return ds.RawKey(addressRows + "/" + p.String()) }

// addressPeer reads what addressKey returned.
func addressPeer(key string) (peer.ID, error) {
	return peer.Decode(strings.TrimPrefix(key, addressRows+"/"))
}
