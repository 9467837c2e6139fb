package pastry

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTimerOrder pushes and pops at random: timers come in the order of their
// times, and those of one time in the order in which they were set.
func TestTimerOrder(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var h timerHeap
		var want []timer
		pop := func() {
			slices.SortFunc(want, func(a, b timer) int {
				return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.ref, b.ref))
			})
			got := h.pop()
			if got.at != want[0].at || got.ref != want[0].ref {
				t.Fatalf("seed %d: timer %d at %d came first, want %d at %d", seed, got.ref, got.at, want[0].ref, want[0].at)
			}
			want = want[1:]
		}
		for i := range 500 {
			timer := timer{at: Time(rng.IntN(20)), ref: uint64(i)}
			h.push(timer)
			want = append(want, timer)
			if rng.IntN(3) == 0 {
				pop()
			}
		}
		for len(want) > 0 {
			pop()
		}
		if len(h.a) != 0 {
			t.Fatalf("seed %d: %d timers are left over", seed, len(h.a))
		}
	}
}

func TestTimersDoNotAllocate(t *testing.T) {
	var h timerHeap
	for i := range 1000 {
		h.push(timer{at: Time(i * 7919 % 1000)})
	}
	allocs := testing.AllocsPerRun(1000, func() {
		next := h.pop()
		next.at += 500
		h.push(next)
	})
	if allocs != 0 {
		t.Errorf("a pop and a push allocate %g times, want none", allocs)
	}
}

func BenchmarkTimers(b *testing.B) {
	var h timerHeap
	for i := range 1000 {
		h.push(timer{at: Time(i * 7919 % 1000)})
	}
	b.ReportAllocs()
	for b.Loop() {
		next := h.pop()
		next.at += 500
		h.push(next)
	}
}
