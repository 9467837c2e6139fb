package records

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"

	ds "github.com/ipfs/go-datastore"
	leveldb "github.com/ipfs/go-ds-leveldb"
	"github.com/multiformats/go-multihash"
)

// benchRecords returns the records of one provider of n contents, all with the
// same data, which the store does not look into.
func benchRecords(a party, data []byte, from, n int) []*Record {
	rs := make([]*Record, n)
	for i := range rs {
		name := binary.BigEndian.AppendUint64(nil, uint64(from+i))
		mh, err := multihash.Encode(append(name, make([]byte, 24)...), multihash.SHA2_256)
		if err != nil {
			panic(err)
		}
		rs[i] = &Record{Type: TypeProvider, Name: mh, Peer: a.id, Version: 1, Expires: minute(60), Data: data}
	}
	return rs
}

// Each iteration stores new records in a store that grows.
func BenchmarkStorePut(b *testing.B) {
	a := newParty(1)
	for _, store := range []string{"map", "leveldb"} {
		for _, batch := range []int{1, 100, 1000} {
			for _, callers := range []int{1, 16} {
				b.Run(fmt.Sprintf("store=%s/batch=%d/callers=%d", store, batch, callers), func(b *testing.B) {
					db := memory()
					if store == "leveldb" {
						level, err := leveldb.NewDatastore(b.TempDir(), nil)
						if err != nil {
							b.Fatal(err)
						}
						defer level.Close()
						db = level
					}
					benchPut(b, db, a, batch, callers)
				})
			}
		}
	}
}

func benchPut(b *testing.B, db ds.Batching, a party, batch, callers int) {
	s, err := OpenStore(context.Background(), StoreConfig{Datastore: db}, start)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	where, data := []*Addresses{a.is(0, 4)}, a.provides("x", 1, 60).Data
	from := 0
	b.ReportAllocs()
	for b.Loop() {
		var wg sync.WaitGroup
		for range callers {
			rs := benchRecords(a, data, from, batch)
			from += batch
			wg.Go(func() {
				for _, err := range s.Put(context.Background(), start, Batch{rs, where}) {
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(from)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(from)/float64(s.Stats().Commits), "records/commit")
}

func BenchmarkStoreProviders(b *testing.B) {
	for _, n := range []int{16, 1024} {
		s := openStore(b, memory(), Limits{})
		var ps []party
		var rs []*Record
		for i := range n {
			ps = append(ps, newParty(i))
			rs = append(rs, ps[i].provides("x", 1, 1+i*7%n))
		}
		mustPut(b, s, ps, rs...)
		for _, limit := range []int{16, 0} {
			b.Run(fmt.Sprintf("N=%d/limit=%d", n, limit), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := s.Providers(context.Background(), start, content("x"), 0, limit); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// What the store itself takes in memory for a record, beside the datastore.
func BenchmarkStoreMemory(b *testing.B) {
	const n = 100_000
	a := newParty(1)
	data := a.provides("x", 1, 60).Data
	for b.Loop() {
		db := ds.NewNullDatastore()
		var before, after runtime.MemStats
		s := openStore(b, db, Limits{})
		runtime.GC()
		runtime.ReadMemStats(&before)
		for from := 0; from < n; from += maxGroup {
			mustPut(b, s, []party{a}, benchRecords(a, data, from, min(maxGroup, n-from))...)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/record")
		runtime.KeepAlive(s)
	}
}
