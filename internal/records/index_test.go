package records

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/secondbit/pastry/ring"
)

// sameID lets cmp compare the ids of the ring, whose fields are hidden.
var sameID = cmp.Comparer(func(a, b ring.ID) bool { return a == b })

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

// randomEntry returns a record with a key out of the first n, or any if n is 0.
func randomEntry(rng *rand.Rand, n uint64) Entry {
	e := Entry{ID: ID{Key: ring.Random(rng)}, Version: rng.Uint64N(4), Expires: rng.Int64N(1000), Size: rng.Uint32()}
	if n > 0 {
		// Keys on both sides of the top of the ring.
		e.ID.Key = ring.FromUint64s(0, rng.Uint64N(n)).Sub(ring.FromUint64s(0, n/2))
	}
	binary.BigEndian.PutUint64(e.ID.Rest[8:], rng.Uint64N(3))
	return e
}

// sorted is the model of an index: a slice in the order of IDs.
type sorted []Entry

func (s sorted) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(s, id, func(e Entry, id ID) int { return e.ID.Compare(id) })
}

// in returns what is in an arc, going up from its first key.
func (s sorted) in(a Arc) []Entry {
	var es []Entry
	for _, e := range s {
		if a.Contains(e.ID.Key) {
			es = append(es, e)
		}
	}
	slices.SortFunc(es, func(x, y Entry) int { return a.compare(x.ID, y.ID) })
	return es
}

func summarize(es []Entry) Summary {
	s := Summary{Count: len(es)}
	for _, e := range es {
		s.Sum = s.Sum.Add(e.Item().Fingerprint())
	}
	return s
}

// TestIndexAgainstModel makes random changes to an index and to a sorted slice,
// few keys or many, and compares them.
func TestIndexAgainstModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := newRand(seed)
		keys := []uint64{0, 5, 300}[seed%3]
		var x Index
		var model sorted
		for step := range 600 {
			e := randomEntry(rng, keys)
			if len(model) > 0 && rng.IntN(3) == 0 {
				e.ID = model[rng.IntN(len(model))].ID
			}
			i, held := model.find(e.ID)
			// Grow at first, then shrink.
			if rng.IntN(600) > step {
				old, replaced := x.Put(e)
				if replaced != held || held && old != model[i] {
					t.Fatalf("seed %d, step %d: Put returned %v, %t", seed, step, old, replaced)
				}
				if held {
					model[i] = e
				} else {
					model = slices.Insert(model, i, e)
				}
			} else {
				if got := x.Delete(e.ID); got != held {
					t.Fatalf("seed %d, step %d: Delete: got %t", seed, step, got)
				}
				if held {
					model = slices.Delete(model, i, i+1)
				}
			}
			if got, ok := x.Get(e.ID); ok != slices.Contains(model, got) {
				t.Fatalf("seed %d, step %d: Get: got %v, %t", seed, step, got, ok)
			}
			checkBalance(t, &x)
			if step%20 == 0 {
				checkIndex(t, rng, &x, model, keys)
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

// checkBalance checks what every node of the tree says.
func checkBalance(t *testing.T, x *Index) {
	t.Helper()
	var walk func(i nodeRef) (count uint32, sum ring.ID, soonest int64)
	walk = func(i nodeRef) (uint32, ring.ID, int64) {
		if i == 0 {
			return 0, ring.ID{}, math.MaxInt64
		}
		n := x.node(i)
		lc, ls, le := walk(n.left)
		rc, rs, re := walk(n.right)
		if max(lc, rc)+1 > balanceRatio*(min(lc, rc)+1) {
			t.Errorf("sides of %d and %d records", lc, rc)
		}
		if n.count != lc+rc+1 || n.sum != ls.Add(rs).Add(n.print) || n.soonest != min(le, re, n.Expires) {
			t.Errorf("a node tells %d, %v, %d of its subtree", n.count, n.sum, n.soonest)
		}
		return n.count, n.sum, n.soonest
	}
	walk(x.root)
}

func checkIndex(t *testing.T, rng *rand.Rand, x *Index, model sorted, keys uint64) {
	t.Helper()
	whole := ring.Random(rng)
	arcs := []Arc{
		WholeRing, {First: whole, Last: prior(whole)},
		{First: randomEntry(rng, keys).ID.Key, Last: randomEntry(rng, keys).ID.Key},
		{First: ring.Random(rng), Last: ring.Random(rng)},
		{First: ring.ID{}, Last: ring.ID{}}, {First: WholeRing.Last, Last: ring.ID{}},
	}
	for _, a := range arcs {
		want := model.in(a)
		var got []Entry
		x.Ascend(a, func(e Entry) bool { got = append(got, e); return true })
		if diff := cmp.Diff(want, got, sameID); diff != "" {
			t.Errorf("Ascend %v (-want +got):\n%s", a, diff)
		}
		if got := x.Summary(a); got != summarize(want) {
			t.Errorf("Summary %v: got %v, want %v", a, got, summarize(want))
		}
		first, ok := x.First(a)
		if ok != (len(want) > 0) || ok && first != want[0] {
			t.Errorf("First %v: got %v, %t", a, first, ok)
		}
		checkHead(t, x, a, want, 1+rng.IntN(20))
		checkSplit(t, x, a, want, 1+rng.IntN(20))
	}
	ms := rng.Int64N(1000)
	want := slices.DeleteFunc(slices.Clone(model), func(e Entry) bool { return e.Expires > ms })
	var got sorted
	x.Expired(ms, func(e Entry) bool { got = append(got, e); return len(got) < 5 })
	if want = want[:min(5, len(want))]; !slices.Equal(got, want) {
		t.Errorf("Expired %d: got %v, want %v", ms, got, want)
	}
	if got := x.Len(); got != len(model) {
		t.Errorf("got %d records, want %d", got, len(model))
	}
}

func checkHead(t *testing.T, x *Index, a Arc, want []Entry, n int) {
	t.Helper()
	head := x.Head(a, n)
	got := x.Summary(head).Count
	switch {
	case len(want) <= n && head != a:
		t.Errorf("the first %d of %d in %v are in %v", n, len(want), a, head)
	case len(want) > n && (head.First != a.First || head.Last != want[n-1].ID.Key || got < n):
		t.Errorf("the first %d of %d in %v are in %v with %d", n, len(want), a, head, got)
	}
}

func checkSplit(t *testing.T, x *Index, a Arc, want []Entry, parts int) {
	t.Helper()
	got := x.Split(a, parts)
	if len(got) > parts || len(got) < 2 && parts > 1 && len(want) > 1 && a.First != a.Last {
		t.Errorf("%d records split into %d arcs, want %d", len(want), len(got), parts)
	}
	next, keys := a.First, 0
	for i, p := range got {
		if p.First != next || i == len(got)-1 && p.Last != a.Last {
			t.Errorf("%v split into %v", a, got)
		}
		next = after(p.Last)
		count := x.Summary(p).Count
		keys += count
		if most := 1 + 3*len(want)/parts; len(got) > 1 && count > most && p.First != p.Last && !oneKey(x, p) {
			t.Errorf("%d of %d records in one of %d parts", count, len(want), parts)
		}
	}
	if keys != len(want) {
		t.Errorf("the parts of %d records have %d", len(want), keys)
	}
}

// oneKey reports whether most records of an arc have the same key.
func oneKey(x *Index, a Arc) bool {
	counts := make(map[ring.ID]int)
	x.Ascend(a, func(e Entry) bool { counts[e.ID.Key]++; return true })
	for _, n := range counts { // order does not matter: any will do
		if 3*n > x.Summary(a).Count {
			return true
		}
	}
	return false
}

func TestIndexOfOne(t *testing.T) {
	var x Index
	if got := x.Split(WholeRing, 4); !slices.Equal(got, []Arc{WholeRing}) {
		t.Errorf("an empty index is split into %v", got)
	}
	if x.Delete(ID{}) || x.Len() != 0 {
		t.Error("something was deleted from an empty index")
	}
	for range 3 { // a node that was released is used again
		x.Put(Entry{Expires: 1})
		x.Delete(ID{})
	}
	if x.used != 1 {
		t.Errorf("%d nodes were made, want 1", x.used)
	}
	if got := unsafe.Sizeof(indexNode{}); got > 128 {
		t.Errorf("a record takes %d bytes, want at most 128", got)
	}
}

// TestIndexDepth fills an index in ascending order, which a tree without balance
// would not survive.
func TestIndexDepth(t *testing.T) {
	var x Index
	for i := range uint64(1 << 16) {
		x.Put(Entry{ID: ID{Key: ring.FromUint64s(0, i)}})
	}
	var depth func(i nodeRef) int
	depth = func(i nodeRef) int {
		if i == 0 {
			return 0
		}
		return 1 + max(depth(x.node(i).left), depth(x.node(i).right))
	}
	if got := depth(x.root); got > 39 {
		t.Errorf("2^16 records are %d deep, want at most 39", got)
	}
}

func filled(n int) (*Index, []Entry) {
	rng, x := newRand(1), &Index{}
	es := make([]Entry, n)
	for i := range es {
		es[i] = randomEntry(rng, 0)
		x.Put(es[i])
	}
	return x, es
}

func BenchmarkIndexPut(b *testing.B) {
	const n = 100_000
	b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
		x, es := filled(n)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			e := es[i%n]
			x.Delete(e.ID)
			x.Put(e)
		}
	})
}

func BenchmarkIndexSummary(b *testing.B) {
	const n = 100_000
	b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
		x, es := filled(n)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			x.Summary(Arc{First: es[i%n].ID.Key, Last: es[(i+1)%n].ID.Key})
		}
	})
}
