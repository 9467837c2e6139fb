package bench

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

const (
	nodes    = 64
	manyKeys = 100_000
	fewKeys  = 1_000
)

// BenchmarkProvide announces contents from one of 64 nodes: 100,000 with
// ProvideMany, 1,000 one after the other with Provide, and the same 1,000 with
// kad-dht. It reports contents a second, the messages of all nodes that it took,
// and the live heap afterwards.
func BenchmarkProvide(b *testing.B) {
	b.Run(fmt.Sprintf("pastry/ProvideMany/nodes=%d/keys=%d", nodes, manyKeys), func(b *testing.B) {
		r := newRing(b, nodes)
		before := heap()
		for round := 0; b.Loop(); round++ {
			keys := contents(b, fmt.Sprint("many", round), manyKeys)
			routed, direct := r.sum(b, "messages_total", route), r.nodes[0].ProvideStats()
			start := time.Now()
			if err := r.nodes[0].ProvideMany(b.Context(), keys); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(manyKeys/time.Since(start).Seconds(), "keys/s")
			b.ReportMetric(r.sum(b, "messages_total", route)-routed, "messages")
			b.ReportMetric(float64(r.nodes[0].ProvideStats().Calls-direct.Calls), "batches")
			b.ReportMetric(float64(int64(heap())-int64(before))/float64(r.sum(b, "records", nil)), "heap-B/replica")
			found(b, r, keys[:1000])
		}
	})
	b.Run(fmt.Sprintf("pastry/Provide/nodes=%d/keys=%d", nodes, fewKeys), func(b *testing.B) {
		r := newRing(b, nodes)
		for round := 0; b.Loop(); round++ {
			keys := contents(b, fmt.Sprint("few", round), fewKeys)
			routed := r.sum(b, "messages_total", route)
			start := time.Now()
			for _, mh := range keys {
				if err := r.nodes[0].Provide(b.Context(), toCID(mh), true); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(fewKeys/time.Since(start).Seconds(), "keys/s")
			b.ReportMetric(r.sum(b, "messages_total", route)-routed, "messages")
		}
	})
	b.Run(fmt.Sprintf("kad-dht/Provide/nodes=%d/keys=%d", nodes, fewKeys), func(b *testing.B) {
		ds := newDHTs(b, nodes)
		for round := 0; b.Loop(); round++ {
			keys := contents(b, fmt.Sprint("few", round), fewKeys)
			start := time.Now()
			for _, mh := range keys {
				if err := ds[0].Provide(b.Context(), toCID(mh), true); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(fewKeys/time.Since(start).Seconds(), "keys/s")
		}
	})
}

// route selects the messages that carry something, in the direction in which each
// counts once a hop.
var route = map[string]string{"kind": "route", "direction": "sent"}

// found fails the benchmark unless other nodes find what node 0 provides.
func found(b *testing.B, r *ring, keys []multihash.Multihash) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	want := r.nodes[0].Host().ID()
	for i, mh := range keys {
		var got peer.ID
		for p := range r.nodes[1+i%(nodes-1)].FindProvidersAsync(ctx, toCID(mh), 1) {
			got = p.ID
		}
		if got != want {
			b.Fatalf("content %d: got provider %q, want %q", i, got, want)
		}
	}
}

// heap returns the bytes in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
