package ipns

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// entry is the protobuf message of a record. It holds slices of the bytes it was
// read from.
type entry struct {
	// Copies of what data says, for old readers.
	value, signatureV1, validity []byte
	validityType, sequence, ttl  uint64

	publicKey   []byte
	signatureV2 []byte
	data        []byte
}

// The fields of the message.
const (
	fieldValue        = 1
	fieldSignatureV1  = 2
	fieldValidityType = 3
	fieldValidity     = 4
	fieldSequence     = 5
	fieldTTL          = 6
	fieldPublicKey    = 7
	fieldSignatureV2  = 8
	fieldData         = 9
)

// readEntry reads the message. As protobuf has it, of a repeated field the last
// counts, and fields of an unknown number or of another type are passed over. The
// error wraps ErrMalformed.
func readEntry(b []byte) (*entry, error) {
	var e entry
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return nil, fmt.Errorf("%w: field %d: %w", ErrMalformed, num, protowire.ParseError(n))
		}
		switch typ {
		case protowire.BytesType:
			if to := e.bytes(num); to != nil {
				*to, _ = protowire.ConsumeBytes(b)
			}
		case protowire.VarintType:
			if to := e.number(num); to != nil {
				*to, _ = protowire.ConsumeVarint(b)
			}
		}
		b = b[n:]
	}
	return &e, nil
}

func (e *entry) bytes(num protowire.Number) *[]byte {
	switch num {
	case fieldValue:
		return &e.value
	case fieldSignatureV1:
		return &e.signatureV1
	case fieldValidity:
		return &e.validity
	case fieldPublicKey:
		return &e.publicKey
	case fieldSignatureV2:
		return &e.signatureV2
	case fieldData:
		return &e.data
	}
	return nil
}

func (e *entry) number(num protowire.Number) *uint64 {
	switch num {
	case fieldValidityType:
		return &e.validityType
	case fieldSequence:
		return &e.sequence
	case fieldTTL:
		return &e.ttl
	}
	return nil
}

// record is a record that was read but not verified.
type record struct {
	entry
	document
	expires time.Time // of Validity
}

// parse reads a record. The error wraps ErrTooLarge, ErrMalformed or ErrV1.
func parse(b []byte) (*record, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), MaxSize)
	}
	e, err := readEntry(b)
	if err != nil {
		return nil, err
	}
	if len(e.signatureV2) == 0 || len(e.data) == 0 {
		if len(e.signatureV1) > 0 {
			return nil, ErrV1
		}
		return nil, fmt.Errorf("%w: no data, or no signature over it", ErrMalformed)
	}
	d, err := readDocument(e.data)
	if err != nil {
		return nil, err
	}
	r := &record{entry: *e, document: *d}
	if r.expires, err = time.Parse(time.RFC3339Nano, string(d.Validity)); err != nil {
		return nil, fmt.Errorf("%w: validity: %w", ErrMalformed, err)
	}
	return r, nil
}

// checkCopies compares the fields that old readers go by with the signed ones,
// if the record is made for old readers.
func (r *record) checkCopies() error {
	if len(r.signatureV1) == 0 && len(r.value) == 0 {
		return nil
	}
	switch e, d := r.entry, r.document; {
	case !bytes.Equal(e.value, d.Value):
		return fmt.Errorf("%w: value", ErrMismatch)
	case !bytes.Equal(e.validity, d.Validity):
		return fmt.Errorf("%w: validity", ErrMismatch)
	// An enumeration on the wire is an int32.
	case e.validityType&math.MaxUint32 != 0:
		return fmt.Errorf("%w: validity type", ErrMismatch)
	case e.sequence != d.Sequence:
		return fmt.Errorf("%w: sequence", ErrMismatch)
	case !d.hasTTL || e.ttl != d.TTL:
		return fmt.Errorf("%w: TTL", ErrMismatch)
	}
	return nil
}

// compare returns a positive number if r is to be preferred to o, a negative one
// if o is, and 0 if neither the sequence nor the end of validity decides.
func (r *record) compare(o *record) int {
	return cmp.Or(cmp.Compare(r.Sequence, o.Sequence), r.expires.Compare(o.expires))
}
