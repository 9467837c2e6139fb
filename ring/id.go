package ring

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

const (
	// Bits is the width of an ID in bits.
	Bits = 128

	// Size is the length of an ID in bytes. Its text is twice as long.
	Size = Bits / 8

	textSize = 2 * Size
)

// ErrMalformed is wrapped by the error for bytes or text that are not an ID.
var ErrMalformed = errors.New("ring: malformed id")

// ID is a point on the ring: an unsigned 128-bit number. Differences between
// points are IDs too. IDs are comparable with == and serve as map keys; the
// zero value is the point 0.
type ID struct{ hi, lo uint64 }

// FromPeer returns the id of the node with identity p: the first 128 bits of
// the SHA-256 of the peer ID's bytes, not of its base58 text.
func FromPeer(p peer.ID) ID {
	// A peer ID inlines keys of up to 42 bytes; anything longer goes to the heap.
	var buf [64]byte
	return FromKey(append(buf[:0], p...))
}

// FromMultihash returns the key of the content that mh names: the first 128
// bits of the SHA-256 of the whole multihash, code and length included. CIDs
// that differ only in version or codec therefore share a key.
func FromMultihash(mh multihash.Multihash) ID { return FromKey(mh) }

// FromKey returns the point of an application's or a record's key: the first
// 128 bits of the SHA-256 of key. Any length will do, nil included.
func FromKey(key []byte) ID {
	sum := sha256.Sum256(key)
	return fromArray([Size]byte(sum[:Size]))
}

// FromBytes reads an ID from exactly [Size] bytes, most significant first. The
// error wraps [ErrMalformed].
func FromBytes(b []byte) (ID, error) {
	if len(b) != Size {
		return ID{}, fmt.Errorf("%w: %d bytes, want %d", ErrMalformed, len(b), Size)
	}
	return fromArray([Size]byte(b)), nil
}

// FromUint64s returns the ID whose upper half is hi and whose lower half is lo.
func FromUint64s(hi, lo uint64) ID { return ID{hi: hi, lo: lo} }

// Parse reads an ID from exactly 32 hexadecimal digits of either case, without
// prefix, sign or space. The error wraps [ErrMalformed].
func Parse(s string) (ID, error) { return parse(s) }

// Random returns an ID drawn evenly from the whole ring. It takes two values
// from r, the upper half first, and is no more secret than r.
func Random(r *rand.Rand) ID {
	hi := r.Uint64()
	return ID{hi: hi, lo: r.Uint64()}
}

// Uint64s returns the upper and the lower half of x.
func (x ID) Uint64s() (hi, lo uint64) { return x.hi, x.lo }

// Bytes returns x with its most significant byte first.
func (x ID) Bytes() [Size]byte {
	var b [Size]byte
	binary.BigEndian.PutUint64(b[:8], x.hi)
	binary.BigEndian.PutUint64(b[8:], x.lo)
	return b
}

// String returns x as 32 lower-case hexadecimal digits, which [Parse] reads.
func (x ID) String() string {
	var text [textSize]byte
	x.encode(&text)
	return string(text[:])
}

// Short returns the first 8 hexadecimal digits of x, for logs. It does not
// identify x.
func (x ID) Short() string {
	var text [textSize]byte
	x.encode(&text)
	return string(text[:8])
}

// Compare orders ids as numbers: it returns -1, 0 or +1 as x is below, equal to
// or above y. Closeness on the ring is [CompareDistance].
func (x ID) Compare(y ID) int {
	if x.hi != y.hi {
		return cmp.Compare(x.hi, y.hi)
	}
	return cmp.Compare(x.lo, y.lo)
}

// Less reports whether x is below y as a number.
func (x ID) Less(y ID) bool { return x.hi < y.hi || x.hi == y.hi && x.lo < y.lo }

// IsZero reports whether x is the point 0. That is a valid id, though no hash
// is likely to hit it.
func (x ID) IsZero() bool { return x == ID{} }

// AppendBinary appends the [Size] bytes of x to b, most significant first. The
// error is always nil. It implements [encoding.BinaryAppender].
func (x ID) AppendBinary(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, x.hi)
	return binary.BigEndian.AppendUint64(b, x.lo), nil
}

// MarshalBinary returns the bytes of x, most significant first. The error is
// always nil. It implements [encoding.BinaryMarshaler].
func (x ID) MarshalBinary() ([]byte, error) { return x.AppendBinary(make([]byte, 0, Size)) }

// UnmarshalBinary sets x as [FromBytes] does, and leaves it alone on error. It
// implements [encoding.BinaryUnmarshaler].
func (x *ID) UnmarshalBinary(b []byte) error {
	y, err := FromBytes(b)
	if err != nil {
		return err
	}
	*x = y
	return nil
}

// AppendText appends what [ID.String] returns to b. The error is always nil. It
// implements [encoding.TextAppender].
func (x ID) AppendText(b []byte) ([]byte, error) {
	var text [textSize]byte
	x.encode(&text)
	return append(b, text[:]...), nil
}

// MarshalText returns what [ID.String] does, so that in JSON an ID is that
// string, as a value and as the key of an object. The error is always nil. It
// implements [encoding.TextMarshaler].
func (x ID) MarshalText() ([]byte, error) { return x.AppendText(make([]byte, 0, textSize)) }

// UnmarshalText sets x as [Parse] does, and leaves it alone on error. It
// implements [encoding.TextUnmarshaler].
func (x *ID) UnmarshalText(text []byte) error {
	y, err := parse(text)
	if err != nil {
		return err
	}
	*x = y
	return nil
}

func fromArray(b [Size]byte) ID {
	return ID{hi: binary.BigEndian.Uint64(b[:8]), lo: binary.BigEndian.Uint64(b[8:])}
}

func (x ID) encode(text *[textSize]byte) {
	b := x.Bytes()
	hex.Encode(text[:], b[:])
}

// parse keeps the input, which may be long and foreign, out of its errors.
func parse[T string | []byte](s T) (ID, error) {
	if len(s) != textSize {
		return ID{}, fmt.Errorf("%w: %d characters, want %d hexadecimal digits", ErrMalformed, len(s), textSize)
	}
	var text [textSize]byte
	copy(text[:], s)
	var b [Size]byte
	if _, err := hex.Decode(b[:], text[:]); err != nil {
		return ID{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return fromArray(b), nil
}
