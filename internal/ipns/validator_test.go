package ipns

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
)

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	eol = now.Add(time.Hour)

	validator = Validator{Now: func() time.Time { return now }}
)

// owner is who makes records.
type owner struct {
	key crypto.PrivKey
	id  peer.ID
}

func newOwner(t testing.TB, kind int) owner {
	t.Helper()
	key, public, err := crypto.GenerateKeyPairWithReader(kind, 2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return owner{key, id}
}

func (o owner) name() string { return "/ipns/" + string(o.id) }

func (o owner) public(t testing.TB) []byte {
	t.Helper()
	b, err := crypto.MarshalPublicKey(o.key.GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// data is what the data of a record says.
type data map[string]any

func newData(sequence uint64, eol time.Time) data {
	return data{"Value": []byte("/ipfs/bafkqaaa"), "Validity": []byte(eol.Format(time.RFC3339Nano)),
		"ValidityType": 0, "Sequence": sequence, "TTL": uint64(time.Minute)}
}

func (d data) with(field string, v any) data {
	out := data{}
	for k, old := range d {
		out[k] = old
	}
	if out[field] = v; v == nil {
		delete(out, field)
	}
	return out
}

func (d data) encode(t testing.TB) []byte {
	t.Helper()
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := mode.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign returns a message with data and the signature over it.
func (o owner) sign(t testing.TB, data []byte) []byte {
	t.Helper()
	sig, err := o.key.Sign(append([]byte("ipns-signature:"), data...))
	if err != nil {
		t.Fatal(err)
	}
	return field(field(nil, 9, data), 8, sig)
}

// record returns a record without copies for old readers.
func (o owner) record(t testing.TB, sequence uint64, eol time.Time) []byte {
	t.Helper()
	return o.sign(t, newData(sequence, eol).encode(t))
}

func field(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(slices.Clip(b), num, protowire.BytesType), v)
}

func number64(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(slices.Clip(b), num, protowire.VarintType), v)
}

// copied appends copies for old readers of what newData(7, eol) says.
func copied(b []byte) []byte {
	b = field(b, 1, []byte("/ipfs/bafkqaaa"))
	b = field(b, 2, []byte("signature for old readers"))
	b = number64(b, 3, 0)
	b = field(b, 4, []byte(eol.Format(time.RFC3339Nano)))
	b = number64(b, 5, 7)
	return number64(b, 6, uint64(time.Minute))
}

func TestValidate(t *testing.T) {
	alice, bob := newOwner(t, crypto.Ed25519), newOwner(t, crypto.Ed25519)
	rsa, ecdsa := newOwner(t, crypto.RSA), newOwner(t, crypto.ECDSA)
	plain := newData(7, eol)
	good := alice.record(t, 7, eol)
	doubled := append([]byte{0xa2}, bytes.Repeat([]byte("\x63TTL\x01"), 2)...)
	endless := append(append([]byte{0xbf}, plain.encode(t)[1:]...), 0xff)
	for _, tt := range []struct {
		name  string
		key   string
		value []byte
		want  error
	}{
		{"key in the name", alice.name(), good, nil},
		{"embedded key besides", alice.name(), field(good, 7, alice.public(t)), nil},
		{"embedded RSA key", rsa.name(), field(rsa.record(t, 7, eol), 7, rsa.public(t)), nil},
		{"embedded ECDSA key", ecdsa.name(), field(ecdsa.record(t, 7, eol), 7, ecdsa.public(t)), nil},
		{"no RSA key", rsa.name(), rsa.record(t, 7, eol), ErrPublicKey},
		{"another's key", rsa.name(), field(rsa.record(t, 7, eol), 7, bob.public(t)), ErrPublicKey},
		{"no key at all", alice.name(), field(good, 7, []byte("key")), ErrPublicKey},
		{"another's record", bob.name(), good, ErrSignature},
		{"other data", alice.name(), field(good, 9, newData(8, eol).encode(t)), ErrSignature},
		{"no signature", alice.name(), field(good, 8, nil), ErrMalformed},
		{"no data", alice.name(), field(good, 9, nil), ErrMalformed},
		{"empty", alice.name(), nil, ErrMalformed},
		{"cut short", alice.name(), good[:len(good)-1], ErrMalformed},

		{"with copies", alice.name(), copied(good), nil},
		{"old signature only", alice.name(), copied(nil), ErrV1},
		{"value differs", alice.name(), field(copied(good), 1, []byte("/ipfs/other")), ErrMismatch},
		{"validity differs", alice.name(), field(copied(good), 4, []byte(now.Format(time.RFC3339Nano))), ErrMismatch},
		{"validity type differs", alice.name(), number64(copied(good), 3, 1), ErrMismatch},
		{"sequence differs", alice.name(), number64(copied(good), 5, 8), ErrMismatch},
		{"TTL differs", alice.name(), number64(copied(good), 6, 8), ErrMismatch},
		{"no other copy than the value", alice.name(), field(good, 1, []byte("/ipfs/bafkqaaa")), ErrMismatch},
		{"copies, but no TTL", alice.name(), copied(alice.sign(t, plain.with("TTL", nil).encode(t))), ErrMismatch},

		{"at its end", alice.name(), alice.record(t, 7, now), nil},
		{"expired", alice.name(), alice.record(t, 7, now.Add(-time.Nanosecond)), ErrExpired},
		{"no end", alice.name(), alice.sign(t, plain.with("Validity", []byte("soon")).encode(t)), ErrMalformed},

		{"no TTL", alice.name(), alice.sign(t, plain.with("TTL", nil).encode(t)), nil},
		{"negative TTL", alice.name(), alice.sign(t, plain.with("TTL", -1).encode(t)), ErrMalformed},
		{"further field", alice.name(), alice.sign(t, plain.with("_more", "more").encode(t)), nil},
		{"largest sequence", alice.name(), alice.record(t, 1<<64-1, eol), nil},
		{"largest sequence as a signed number", alice.name(), alice.sign(t, plain.with("Sequence", -1).encode(t)), nil},
		{"sequence below all", alice.name(), alice.sign(t, plain.with("Sequence", cbor.RawMessage{0x3b, 255, 255, 255, 255, 255, 255, 255, 255}).encode(t)), ErrMalformed},
		{"no sequence", alice.name(), alice.sign(t, plain.with("Sequence", nil).encode(t)), ErrMalformed},
		{"sequence in words", alice.name(), alice.sign(t, plain.with("Sequence", "seven").encode(t)), ErrMalformed},
		{"no value", alice.name(), alice.sign(t, plain.with("Value", nil).encode(t)), ErrMalformed},
		{"value as text", alice.name(), alice.sign(t, plain.with("Value", "/ipfs/bafkqaaa").encode(t)), ErrMalformed},
		{"other validity type", alice.name(), alice.sign(t, plain.with("ValidityType", 1).encode(t)), ErrMalformed},
		{"no validity type", alice.name(), alice.sign(t, plain.with("ValidityType", nil).encode(t)), ErrMalformed},
		{"something after the data", alice.name(), alice.sign(t, append(plain.encode(t), 0)), ErrMalformed},
		{"a field twice", alice.name(), alice.sign(t, doubled), ErrMalformed},
		{"data of unknown length", alice.name(), alice.sign(t, endless), ErrMalformed},
		{"data that is no map", alice.name(), alice.sign(t, []byte{0x80}), ErrMalformed},
		{"data that is nothing", alice.name(), alice.sign(t, []byte{0xf6}), ErrMalformed},

		{"largest", alice.name(), field(good, 99, make([]byte, MaxSize-len(good)-4)), nil},
		{"too large", alice.name(), field(good, 99, make([]byte, MaxSize)), ErrTooLarge},
		{"field of another type", alice.name(), number64(good, 9, 1), nil},

		{"another namespace", "/pk/" + string(alice.id), good, ErrName},
		{"name as text", "/ipns/" + peer.ToCid(alice.id).String(), good, ErrName},
		{"no name", "/ipns/", good, ErrName},
		{"no key", "", good, ErrName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := validator.Validate(tt.key, tt.value); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// Without a clock of its own a validator goes by the wall clock.
func TestValidateByWallClock(t *testing.T) {
	alice := newOwner(t, crypto.Ed25519)
	if err := (Validator{}).Validate(alice.name(), alice.record(t, 1, time.Now().Add(time.Hour))); err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if err := (Validator{}).Validate(alice.name(), alice.record(t, 1, time.Now().Add(-time.Second))); !errors.Is(err, ErrExpired) {
		t.Errorf("got %v, want ErrExpired", err)
	}
}

func TestSelect(t *testing.T) {
	alice := newOwner(t, crypto.Ed25519)
	one, two := alice.record(t, 1, eol.Add(time.Hour)), alice.record(t, 2, eol)
	longer, longest := alice.record(t, 2, eol.Add(time.Nanosecond)), alice.record(t, 1<<63, now)
	larger := field(two, 99, nil) // the same with more bytes
	for _, tt := range []struct {
		name   string
		values [][]byte
		want   int
	}{
		{"one", [][]byte{one}, 0},
		{"the sequence first", [][]byte{one, two}, 1},
		{"whatever the order", [][]byte{two, one}, 0},
		{"the end next", [][]byte{two, longer, one}, 1},
		{"the bytes last", [][]byte{two, larger, two}, 1},
		{"the first of two that are the same", [][]byte{one, larger, larger}, 1},
		{"sequences are unsigned", [][]byte{longer, longest}, 1},
		{"unreadable", [][]byte{[]byte("bad"), nil, one, []byte("bad")}, 2},
		{"none", nil, -1},
		{"none readable", [][]byte{[]byte("bad")}, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := validator.Select(alice.name(), tt.values)
			if got != tt.want || (err == nil) != (tt.want >= 0) || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("got %d, %v, want %d", got, err, tt.want)
			}
		})
	}
}

// FuzzValidate looks for values that make the validator panic, and for changed
// ones that it takes for the record they were made from.
func FuzzValidate(f *testing.F) {
	alice := newOwner(f, crypto.Ed25519)
	good := copied(alice.record(f, 7, eol))
	f.Add(good)
	f.Add([]byte(strings.Repeat("\x4a", 64)))
	f.Add(alice.sign(f, []byte("\xa1\x63TTL\x3b\xff\xff\xff\xff\xff\xff\xff\xff")))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := validator.Validate(alice.name(), b)
		place, selectErr := validator.Select(alice.name(), [][]byte{b})
		if err != nil {
			return
		}
		if place != 0 || selectErr != nil {
			t.Errorf("a valid record is not selected: %d, %v", place, selectErr)
		}
		got, err := parse(b)
		if err != nil {
			t.Fatalf("a valid record is not read: %v", err)
		}
		if want := newData(7, eol).encode(t); !bytes.Equal(got.data, want) {
			t.Errorf("got data %x, want %x", got.data, want)
		}
	})
}
