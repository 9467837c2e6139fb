package records

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	libp2precord "github.com/libp2p/go-libp2p/core/record"
)

// start is when tests begin.
var start = time.UnixMilli(1_700_000_000_000)

func minute(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

// content returns the multihash of a content.
func content(name string) multihash.Multihash {
	mh, err := multihash.Sum([]byte(name), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return mh
}

// party is a peer that signs records.
type party struct {
	key crypto.PrivKey
	id  peer.ID
}

// newParty returns the peer of a number.
func newParty(n int) party {
	var seed [32]byte
	copy(seed[:], fmt.Sprint("party ", n))
	key, _, err := crypto.GenerateEd25519Key(rand.NewChaCha8(seed))
	if err != nil {
		panic(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		panic(err)
	}
	return party{key, id}
}

// seqAt returns the sequence number of a time.
func seqAt(t time.Time) uint64 { return uint64(t.UnixNano()) }

// provides returns the record that says that p provides a content until some
// minutes after start. It was signed at start, plus seq nanoseconds.
func (p party) provides(name string, seq, minutes int) *Record {
	pr := &Provider{Multihash: content(name), Peer: p.id, Seq: seqAt(start) + uint64(seq), Expires: minute(minutes)}
	sealed, err := pr.Seal(p.key)
	if err != nil {
		panic(err)
	}
	return pr.record(sealed)
}

// is returns the peer record of p with so many addresses.
func (p party) is(seq, addrs int) *Addresses {
	pr := &peer.PeerRecord{PeerID: p.id, Seq: seqAt(start) + uint64(seq)}
	for i := range addrs {
		pr.Addrs = append(pr.Addrs, ma.StringCast(fmt.Sprintf("/ip4/10.0.0.%d/tcp/4001", i+1)))
	}
	a, err := OpenAddresses(mustSeal(pr, p.key))
	if err != nil {
		panic(err)
	}
	return a
}

// record returns the record of where p is, which expires some minutes after
// start.
func (p party) record(seq, minutes int) *Record { return p.is(seq, 1).record(minute(minutes)) }

func mustSeal(r libp2precord.Record, key crypto.PrivKey) []byte {
	envelope, err := libp2precord.Seal(r, key)
	if err != nil {
		panic(err)
	}
	sealed, err := envelope.Marshal()
	if err != nil {
		panic(err)
	}
	return sealed
}

// value returns a value that expires some minutes after start.
func value(key, data string, minutes int) *Record {
	return newValue([]byte(key), []byte(data), minute(minutes))
}

// rank is a validator: of two values the one with the greater first byte is
// better, and empty ones are invalid, as is what it holds to be outdated.
type rank struct{ outdated string }

var errRank = errors.New("no rank")

var _ record.Validator = (*rank)(nil)

func (v *rank) Validate(_ string, b []byte) error {
	if len(b) == 0 || v.outdated != "" && string(b) == v.outdated {
		return errRank
	}
	return nil
}

// Select returns the first of equals.
func (v *rank) Select(_ string, bs [][]byte) (int, error) {
	best := 0
	for i, b := range bs {
		if len(b) == 0 {
			return 0, errRank
		}
		if bytes.Compare(b[:1], bs[best][:1]) > 0 {
			best = i
		}
	}
	return best, nil
}

// memory returns an empty datastore in memory.
func memory() ds.Batching { return dssync.MutexWrap(ds.NewMapDatastore()) }

// openStore returns a store that is closed at the end of the test.
func openStore(t testing.TB, db ds.Batching, limits Limits) *Store {
	t.Helper()
	s, err := OpenStore(context.Background(), StoreConfig{Datastore: db, Validator: &rank{}, Limits: limits}, start)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// putOne stores a record, with an address of who provides it.
func putOne(s *Store, p party, r *Record) error {
	return s.Put(context.Background(), start, Batch{Records: []*Record{r}, Peers: []*Addresses{p.is(0, 1)}})[0]
}

// mustPut stores records, with an address of each party.
func mustPut(t testing.TB, s *Store, ps []party, rs ...*Record) {
	t.Helper()
	b := Batch{Records: rs}
	for _, p := range ps {
		b.Peers = append(b.Peers, p.is(0, 1))
	}
	for i, err := range s.Put(context.Background(), start, b) {
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

// contentsOf lists what a store has in its index, and checks that each is on the
// datastore in that version, and that the counts are right.
func contentsOf(t testing.TB, s *Store) map[ID]*Record {
	t.Helper()
	var ids []ID
	var want Stats
	s.View(func(x *Index) {
		x.Ascend(WholeRing, func(e Entry) bool {
			ids = append(ids, e.ID)
			want.Bytes += int64(e.Size)
			return true
		})
	})
	out := make(map[ID]*Record)
	rs, err := s.Fetch(context.Background(), time.Time{}, ids)
	if err != nil || len(rs) != len(ids) {
		t.Fatalf("%d of %d records indexed were read: %v", len(rs), len(ids), err)
	}
	for _, r := range rs {
		s.View(func(x *Index) {
			if e, _ := x.Get(r.ID()); e.Version != r.Version || e.Expires != r.Expires.UnixMilli() {
				t.Errorf("%s %x: indexed as %+v, read %+v", r.Type, r.Name, e, r)
			}
		})
		*want.held(r.Type)++
		out[r.ID()] = r
	}
	got := s.Stats()
	if got.Providers != want.Providers || got.Values != want.Values || got.Peers != want.Peers {
		t.Errorf("got %d, %d and %d records counted, want %d, %d and %d", got.Providers, got.Values, got.Peers, want.Providers, want.Values, want.Peers)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, o := range s.owners.slots {
		want.Bytes += o.size
	}
	if got.Bytes != want.Bytes {
		t.Errorf("got %d bytes counted, want %d", got.Bytes, want.Bytes)
	}
	signers := make(map[peer.ID]bool)
	for _, r := range out {
		signers[r.Peer] = true
	}
	delete(signers, "")
	if known := len(s.owners.at); known != len(signers) || len(s.owners.slots) != 1+known+len(s.owners.free) {
		t.Errorf("got %d peers known in %d slots, %d of them free, want %d peers", known, len(s.owners.slots), len(s.owners.free), len(signers))
	}
	return out
}
