package ipns

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// document is what the data of a record says, which is signed. Fields that are
// not listed here are allowed.
type document struct {
	Value    []byte
	Validity []byte
	Sequence uint64
	TTL      uint64 // nanoseconds
	hasTTL   bool
}

// strict reads the DAG-CBOR that this package needs: one item, of known lengths,
// without a key twice.
var strict = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey:   cbor.DupMapKeyEnforcedAPF,
		IndefLength: cbor.IndefLengthForbidden,
	}.DecMode()
	if err != nil {
		panic(err) // of fixed options
	}
	return mode
}()

// readDocument reads the data of a record. All fields but TTL are required, as
// records without them could not be compared. The error wraps ErrMalformed.
func readDocument(data []byte) (*document, error) {
	var fields map[string]cbor.RawMessage
	if err := strict.Unmarshal(data, &fields); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	kind, err := number(fields, "ValidityType")
	if err != nil {
		return nil, err
	}
	if kind != 0 {
		return nil, fmt.Errorf("%w: validity type %d is not known", ErrMalformed, kind)
	}
	var d document
	if d.Value, err = byteString(fields, "Value"); err != nil {
		return nil, err
	}
	if d.Validity, err = byteString(fields, "Validity"); err != nil {
		return nil, err
	}
	if d.Sequence, err = signedNumber(fields, "Sequence"); err != nil {
		return nil, err
	}
	if _, d.hasTTL = fields["TTL"]; d.hasTTL {
		d.TTL, err = number(fields, "TTL")
	}
	return &d, err
}

// The kinds of CBOR items, in the upper three bits of the first byte.
const (
	cborUnsigned = 0
	cborNegative = 1
	cborBytes    = 2
)

// item returns a field and its kind.
func item(fields map[string]cbor.RawMessage, name string) (raw cbor.RawMessage, kind byte, err error) {
	raw = fields[name]
	if len(raw) == 0 {
		return nil, 0, fmt.Errorf("%w: no %s in the data", ErrMalformed, name)
	}
	return raw, raw[0] >> 5, nil
}

func byteString(fields map[string]cbor.RawMessage, name string) ([]byte, error) {
	raw, kind, err := item(fields, name)
	if err != nil {
		return nil, err
	}
	if kind != cborBytes {
		return nil, fmt.Errorf("%w: %s is not a byte string", ErrMalformed, name)
	}
	var b []byte
	err = decode(raw, name, &b)
	return b, err
}

func number(fields map[string]cbor.RawMessage, name string) (uint64, error) {
	raw, kind, err := item(fields, name)
	if err != nil {
		return 0, err
	}
	if kind != cborUnsigned {
		return 0, fmt.Errorf("%w: %s is not an unsigned integer", ErrMalformed, name)
	}
	var v uint64
	err = decode(raw, name, &v)
	return v, err
}

// signedNumber is number for a field whose 64 bits some makers of records write
// as those of a signed integer.
func signedNumber(fields map[string]cbor.RawMessage, name string) (uint64, error) {
	raw, kind, err := item(fields, name)
	if err != nil || kind != cborNegative {
		return number(fields, name)
	}
	var v int64
	err = decode(raw, name, &v)
	return uint64(v), err
}

func decode(raw cbor.RawMessage, name string, to any) error {
	if err := strict.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
	}
	return nil
}
