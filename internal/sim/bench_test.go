package sim_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/secondbit/pastry/internal/sim"
)

// BenchmarkGrow lets rings grow by joins. Beside the time it reports events a
// second and the memory that is in use afterwards, for each node.
func BenchmarkGrow(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var events, bytes float64
			for b.Loop() {
				before := inUse()
				s := sim.New(paper(b, "plane"))
				check(b, s.Grow(b.Context(), n, 10, nil))
				events += float64(s.Counts().Events)
				bytes += float64(inUse()-before) / float64(n)
				runtime.KeepAlive(s)
			}
			b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(bytes/float64(b.N), "B/node")
		})
	}
}

// BenchmarkPerfect sends a thousand messages over perfect tables, of which those
// nodes make theirs that are reached.
func BenchmarkPerfect(b *testing.B) {
	for _, n := range []int{10000, 100000} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s := sim.New(paper(b, "plane"))
				check(b, s.Perfect(b.Context(), n, nil))
				for range 1000 {
					s.Route(s.RandomActive(), s.ID(s.RandomActive()), 10*time.Second)
				}
				s.Run(2 * time.Second)
			}
		})
	}
}

// inUse returns the bytes on the heap that are in use.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
