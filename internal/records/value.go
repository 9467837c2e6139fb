package records

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	record "github.com/libp2p/go-libp2p-record"
)

const (
	// MaxName is the longest key of a value in bytes.
	MaxName = 512

	// MaxValue is how long a value is held without being put again.
	MaxValue = 48 * time.Hour

	// valueSlack is how much later than MaxValue a value may expire. Without it
	// the copies of one value would expire at as many times as there are clocks.
	valueSlack = 10 * time.Minute
)

// ValueVersion tells the values of one key apart: the first 8 bytes of the
// SHA-256 of the data and of when it expires, in milliseconds since 1970 in 8
// bytes, most significant first. Versions of values have no order.
func ValueVersion(data []byte, expires time.Time) uint64 {
	h := sha256.New()
	h.Write(data)
	var sum [sha256.Size]byte
	binary.BigEndian.PutUint64(sum[:8], uint64(max(0, expires.UnixMilli())))
	h.Write(sum[:8])
	return binary.BigEndian.Uint64(h.Sum(sum[:0]))
}

// newValue returns a value as it is held from now on.
func newValue(name, data []byte, expires time.Time) *Record {
	return &Record{Type: TypeValue, Name: name, Version: ValueVersion(data, expires), Expires: expires, Data: data}
}

// validate has the validator of its namespace look at a value. The error wraps
// [ErrInvalid].
func validate(v record.Validator, name, data []byte) error {
	if v == nil {
		return fmt.Errorf("%w: no validator", ErrInvalid)
	}
	if err := v.Validate(string(name), data); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

// replaces reports whether value r takes the place of the held one, both of one
// key and r valid: of equal data, if it expires later; else if the validator
// selects it, or no longer accepts the held one. The validator is shown the two
// in an order that depends on nothing else, so that all members settle on the
// same of two between which it has no preference. The error is [ErrStale] if the
// held one is better, and nil if it will do for r.
func replaces(v record.Validator, held, r *Record) (bool, error) {
	if bytes.Equal(held.Data, r.Data) {
		return r.Expires.After(held.Expires), nil
	}
	pair, want := [][]byte{held.Data, r.Data}, 1
	if bytes.Compare(held.Data, r.Data) < 0 {
		pair[0], pair[1], want = pair[1], pair[0], 0
	}
	best, err := v.Select(string(r.Name), pair)
	switch {
	case err == nil && best == want, validate(v, held.Name, held.Data) != nil:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return false, ErrStale
}
