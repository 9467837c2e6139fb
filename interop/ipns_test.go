package interop

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	boxoipns "github.com/ipfs/boxo/ipns"
	ipnspb "github.com/ipfs/boxo/ipns/pb"
	"github.com/ipfs/boxo/path"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/ipns"
)

// publisher is who makes IPNS records.
type publisher struct {
	key  crypto.PrivKey
	name string // the key under which a router keeps its records
}

func newPublisher(t *testing.T, kind int) publisher {
	t.Helper()
	key, public, err := crypto.GenerateKeyPair(kind, 2048)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return publisher{key, string(boxoipns.NameFromPeer(id).RoutingKey())}
}

func (p publisher) record(t *testing.T, seq uint64, eol time.Time, opts ...boxoipns.Option) []byte {
	t.Helper()
	value, err := path.NewPath("/ipfs/bafkqaaa")
	if err != nil {
		t.Fatal(err)
	}
	r, err := boxoipns.NewRecord(p.key, value, seq, eol, time.Hour, opts...)
	if err != nil {
		t.Fatal(err)
	}
	b, err := boxoipns.MarshalRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sign returns a record with data of one's own.
func (p publisher) sign(t *testing.T, data []byte) []byte {
	t.Helper()
	sig, err := p.key.Sign(append([]byte("ipns-signature:"), data...))
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(&ipnspb.IpnsRecord{Data: data, SignatureV2: sig})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameVerdict checks that boxo and this module agree on a record, and returns
// whether they take it.
func sameVerdict(t *testing.T, what, name string, b []byte) bool {
	t.Helper()
	got, want := ipns.Validator{}.Validate(name, b), boxoipns.Validator{}.Validate(name, b)
	if (got == nil) != (want == nil) {
		t.Errorf("%s: got %v, boxo says %v, of the record %x", what, got, want, b)
	}
	return got == nil
}

var keyKinds = map[string]int{"Ed25519": crypto.Ed25519, "RSA": crypto.RSA, "ECDSA": crypto.ECDSA, "Secp256k1": crypto.Secp256k1}

// Records as boxo makes them are taken, whatever the key and the options.
func TestIPNSRecordsOfBoxo(t *testing.T) {
	eol := time.Now().Add(time.Hour)
	metadata := map[string]any{"_text": "text", "_bytes": []byte{1}, "_number": int64(-5), "_flag": true}
	for kind, code := range keyKinds {
		p := newPublisher(t, code)
		for name, opts := range map[string][]boxoipns.Option{
			"as by default": nil,
			"V2 only":       {boxoipns.WithV1Compatibility(false)},
			"embedded key":  {boxoipns.WithPublicKey(true)},
			"metadata":      {boxoipns.WithMetadata(metadata), boxoipns.WithV1Compatibility(false)},
		} {
			t.Run(kind+", "+name, func(t *testing.T) {
				for _, seq := range []uint64{0, 1, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
					if !sameVerdict(t, fmt.Sprintf("sequence %d", seq), p.name, p.record(t, seq, eol, opts...)) {
						t.Errorf("sequence %d: refused", seq)
					}
				}
				if sameVerdict(t, "expired", p.name, p.record(t, 1, time.Now().Add(-time.Second), opts...)) {
					t.Error("an expired record is taken")
				}
			})
		}
		t.Run(kind+", no embedded key", func(t *testing.T) {
			sameVerdict(t, "record", p.name, p.record(t, 1, eol, boxoipns.WithPublicKey(false)))
		})
	}
}

// Each field left out or changed makes both refuse, or take, a record.
func TestIPNSFields(t *testing.T) {
	p, other := newPublisher(t, crypto.Ed25519), newPublisher(t, crypto.Ed25519)
	otherKey, err := crypto.MarshalPublicKey(other.key.GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	for _, compatible := range []bool{true, false} {
		good := p.record(t, 7, time.Now().Add(time.Hour), boxoipns.WithV1Compatibility(compatible), boxoipns.WithPublicKey(true))
		for name, change := range map[string]func(*ipnspb.IpnsRecord){
			"no value":           func(r *ipnspb.IpnsRecord) { r.Value = nil },
			"no signature V1":    func(r *ipnspb.IpnsRecord) { r.SignatureV1 = nil },
			"no validity type":   func(r *ipnspb.IpnsRecord) { r.ValidityType = nil },
			"no validity":        func(r *ipnspb.IpnsRecord) { r.Validity = nil },
			"no sequence":        func(r *ipnspb.IpnsRecord) { r.Sequence = nil },
			"no TTL":             func(r *ipnspb.IpnsRecord) { r.Ttl = nil },
			"no key":             func(r *ipnspb.IpnsRecord) { r.PubKey = nil },
			"no signature V2":    func(r *ipnspb.IpnsRecord) { r.SignatureV2 = nil },
			"no data":            func(r *ipnspb.IpnsRecord) { r.Data = nil },
			"only V1":            func(r *ipnspb.IpnsRecord) { r.Data, r.SignatureV2 = nil, nil },
			"only V2":            func(r *ipnspb.IpnsRecord) { r.Value, r.SignatureV1 = nil, nil },
			"another value":      func(r *ipnspb.IpnsRecord) { r.Value = []byte("/ipfs/other") },
			"another validity":   func(r *ipnspb.IpnsRecord) { r.Validity = append(r.Validity, 'Z') },
			"another type":       func(r *ipnspb.IpnsRecord) { r.ValidityType = ipnspb.IpnsRecord_ValidityType(1).Enum() },
			"another sequence":   func(r *ipnspb.IpnsRecord) { r.Sequence = proto.Uint64(8) },
			"another TTL":        func(r *ipnspb.IpnsRecord) { r.Ttl = proto.Uint64(8) },
			"another's key":      func(r *ipnspb.IpnsRecord) { r.PubKey = otherKey },
			"signatures swapped": func(r *ipnspb.IpnsRecord) { r.SignatureV1, r.SignatureV2 = r.SignatureV2, r.SignatureV1 },
			"very long":          func(r *ipnspb.IpnsRecord) { r.Validity = make([]byte, boxoipns.MaxRecordSize) },
		} {
			t.Run(fmt.Sprintf("%s, V1 %t", name, compatible), func(t *testing.T) {
				var r ipnspb.IpnsRecord
				if err := proto.Unmarshal(good, &r); err != nil {
					t.Fatal(err)
				}
				change(&r)
				b, err := proto.Marshal(&r)
				if err != nil {
					t.Fatal(err)
				}
				sameVerdict(t, "record", p.name, b)
				sameVerdict(t, "record of another name", other.name, b)
			})
		}
	}
}

// Both judge alike what became of records on the way.
func TestIPNSMutations(t *testing.T) {
	const seed, rounds = 1, 3000
	rng := rand.New(rand.NewPCG(seed, seed))
	p := newPublisher(t, crypto.Ed25519)
	var good [][]byte
	for _, compatible := range []bool{true, false} {
		good = append(good, p.record(t, 7, time.Now().Add(time.Hour), boxoipns.WithV1Compatibility(compatible), boxoipns.WithPublicKey(compatible)))
	}
	taken := 0
	for range rounds {
		b := append([]byte(nil), good[rng.IntN(len(good))]...)
		for range 1 + rng.IntN(2) {
			b = mutate(rng, b)
		}
		if sameVerdict(t, "mutation", p.name, b) {
			taken++
		}
	}
	if taken == 0 || taken > rounds/2 {
		t.Errorf("%d of %d mutations are taken, want a few", taken, rounds)
	}
}

// mutate changes a few bytes, or adds a field.
func mutate(rng *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := rng.IntN(len(b))
	switch rng.IntN(5) {
	case 0:
		b[at] ^= 1 << rng.IntN(8)
	case 1:
		return b[:at]
	case 2:
		return append(b[:at], b[at+1:]...)
	case 3:
		num := protowire.Number(1 + rng.IntN(12))
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(rng.IntN(20)))
	case 4:
		num := protowire.Number(1 + rng.IntN(12))
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), b[at:min(len(b), at+64)])
	}
	return b
}

// Data that no honest maker signs is judged alike, but for what boxo takes and
// then cannot compare with other records.
func TestIPNSOddData(t *testing.T) {
	p := newPublisher(t, crypto.Ed25519)
	validity := "\x68Validity\x54" + time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	const (
		ttl   = "\x63TTL\x01"
		value = "\x65Value\x41/"
		seq   = "\x68Sequence\x01"
		kind  = "\x6cValidityType\x00"
	)
	for _, tt := range []struct {
		name     string
		data     string
		stricter bool // refused here alone
	}{
		{"as it should be", "\xa5" + ttl + value + seq + validity + kind, false},
		{"in another order", "\xa5" + kind + validity + seq + value + ttl, false},
		{"without TTL", "\xa4" + value + seq + validity + kind, false},
		{"negative TTL", "\xa5\x63TTL\x20" + value + seq + validity + kind, false},
		{"other validity type", "\xa5" + ttl + value + seq + validity + "\x6cValidityType\x01", false},
		{"no validity type", "\xa4" + ttl + value + seq + validity, false},
		{"no validity", "\xa4" + ttl + value + seq + kind, false},
		{"validity that is no time", "\xa5" + ttl + value + seq + "\x68Validity\x43now" + kind, false},
		{"validity as text", "\xa5" + ttl + value + seq + "\x68Validity\x74" + validity[10:] + kind, false},
		{"a field twice", "\xa6" + ttl + ttl + value + seq + validity + kind, false},
		{"more bytes", "\xa5" + ttl + value + seq + validity + kind + "\x00", false},
		{"fewer fields than said", "\xa6" + ttl + value + seq + validity + kind, false},
		{"unknown length", "\xbf" + ttl + value + seq + validity + kind + "\xff", false},
		{"a list", "\x80", false},
		{"null", "\xf6", false},
		{"no sequence", "\xa4" + ttl + value + validity + kind, true},
		{"sequence as text", "\xa5" + ttl + value + "\x68Sequence\x611" + validity + kind, true},
		{"no value", "\xa4" + ttl + seq + validity + kind, true},
		{"value as text", "\xa5" + ttl + "\x65Value\x61/" + seq + validity + kind, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := p.sign(t, []byte(tt.data))
			if !tt.stricter {
				sameVerdict(t, "data", p.name, b)
			} else if err := (ipns.Validator{}).Validate(p.name, b); err == nil {
				t.Error("a record that lacks a field is taken")
			}
		})
	}
}

// Of several records both choose the same.
func TestIPNSSelect(t *testing.T) {
	const seed, rounds = 2, 300
	rng := rand.New(rand.NewPCG(seed, seed))
	p := newPublisher(t, crypto.Ed25519)
	eol := time.Now().Add(time.Hour)
	var all [][]byte
	for seq := range uint64(3) {
		for later := range time.Duration(3) {
			for _, compatible := range []bool{true, false} {
				all = append(all, p.record(t, seq<<62, eol.Add(later), boxoipns.WithV1Compatibility(compatible)))
			}
		}
	}
	for round := range rounds {
		var some [][]byte
		for range 1 + rng.IntN(6) {
			some = append(some, all[rng.IntN(len(all))])
		}
		got, err := ipns.Validator{}.Select(p.name, some)
		if err != nil {
			t.Fatal(err)
		}
		want, err := boxoipns.Validator{}.Select(p.name, some)
		if err != nil {
			t.Fatal(err)
		}
		if string(some[got]) != string(some[want]) {
			t.Errorf("seed %d, round %d: got record %d, boxo chooses %d", seed, round, got, want)
		}
	}
}
