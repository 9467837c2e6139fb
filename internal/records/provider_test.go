package records

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	"github.com/multiformats/go-multihash"
)

// key returns a private key of the given type from a seed, and its peer ID.
func key(t *testing.T, kind int, seed uint64) (crypto.PrivKey, peer.ID) {
	t.Helper()
	src := rand.NewChaCha8([32]byte{byte(seed)})
	priv, _, err := crypto.GenerateKeyPairWithReader(kind, 2048, src)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return priv, id
}

func provider(p peer.ID) *Provider {
	return &Provider{Multihash: content("x"), Peer: p, Seq: 7, Expires: time.UnixMilli(1_700_000_000_123)}
}

func TestProviderRoundTrip(t *testing.T) {
	for name, kind := range map[string]int{"Ed25519": crypto.Ed25519, "Secp256k1": crypto.Secp256k1, "ECDSA": crypto.ECDSA, "RSA": crypto.RSA} {
		t.Run(name, func(t *testing.T) {
			priv, id := key(t, kind, 1)
			want := provider(id)
			sealed, err := want.Seal(priv)
			if err != nil {
				t.Fatal(err)
			}
			got, err := OpenProvider(sealed)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("record differs (-got +want):\n%s", diff)
			}
		})
	}
}

// otherType is a Provider in an envelope of another payload type.
type otherType struct{ *Provider }

func (otherType) Codec() []byte { return []byte("/something/else") }

// otherDomain is a Provider signed for another purpose.
type otherDomain struct{ *Provider }

func (otherDomain) Domain() string { return "something else" }

func TestOpenProviderRefuses(t *testing.T) {
	priv, id := key(t, crypto.Ed25519, 1)
	_, other := key(t, crypto.Ed25519, 2)
	seal := func(r record.Record) []byte {
		t.Helper()
		envelope, err := record.Seal(r, priv)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := envelope.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	altered := bytes.Clone(seal(provider(id)))
	altered[len(altered)/2] ^= 1
	noHash, longHash := provider(id), provider(id)
	noHash.Multihash = nil
	longHash.Multihash = make([]byte, MaxMultihash+1)
	for name, sealed := range map[string][]byte{
		"nothing":           nil,
		"garbage":           []byte("garbage"),
		"too long":          make([]byte, MaxSealed+1),
		"altered":           altered,
		"another's name":    seal(provider(other)),
		"no peer":           seal(provider("")),
		"no multihash":      seal(noHash),
		"long multihash":    seal(longHash),
		"other payload":     seal(otherType{provider(id)}),
		"other domain":      seal(otherDomain{provider(id)}),
		"other record type": seal(&peer.PeerRecord{PeerID: id, Seq: 1}),
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := OpenProvider(sealed); !errors.Is(err, ErrForged) {
				t.Errorf("got %v, %v, want an error that wraps ErrForged", p, err)
			}
		})
	}
}

func TestCheckMultihash(t *testing.T) {
	identity, err := multihash.Sum(make([]byte, MaxMultihash), multihash.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		mh   multihash.Multihash
		ok   bool
	}{
		{"SHA2-256", content("x"), true},
		{"cut short", identity[:1:1], false},
		{"empty", nil, false},
		{"too long", identity, false},
		{"length wrong", content("x")[:20], false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := CheckMultihash(test.mh); (err == nil) != test.ok {
				t.Errorf("got %v, want ok %t", err, test.ok)
			}
		})
	}
}

func FuzzOpenProvider(f *testing.F) {
	priv, _, err := crypto.GenerateEd25519Key(rand.NewChaCha8([32]byte{1}))
	if err != nil {
		f.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(priv)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := provider(id).Seal(priv)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		p, err := OpenProvider(sealed)
		if err != nil {
			return
		}
		if err := CheckMultihash(p.Multihash); err != nil || p.Peer.Validate() != nil {
			t.Errorf("opened %+v: %v", p, err)
		}
	})
}
