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

// What 100,000 contents may cost: packets for each member and batch, those that
// repeat and compare included, and bytes of heap at the peak for each replica of a
// record, all nodes being in this process.
const (
	maxMessages = 128
	maxHeap     = 4 << 10
)

// BenchmarkProvide announces contents from one of 64 nodes: 100,000 with
// ProvideMany, 1,000 one after the other with Provide, and the same 1,000 with
// kad-dht. It reports contents a second, the packets that carried something from
// node to node, and the most heap that was in use; it fails when these grow with
// the contents rather than with nodes and batches, or beyond a bound.
func BenchmarkProvide(b *testing.B) {
	b.Run(fmt.Sprintf("pastry/ProvideMany/nodes=%d/keys=%d", nodes, manyKeys), func(b *testing.B) {
		r := newRing(b, nodes)
		before := heap()
		for round := 0; b.Loop(); round++ {
			keys := contents(b, fmt.Sprint("many", round), manyKeys)
			routed, direct := r.sum(b, "messages_total", route), r.nodes[0].ProvideStats()
			start := time.Now()
			peak := watchHeap()
			if err := r.nodes[0].ProvideMany(b.Context(), keys); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(manyKeys/time.Since(start).Seconds(), "keys/s")
			messages := r.sum(b, "messages_total", route) - routed
			batches := float64(r.nodes[0].ProvideStats().Calls - direct.Calls)
			bytes := float64(peak()-before) / r.sum(b, "records", nil)
			b.ReportMetric(messages, "messages")
			b.ReportMetric(batches, "batches")
			b.ReportMetric(bytes, "peak-heap-B/replica")
			if messages > maxMessages*(nodes+batches) {
				b.Errorf("%.0f messages for %d nodes and %.0f batches", messages, nodes, batches)
			}
			if bytes > maxHeap {
				b.Errorf("%.0f bytes of heap for each replica", bytes)
			}
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

// watchHeap looks at the heap ten times a second; the function it returns stops
// that and returns the most bytes that were in use, garbage included.
func watchHeap() (peak func() uint64) {
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-tick.C:
			case <-stop:
				done <- most
				return
			}
		}
	}()
	return func() uint64 { close(stop); return <-done }
}

// heap returns the bytes in use after a collection.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
