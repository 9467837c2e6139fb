package pastry

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/record"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/secondbit/pastry/pb"
)

// bookKey returns the key of the n-th test peer, always the same.
func bookKey(t testing.TB, n int) crypto.PrivKey {
	t.Helper()
	seed := sha256.Sum256(fmt.Append(nil, "test peer ", n))
	key, err := crypto.UnmarshalEd25519PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func bookPeer(t testing.TB, n int) PeerID {
	t.Helper()
	p, err := peer.IDFromPrivateKey(bookKey(t, n))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func bookAddrs(t testing.TB, addrs ...string) []ma.Multiaddr {
	t.Helper()
	var out []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

// bookRecord returns the record that the n-th test peer seals.
func bookRecord(t testing.TB, n int, seq uint64, addrs ...string) []byte {
	t.Helper()
	sealed, err := sealRecord(bookKey(t, n), bookPeer(t, n), bookAddrs(t, addrs...), seq)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func mustContact(t testing.TB, b *contactBook, m *pb.Contact) *Contact {
	t.Helper()
	c, err := b.contact(m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContactRoundTrip(t *testing.T) {
	want := wireContact(t, 1)
	want.Client = true
	book := newContactBook(4)
	got := mustContact(t, book, encodeContact(want))
	if diff := cmp.Diff(got, want, sameWire); diff != "" {
		t.Errorf("contact changed on its way (-got +want):\n%s", diff)
	}
	addrs, err := book.addrs(got)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(addrs), "[/ip4/192.0.2.1/tcp/4001 /ip4/192.0.2.1/udp/4001/quic-v1]"; got != want {
		t.Errorf("addresses are %s, want %s", got, want)
	}
}

// TestPeerIDThatHidesItsKey has a peer whose key is not in its peer ID but only
// in the envelope.
func TestPeerIDThatHidesItsKey(t *testing.T) {
	key, _, err := crypto.GenerateECDSAKeyPair(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := NewContact(p)
	if c.Record, err = sealRecord(key, p, bookAddrs(t, "/ip4/192.0.2.1/tcp/1"), 1); err != nil {
		t.Fatal(err)
	}
	got := mustContact(t, newContactBook(1), encodeContact(c))
	if diff := cmp.Diff(got, c, sameWire); diff != "" {
		t.Errorf("contact changed on its way (-got +want):\n%s", diff)
	}
}

func TestEqualContactsAreShared(t *testing.T) {
	book := newContactBook(4)
	first := mustContact(t, book, encodeContact(wireContact(t, 1)))
	if again := mustContact(t, book, encodeContact(wireContact(t, 1))); again != first {
		t.Error("an equal contact is another value, want the same")
	}
	moved := encodeContact(wireContact(t, 1))
	moved.Coord = []float32{9}
	second := mustContact(t, book, moved)
	if second == first || second.Coord[0] != 9 || first.Coord[0] != 0.25 {
		t.Errorf("coordinates are %v and before %v, want 9 in a new contact alone", second.Coord, first.Coord)
	}
	if &second.Record[0] != &first.Record[0] {
		t.Error("the record was copied, want it shared")
	}
}

func TestForgedRecords(t *testing.T) {
	claim := func(record []byte) *pb.Contact { return &pb.Contact{Peer: []byte(bookPeer(t, 1)), Record: record} }
	seal := func(signer, about int) []byte {
		sealed, err := sealRecord(bookKey(t, signer), bookPeer(t, about), nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	envelope, err := record.Seal(strangeRecord{}, bookKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	strange, err := envelope.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	damaged := seal(1, 1)
	damaged[len(damaged)-1] ^= 1
	for _, tc := range []struct {
		name string
		in   *pb.Contact
	}{
		{"signed by another key", claim(seal(2, 1))},
		{"about another peer", claim(seal(1, 2))},
		{"of another peer", claim(seal(2, 2))},
		{"damaged", claim(damaged)},
		{"cut off", claim(seal(1, 1)[:50])},
		{"no envelope", claim([]byte("record"))},
		{"in another domain", claim(strange)},
		{"too long", claim(make([]byte, maxRecord+1))},
		{"without a peer", &pb.Contact{Record: seal(1, 1)}},
		{"region too long", &pb.Contact{Peer: []byte(bookPeer(t, 1)), Region: strings.Repeat("x", maxRegion+1)}},
		{"coordinate too long", &pb.Contact{Peer: []byte(bookPeer(t, 1)), Coord: make([]float32, maxCoord+1)}},
		{"missing", nil},
	} {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/known=%t", tc.name, known), func(t *testing.T) {
				book := newContactBook(4)
				if known {
					mustContact(t, book, encodeContact(wireContact(t, 1)))
				}
				if c, err := book.contact(tc.in); !errors.Is(err, ErrMalformed) {
					t.Errorf("contact = %v, %v, want ErrMalformed", c, err)
				}
			})
		}
	}
}

// strangeRecord is a record that is no peer record.
type strangeRecord struct{}

func (strangeRecord) Domain() string                 { return "strange" }
func (strangeRecord) Codec() []byte                  { return []byte("strange") }
func (strangeRecord) MarshalRecord() ([]byte, error) { return []byte("strange"), nil }
func (strangeRecord) UnmarshalRecord([]byte) error   { return nil }

// TestNewestRecordWins feeds records of one peer in some order and looks at the
// one in the contact that the book returns last.
func TestNewestRecordWins(t *testing.T) {
	const none = 0
	for _, tc := range []struct {
		name string
		seqs []uint64
		want uint64
	}{
		{"newer replaces older", []uint64{1, 2}, 2},
		{"older does not replace newer", []uint64{2, 1}, 2},
		{"none does not replace any", []uint64{2, none}, 2},
		{"any replaces none", []uint64{none, 1}, 1},
		{"none at all", []uint64{none, none}, none},
		{"back and forth", []uint64{3, 1, 5, 4, none}, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			book := newContactBook(4)
			var last *Contact
			for i, seq := range tc.seqs {
				m := &pb.Contact{Peer: []byte(bookPeer(t, 1)), Epoch: uint64(i)}
				if seq != none {
					m.Record = bookRecord(t, 1, seq)
				}
				last = mustContact(t, book, m)
			}
			if got, want := last.Epoch, uint64(len(tc.seqs)-1); got != want {
				t.Errorf("epoch is %d, want %d: the rest of a contact is the latest", got, want)
			}
			var want []byte
			if tc.want != none {
				want = bookRecord(t, 1, tc.want)
			}
			if diff := cmp.Diff(last.Record, want); diff != "" {
				t.Errorf("record is not that of sequence number %d (-got +want):\n%s", tc.want, diff)
			}
		})
	}
}

// TestEqualSequenceKeepsTheFirst: of two records with one number neither is
// newer, and swapping them would cost a verification each time.
func TestEqualSequenceKeepsTheFirst(t *testing.T) {
	book := newContactBook(4)
	first := wireContact(t, 1)
	mustContact(t, book, encodeContact(first))
	second := wireContact(t, 1)
	second.Record = bookRecord(t, 1, 1, "/ip4/192.0.2.9/tcp/1")
	if got := mustContact(t, book, encodeContact(second)); !cmp.Equal(got.Record, first.Record) {
		t.Error("record was replaced by one of the same sequence number")
	}
}

func TestBookIsBounded(t *testing.T) {
	const size = 8
	book := newContactBook(size)
	contact := func(n int) *Contact {
		return mustContact(t, book, &pb.Contact{Peer: []byte(bookPeer(t, n))})
	}
	kept := contact(0)
	for n := 1; n < 50; n++ {
		contact(n)
		if got := contact(0); got != kept {
			t.Fatalf("after %d others the peer in constant use was forgotten", n)
		}
		if got := len(book.entries); got > size || got != book.recent.Len() {
			t.Fatalf("book holds %d peers, list %d, want the same and at most %d", got, book.recent.Len(), size)
		}
	}
	if _, ok := book.entries[bookPeer(t, 42)]; ok {
		t.Error("a peer not used for long is still there")
	}
	if _, ok := book.entries[bookPeer(t, 49)]; !ok {
		t.Error("the latest peer is not there")
	}
}

func TestAddrs(t *testing.T) {
	book := newContactBook(4)
	bare := NewContact(bookPeer(t, 1))
	if addrs, err := book.addrs(bare); len(addrs) != 0 || err != nil {
		t.Errorf("addrs without a record = %v, %v, want none and no error", addrs, err)
	}
	forged := NewContact(bookPeer(t, 1))
	forged.Record = bookRecord(t, 2, 1, "/ip4/192.0.2.1/tcp/1")
	if addrs, err := book.addrs(forged); addrs != nil || !errors.Is(err, ErrMalformed) {
		t.Errorf("addrs of a forged record = %v, %v, want ErrMalformed", addrs, err)
	}
}

func TestSealRecordFits(t *testing.T) {
	var addrs []string
	for i := range 2000 {
		addrs = append(addrs, fmt.Sprintf("/ip4/192.0.2.1/tcp/%d", i+1))
	}
	c := NewContact(bookPeer(t, 1))
	c.Record = bookRecord(t, 1, 1, addrs...)
	if got := len(c.Record); got > maxRecord {
		t.Errorf("record is %d bytes, want at most %d", got, maxRecord)
	}
	got, err := newContactBook(1).addrs(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 100 || got[0].String() != addrs[0] {
		t.Errorf("record has %d addresses, want the first 100 at least", len(got))
	}
}

func TestBookIsSafeForConcurrentUse(t *testing.T) {
	book := newContactBook(4)
	var messages []*pb.Contact
	for n := range 6 {
		for seq := range uint64(3) {
			c := wireContact(t, n)
			c.Record = bookRecord(t, n, seq+1)
			messages = append(messages, encodeContact(c))
		}
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				c, err := book.contact(messages[(i*(g+1))%len(messages)])
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := book.addrs(c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkContact(b *testing.B) {
	m := encodeContact(wireContact(b, 1))
	for _, known := range []bool{true, false} {
		b.Run(fmt.Sprintf("known=%t", known), func(b *testing.B) {
			book := newContactBook(4)
			b.ReportAllocs()
			for b.Loop() {
				if !known {
					book = newContactBook(4)
				}
				if _, err := book.contact(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
