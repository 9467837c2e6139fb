package ipns

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	libp2precord "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Namespace is the namespace of IPNS records.
const Namespace = "ipns"

// MaxSize is the size of the largest record in bytes.
const MaxSize = 10 << 10

// The reasons for which a record is refused.
var (
	ErrName      = errors.New("ipns: the key is no IPNS name")
	ErrTooLarge  = errors.New("ipns: record too large")
	ErrMalformed = errors.New("ipns: malformed record")
	ErrV1        = errors.New("ipns: record with an outdated signature only")
	ErrPublicKey = errors.New("ipns: no public key of the name")
	ErrSignature = errors.New("ipns: wrong signature")
	ErrMismatch  = errors.New("ipns: unsigned copy of a field differs from the signed one")
	ErrExpired   = errors.New("ipns: expired record")
)

// Validator judges the values of keys in the namespace "ipns": "/ipns/" and the
// bytes of a peer ID.
type Validator struct {
	// Now tells the time; nil means time.Now.
	Now func() time.Time
}

var _ libp2precord.Validator = Validator{}

// Validate reports why a value is not, or no longer, a record of the name in the
// key. The error wraps one of this package's.
func (v Validator) Validate(key string, value []byte) error {
	name, err := nameOf(key)
	if err != nil {
		return err
	}
	r, err := parse(value)
	if err != nil {
		return err
	}
	public, err := r.key(name)
	if err != nil {
		return err
	}
	if ok, err := public.Verify(append([]byte(signedPrefix), r.data...), r.signatureV2); err != nil || !ok {
		return ErrSignature
	}
	if err := r.checkCopies(); err != nil {
		return err
	}
	if v.now().After(r.expires) {
		return fmt.Errorf("%w: it was valid until %s", ErrExpired, r.Validity)
	}
	return nil
}

// signedPrefix comes before the data in the bytes that are signed.
const signedPrefix = "ipns-signature:"

// Select returns the place of the value to keep: the one with the largest
// sequence number, among these the one that is valid longest, and among these the
// one whose bytes compare largest. Values that cannot be read are never chosen;
// others are taken to be valid. The error wraps ErrMalformed when none can be
// read.
func (Validator) Select(_ string, values [][]byte) (int, error) {
	best := -1
	var chosen *record
	for i, b := range values {
		r, err := parse(b)
		if err != nil {
			continue
		}
		if best < 0 || newer(r, chosen, b, values[best]) {
			best, chosen = i, r
		}
	}
	if best < 0 {
		return -1, fmt.Errorf("%w: none of %d values can be read", ErrMalformed, len(values))
	}
	return best, nil
}

// newer reports whether a record a, read from the bytes of ab, is to be kept
// rather than b.
func newer(a, b *record, ab, bb []byte) bool {
	if c := a.compare(b); c != 0 {
		return c > 0
	}
	return bytes.Compare(ab, bb) > 0
}

func (v Validator) now() time.Time {
	if v.Now == nil {
		return time.Now()
	}
	return v.Now()
}

// nameOf returns the peer ID in a key.
func nameOf(key string) (peer.ID, error) {
	b, ok := strings.CutPrefix(key, "/"+Namespace+"/")
	if !ok {
		return "", fmt.Errorf("%w: %q", ErrName, key)
	}
	name, err := peer.IDFromBytes([]byte(b))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrName, err)
	}
	return name, nil
}

// key returns the public key of a name: the one that the record embeds, or the
// one in the name itself.
func (r *record) key(name peer.ID) (crypto.PubKey, error) {
	if len(r.publicKey) == 0 {
		public, err := name.ExtractPublicKey()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
		}
		return public, nil
	}
	public, err := crypto.UnmarshalPublicKey(r.publicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPublicKey, err)
	}
	if !name.MatchesPublicKey(public) {
		return nil, fmt.Errorf("%w: the record embeds the key of another", ErrPublicKey)
	}
	return public, nil
}
