package pastry

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/pb"
)

// What a packer takes in fits the room it was given, the names and addresses
// beside the records included, and nearly fills it.
func TestPackerFits(t *testing.T) {
	const room = 64 << 10
	address := func(i int) *records.Addresses {
		return &records.Addresses{Peer: peer.ID(fmt.Sprint("provider ", i)), Sealed: make([]byte, 500)}
	}
	provider := func(i int) *records.Record {
		return &records.Record{Type: records.TypeProvider, Name: []byte("content"), Peer: peer.ID(fmt.Sprint("provider ", i)), Data: make([]byte, 250)}
	}
	for _, tt := range []struct {
		name    string
		record  func(i int) (*records.Record, *records.Addresses)
		largest int // bytes that one takes at most
		peers   func(added int) int
	}{
		{"each of another provider", func(i int) (*records.Record, *records.Addresses) { return provider(i), address(i) }, 850,
			func(n int) int { return n }},
		{"all of one provider", func(int) (*records.Record, *records.Addresses) { return provider(0), address(0) }, 850,
			func(int) int { return 1 }},
		{"providers without addresses", func(i int) (*records.Record, *records.Addresses) { return provider(i), nil }, 300,
			func(int) int { return 0 }},
		{"values with long keys", func(int) (*records.Record, *records.Addresses) {
			return &records.Record{Type: records.TypeValue, Name: bytes.Repeat([]byte{'k'}, records.MaxName), Data: []byte{1}}, nil
		}, records.MaxName + 60, func(int) int { return 0 }},
		{"empty values", func(int) (*records.Record, *records.Addresses) {
			return &records.Record{Type: records.TypeValue, Name: []byte("/k/k"), Expires: time.UnixMilli(1 << 40)}, nil
		}, room, func(int) int { return 0 }},
		{"large values", func(int) (*records.Record, *records.Addresses) {
			return &records.Record{Type: records.TypeValue, Name: []byte{'k'}, Data: make([]byte, 20<<10)}, nil
		}, 21 << 10, func(int) int { return 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPacker(room)
			added := 0
			for added < room && p.add(tt.record(added)) {
				added++
			}
			if len(p.records) != added || len(p.peers) != tt.peers(added) {
				t.Errorf("%d records and %d peer records of %d added", len(p.records), len(p.peers), added)
			}
			b, err := proto.Marshal(storeCall(&pb.StoreCall{Records: p.records, Peers: p.peers}))
			if err != nil {
				t.Fatal(err)
			}
			size := len(b)
			if size > room {
				t.Errorf("the call has %d bytes, there was room for %d", size, room)
			}
			if err := unmarshalPayload(b, &pb.RecordCall{}); err != nil {
				t.Errorf("the call is refused: %v", err)
			}
			if added == room || size < room/3 && room-size > tt.largest {
				t.Errorf("%d records make %d bytes, there was room for %d", added, size, room)
			}
		})
	}
}

// A record that does not fit leaves no trace, and a smaller one may fit then.
func TestPackerRefuses(t *testing.T) {
	p := newPacker(1000)
	large := &records.Record{Type: records.TypeProvider, Peer: "large", Data: make([]byte, 900)}
	if p.add(large, &records.Addresses{Peer: "large", Sealed: make([]byte, 200)}) {
		t.Error("a record was taken whose addresses do not fit")
	}
	if len(p.records) != 0 || len(p.peers) != 0 || p.named["large"] || p.room != 1000 {
		t.Errorf("%d records, %d peer records and %d bytes of room are left of it", len(p.records), len(p.peers), p.room)
	}
	if !p.add(large, nil) {
		t.Error("a record was not taken for which there is room")
	}
	if p.add(large, nil) {
		t.Error("a record was taken for which there is no room")
	}
}

func TestInParallel(t *testing.T) {
	for _, count := range []int{0, 1, 15, 16, 17, 1000} {
		done := make([]atomic.Int32, count)
		inParallel(count, func(i int) { done[i].Add(1) })
		for i := range done {
			if got := done[i].Load(); got != 1 {
				t.Errorf("of %d, number %d was called %d times, want once", count, i, got)
			}
		}
	}
}
