package records

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2precord "github.com/libp2p/go-libp2p/core/record"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/pb"
)

// wireValue returns a value as a peer sends it.
func wireValue(name, data string, expires time.Time) *pb.Record {
	return &pb.Record{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte(name), Data: []byte(data), ExpiresMs: uint64(expires.UnixMilli())}
}

// wireProvider returns a record that a has signed as a peer sends it.
func wireProvider(a party, seq uint64, expires time.Time) *pb.Record {
	sealed, err := (&Provider{Multihash: content("x"), Peer: a.id, Seq: seq, Expires: expires}).Seal(a.key)
	if err != nil {
		panic(err)
	}
	return &pb.Record{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: sealed}
}

func TestOpenRoundTrip(t *testing.T) {
	a := newParty(1)
	o := &Opener{Validator: &rank{}}
	for _, want := range []*Record{
		a.provides("x", 3, 10),
		value("/v/x", "1", 10),
		a.is(5, 2).record(start.Add(MaxPeer)),
	} {
		t.Run(want.Type.String(), func(t *testing.T) {
			got, err := o.Open(start, want.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("on the wire (-got +want):\n%s", diff)
			}
			row, err := newRow(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err = readRow(row.id, row.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("on the disk (-got +want):\n%s", diff)
			}
		})
	}
}

func TestOpenExpires(t *testing.T) {
	a := newParty(1)
	where := func(signed time.Time) *pb.Record {
		pr := &peer.PeerRecord{PeerID: a.id, Seq: seqAt(signed), Addrs: a.is(0, 1).Addrs}
		return &pb.Record{Type: pb.RecordType_RECORD_TYPE_PEER, Data: mustSeal(pr, a.key)}
	}
	const hour = time.Hour
	at := start.Add
	for _, test := range []struct {
		name string
		m    *pb.Record
		want time.Duration // after start
	}{
		{"provider as signed", wireProvider(a, seqAt(start), at(7*hour)), 7 * hour},
		{"provider capped by when it was signed", wireProvider(a, seqAt(at(-hour)), at(999*hour)), 47 * hour},
		{"provider capped by when it came", wireProvider(a, seqAt(at(hour)), at(999*hour)), 48 * hour},
		{"provider that never ends", wireProvider(a, seqAt(start), time.UnixMilli(math.MaxInt64)), 48 * hour},
		{"value as asked", wireValue("/v/x", "1", at(7*hour)), 7 * hour},
		{"value of a clock a little ahead", wireValue("/v/x", "1", at(48*hour+10*time.Minute)), 48*hour + 10*time.Minute},
		{"value capped", wireValue("/v/x", "1", at(49*hour)), 48 * hour},
		{"value that never ends", &pb.Record{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte("x"), Data: []byte("1"), ExpiresMs: math.MaxUint64}, 48 * hour},
		{"peer", where(at(-hour)), 23 * hour},
		{"peer ahead", where(at(hour)), 25 * hour},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := (&Opener{Validator: &rank{}}).Open(start, test.m)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Expires.Sub(start); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	a, b := newParty(1), newParty(2)
	asPeer := func(x *Addresses) *pb.Record {
		return &pb.Record{Type: pb.RecordType_RECORD_TYPE_PEER, Data: x.Sealed}
	}
	altered := wireProvider(a, seqAt(start), minute(9))
	altered.Data = bytes.Clone(altered.Data)
	altered.Data[len(altered.Data)/2] ^= 1
	stranger := &peer.PeerRecord{PeerID: b.id, Seq: seqAt(start), Addrs: a.is(0, 1).Addrs}
	future := &peer.PeerRecord{PeerID: a.id, Seq: seqAt(start.Add(MaxSkew + time.Second)), Addrs: a.is(0, 1).Addrs}
	past := &peer.PeerRecord{PeerID: a.id, Seq: seqAt(start.Add(-MaxPeer)), Addrs: a.is(0, 1).Addrs}
	for _, test := range []struct {
		name string
		m    *pb.Record
		want error
	}{
		{"nothing", nil, ErrForged},
		{"no type", &pb.Record{Data: altered.Data}, ErrForged},
		{"a type that looks like another in a byte", &pb.Record{Type: 257, Data: wireProvider(a, seqAt(start), minute(9)).Data}, ErrForged},
		{"altered provider", altered, ErrForged},
		{"provider from the future", wireProvider(a, seqAt(start.Add(MaxSkew+time.Second)), minute(9999)), ErrForged},
		{"provider beyond all time", wireProvider(a, math.MaxUint64, minute(9)), ErrForged},
		{"expired provider", wireProvider(a, seqAt(start), start), ErrExpired},
		{"provider signed too long ago", wireProvider(a, seqAt(start.Add(-MaxProvider)), minute(9)), ErrExpired},
		{"provider without a time", wireProvider(a, 7, minute(9)), ErrExpired},
		{"peer as provider", &pb.Record{Type: pb.RecordType_RECORD_TYPE_PROVIDER, Data: a.is(1, 1).Sealed}, ErrForged},
		{"provider as peer", &pb.Record{Type: pb.RecordType_RECORD_TYPE_PEER, Data: wireProvider(a, seqAt(start), minute(9)).Data}, ErrForged},
		{"peer signed by another", &pb.Record{Type: pb.RecordType_RECORD_TYPE_PEER, Data: mustSeal(stranger, a.key)}, ErrForged},
		{"peer from the future", &pb.Record{Type: pb.RecordType_RECORD_TYPE_PEER, Data: mustSeal(future, a.key)}, ErrForged},
		{"peer signed too long ago", &pb.Record{Type: pb.RecordType_RECORD_TYPE_PEER, Data: mustSeal(past, a.key)}, ErrExpired},
		{"peer without addresses", asPeer(a.is(0, 0)), ErrUnaddressed},
		{"peer with too many addresses", asPeer(a.is(0, 4)), ErrTooLarge},
		{"value without a key", wireValue("", "1", minute(9)), ErrForged},
		{"value with a long key", wireValue(strings.Repeat("x", MaxName+1), "1", minute(9)), ErrForged},
		{"invalid value", wireValue("/v/x", "", minute(9)), ErrInvalid},
		{"expired value", wireValue("/v/x", "1", start), ErrExpired},
		{"value without a time", &pb.Record{Type: pb.RecordType_RECORD_TYPE_VALUE, Name: []byte("x"), Data: []byte("1")}, ErrExpired},
		{"long value", wireValue("/v/x", strings.Repeat("1", 1001), minute(9)), ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := &Opener{Validator: &rank{}, Limits: Limits{Record: 1000, Addrs: 3}}
			if r, err := o.Open(start, test.m); !errors.Is(err, test.want) || r != nil {
				t.Errorf("got %v, %v, want %v", r, err, test.want)
			}
		})
	}
	t.Run("no validator", func(t *testing.T) {
		if r, err := (&Opener{}).Open(start, wireValue("/v/x", "1", minute(9))); !errors.Is(err, ErrInvalid) || r != nil {
			t.Errorf("got %v, %v, want %v", r, err, ErrInvalid)
		}
	})
	t.Run("no validator of the namespace", func(t *testing.T) {
		o := &Opener{Validator: record.NamespacedValidator{"w": &rank{}}}
		if r, err := o.Open(start, wireValue("/v/x", "1", minute(9))); !errors.Is(err, ErrInvalid) || r != nil {
			t.Errorf("got %v, %v, want %v", r, err, ErrInvalid)
		}
	})
}

func TestOpenAddressesRefuses(t *testing.T) {
	a, b := newParty(1), newParty(2)
	good := &peer.PeerRecord{PeerID: a.id, Seq: 1}
	for name, sealed := range map[string][]byte{
		"nothing":           nil,
		"garbage":           []byte("garbage"),
		"too long":          make([]byte, MaxPeerRecord+1),
		"another's name":    mustSeal(good, b.key),
		"no peer":           mustSeal(&peer.PeerRecord{Seq: 1}, a.key),
		"other payload":     mustSeal(otherCodec{good}, a.key),
		"other record type": mustSeal(provider(a.id), a.key),
	} {
		t.Run(name, func(t *testing.T) {
			if x, err := OpenAddresses(sealed); !errors.Is(err, ErrForged) {
				t.Errorf("got %v, %v, want an error that wraps ErrForged", x, err)
			}
		})
	}
}

// otherCodec is a record in an envelope of another payload type.
type otherCodec struct{ libp2precord.Record }

func (otherCodec) Codec() []byte { return []byte("/something/else") }

func TestOpenAddressesKey(t *testing.T) {
	priv, id := key(t, crypto.RSA, 3)
	sealed := mustSeal(&peer.PeerRecord{PeerID: id, Seq: 4, Addrs: newParty(1).is(0, 2).Addrs}, priv)
	a, err := OpenAddresses(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if a.Peer != id || a.Seq != 4 || len(a.Addrs) != 2 || !a.Key.Equals(priv.GetPublic()) {
		t.Errorf("got %+v", a)
	}
}

func FuzzOpen(f *testing.F) {
	a := newParty(1)
	for _, m := range []*pb.Record{
		wireProvider(a, seqAt(start), minute(9)),
		wireValue("/v/x", "1", minute(9)),
		{Type: pb.RecordType_RECORD_TYPE_PEER, Data: a.is(1, 1).Sealed},
	} {
		f.Add(int32(m.Type), m.Name, m.Data, m.ExpiresMs)
	}
	f.Fuzz(func(t *testing.T, kind int32, name, data []byte, expires uint64) {
		o := &Opener{Validator: &rank{}, Limits: Limits{Record: 1 << 10, Addrs: 8}}
		r, err := o.Open(start, &pb.Record{Type: pb.RecordType(kind), Name: name, Data: data, ExpiresMs: expires})
		if err != nil {
			if _, err := readRecord(&pb.Record{Type: pb.RecordType(kind), Name: name, Data: data, ExpiresMs: expires}); err != nil {
				return // neither must panic
			}
			return
		}
		if !r.Expires.After(start) || r.Expires.After(start.Add(MaxProvider+MaxSkew)) {
			t.Errorf("expires at %v", r.Expires)
		}
		again, err := o.Open(start, r.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(again, r); diff != "" {
			t.Errorf("opened again (-got +want):\n%s", diff)
		}
		row, err := newRow(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err = readRow(row.id, row.value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(again, r); diff != "" {
			t.Errorf("read again (-got +want):\n%s", diff)
		}
	})
}
