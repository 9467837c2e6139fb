package pastry_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/testutil"
)

// ipnsRecord returns an IPNS record of a peer, see
// https://specs.ipfs.tech/ipns/ipns-record/.
func (s signer) ipnsRecord(t testing.TB, sequence uint64, until time.Time) []byte {
	t.Helper()
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	data, err := mode.Marshal(map[string]any{
		"Value": []byte("/ipfs/bafkqaaa"), "ValidityType": 0, "Validity": []byte(until.Format(time.RFC3339Nano)),
		"Sequence": sequence, "TTL": uint64(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.priv.Sign(append([]byte("ipns-signature:"), data...))
	if err != nil {
		t.Fatal(err)
	}
	b := protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), data)
	return protowire.AppendBytes(protowire.AppendTag(b, 8, protowire.BytesType), signature)
}

// The records of IPNS: an older one does not replace a newer, whoever puts it,
// and nobody puts one for another.
func TestIPNSRecords(t *testing.T) {
	const members = 4
	cfg := seeded(85, members)
	cfg.Options = clientsFrom(members)
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		client := addClient(t, c)
		owner, until := newSigner(t, "owner"), time.Now().Add(time.Hour)
		key := "/ipns/" + string(owner.id)
		first, second := owner.ipnsRecord(t, 1, until), owner.ipnsRecord(t, 2, until)
		put := func(n *pastry.Node, b []byte) error { return n.PutValue(within(t, 20*time.Second), key, b) }
		if err := put(c.Node(0), second); err != nil {
			t.Fatal(err)
		}
		for name, n := range map[string]*pastry.Node{"a member": c.Node(1), "a client": client} {
			for _, tt := range []struct {
				name   string
				record []byte
				want   error
			}{
				{"older", first, pastry.ErrRecordStale},
				{"expired", owner.ipnsRecord(t, 3, time.Now().Add(-time.Second)), pastry.ErrRecordInvalid},
				{"of another", newSigner(t, "another").ipnsRecord(t, 4, until), pastry.ErrRecordInvalid},
				{"garbage", []byte("garbage"), pastry.ErrRecordInvalid},
				{"too large", bytes.Repeat([]byte{0}, 10<<10+1), pastry.ErrRecordInvalid},
			} {
				if err := put(n, tt.record); !errors.Is(err, tt.want) || !errors.Is(err, pastry.ErrNotStored) {
					t.Errorf("%s puts a record that is %s: got %v, want an error that wraps %v and %v", name, tt.name, err, tt.want, pastry.ErrNotStored)
				}
			}
		}
		for _, n := range append(c.Oracle().Members(), client) {
			checkValue(t, n, key, string(second))
		}
		third := owner.ipnsRecord(t, 3, until)
		if err := put(client, third); err != nil {
			t.Fatal(err)
		}
		for _, n := range append(c.Oracle().Members(), client) {
			checkValue(t, n, key, string(third))
		}
		time.Sleep(time.Hour + time.Second)
		checkValue(t, c.Node(0), key, "")
	})
}

// rsaSigner returns a peer whose ID does not contain its public key.
func rsaSigner(t testing.TB) signer {
	t.Helper()
	priv, _, err := crypto.GenerateRSAKeyPair(2048, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerWith(t, priv)
}

// A public key comes from where it can be had: the ID itself, the record that
// tells the peer's addresses, or the value under its name.
func TestGetPublicKey(t *testing.T) {
	const members = 4
	named, published, unknown := rsaSigner(t), rsaSigner(t), rsaSigner(t)
	cfg := seeded(86, members)
	cfg.Options = clientsFrom(members)
	withRing(t, cfg, func(t *testing.T, c *testutil.Cluster) {
		i, err := c.Add(identity(published))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Join(within(t, 30*time.Second), i); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		public, err := crypto.MarshalPublicKey(named.priv.GetPublic())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Node(0).PutValue(within(t, 20*time.Second), routing.KeyForPublicKey(named.id), public); err != nil {
			t.Fatal(err)
		}
		reader := addClient(t, c) // is connected to one member
		for k, s := range []signer{named, published, newSigner(t, "short")} {
			got, err := reader.GetPublicKey(within(t, 20*time.Second), s.id)
			if err != nil || !got.Equals(s.priv.GetPublic()) {
				t.Errorf("%d: got %v, %v, want its key", k, got, err)
			}
			if kept := reader.Host().Peerstore().PubKey(s.id); kept == nil {
				t.Errorf("%s: its key is not in the peerstore", s.id)
			}
		}
		if _, err := reader.GetPublicKey(within(t, 20*time.Second), unknown.id); err != routing.ErrNotFound {
			t.Errorf("unknown peer: got %v, want %v itself", err, routing.ErrNotFound)
		}
		if _, err := reader.GetPublicKey(t.Context(), ""); !errors.Is(err, peer.ErrEmptyPeerID) {
			t.Errorf("empty peer ID: got %v, want %v", err, peer.ErrEmptyPeerID)
		}
		// A key under another's name is nobody's.
		if err := c.Node(0).PutValue(within(t, 20*time.Second), routing.KeyForPublicKey(unknown.id), public); !errors.Is(err, pastry.ErrRecordInvalid) {
			t.Errorf("the key of another: got %v, want an error that wraps %v", err, pastry.ErrRecordInvalid)
		}
	})
}
