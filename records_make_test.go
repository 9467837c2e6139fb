package pastry_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/secondbit/pastry"
	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
	"github.com/secondbit/pastry/testutil"
)

// signer makes records as a peer would, and as it should not.
type signer struct {
	id   peer.ID
	priv crypto.PrivKey
}

func signerOf(h host.Host) signer { return signer{h.ID(), h.Peerstore().PrivKey(h.ID())} }

// newSigner returns a peer without a host; its key follows from the name.
func newSigner(t testing.TB, name string) signer {
	t.Helper()
	sum := sha256.Sum256([]byte(name))
	priv, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	return signerWith(t, priv)
}

func signerWith(t testing.TB, priv crypto.PrivKey) signer {
	t.Helper()
	id, err := peer.IDFromPrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, priv}
}

// provider returns the record in which the peer says that it provides a content,
// after edit.
func (s signer) provider(t testing.TB, c cid.Cid, edit func(*records.Provider)) *records.Record {
	t.Helper()
	now := time.Now()
	p := &records.Provider{Multihash: c.Hash(), Peer: s.id, Seq: uint64(now.UnixNano()), Expires: now.Add(time.Hour).Truncate(time.Millisecond)}
	if edit != nil {
		edit(p)
	}
	sealed, err := p.Seal(s.priv)
	if err != nil {
		t.Fatal(err)
	}
	return &records.Record{Type: records.TypeProvider, Name: p.Multihash, Peer: p.Peer, Version: p.Seq, Expires: p.Expires, Data: sealed}
}

// addresses returns the sealed peer record of the peer with some addresses.
func (s signer) addresses(t testing.TB, addrs ...string) []byte {
	t.Helper()
	p := &peer.PeerRecord{PeerID: s.id, Seq: uint64(time.Now().UnixNano())}
	for _, a := range addrs {
		p.Addrs = append(p.Addrs, ma.StringCast(a))
	}
	envelope, err := record.Seal(p, s.priv)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := envelope.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// somewhere is an address that nobody listens at.
const somewhere = "/ip4/192.0.2.1/tcp/4001"

// providerID returns the name of the record in which node i says that it
// provides a content.
func providerID(content cid.Cid, i int, c *testutil.Cluster) records.ID {
	return records.NewID(records.TypeProvider, content.Hash(), c.Node(i).Host().ID())
}

func storeCall(rs []*records.Record, peers ...[]byte) *pb.RecordCall {
	call := &pb.StoreCall{Peers: peers}
	for _, r := range rs {
		call.Records = append(call.Records, r.Encode())
	}
	return &pb.RecordCall{Body: &pb.RecordCall_Store{Store: call}}
}

func findCall(t records.Type, name []byte, quorum int) *pb.RecordCall {
	return &pb.RecordCall{Body: &pb.RecordCall_Find{Find: &pb.FindCall{Type: pb.RecordType(t), Name: name, Limit: 100, Quorum: uint32(quorum)}}}
}

// plant stores records at one node alone, whatever else is held.
func plant(t testing.TB, from, at *pastry.Node, peers [][]byte, rs ...*records.Record) []pb.RecordOutcome {
	t.Helper()
	reply, err := pastry.AskMember(t.Context(), from, at.Host().ID(), storeCall(rs, peers...))
	if err != nil {
		t.Fatal(err)
	}
	return reply.GetStore().GetOutcomes()
}

// ranks is a validator of values such as "7 text": the larger number is better.
type ranks struct{}

func rankOf(value []byte) (int, error) {
	var n int
	if _, err := fmt.Sscanf(string(value), "%d", &n); err != nil {
		return 0, fmt.Errorf("%q has no rank", value)
	}
	return n, nil
}

func (ranks) Validate(_ string, value []byte) error {
	_, err := rankOf(value)
	return err
}

func (ranks) Select(_ string, values [][]byte) (int, error) {
	best, at := 0, -1
	for i, v := range values {
		if n, err := rankOf(v); err == nil && (at < 0 || n > best) {
			best, at = n, i
		}
	}
	if at < 0 {
		return 0, errors.New("none has a rank")
	}
	return at, nil
}

// lenient is a validator of values that takes everything, and prefers the last.
type lenient struct{}

func (lenient) Validate(string, []byte) error            { return nil }
func (lenient) Select(_ string, v [][]byte) (int, error) { return len(v) - 1, nil }

var withRanks = pastry.WithNamespacedValidator("rank", ranks{})

// value returns the record of a value.
func value(key, data string) *records.Record {
	return &records.Record{Type: records.TypeValue, Name: []byte(key), Data: []byte(data), Expires: time.Now().Add(time.Hour)}
}
