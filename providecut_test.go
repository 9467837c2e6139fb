package pastry

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/ring"
)

// itemsAt returns items with multihashes of 34 bytes at some keys.
func itemsAt(keys ...uint64) []provideItem {
	var items []provideItem
	for _, k := range keys {
		items = append(items, provideItem{key: ring.FromUint64s(0, k), mh: make(multihash.Multihash, 34)})
	}
	return items
}

func TestProvideCut(t *testing.T) {
	many := make([]uint64, 1000)
	for i := range many {
		many[i] = uint64(i)
	}
	for _, tt := range []struct {
		name  string
		items []provideItem
		known bool
		reach uint64
		size  int
		want  int
	}{
		{"one", itemsAt(5), false, 0, 1000, 1},
		{"a first message", itemsAt(many...), false, 0, 1 << 20, provideFirst},
		{"few", itemsAt(1, 2, 3), false, 0, 1000, 3},
		{"no room for all", itemsAt(many...), true, 5000, 100 * 256, 100},
		{"room for none", itemsAt(many...), true, 5000, 1, 1},
		{"the root sees some", itemsAt(10, 20, 30, 40, 50), true, 30, 10000, 4},
		{"the root sees one", itemsAt(10, 20, 30), true, 0, 10000, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &provideWalk{each: 256 - 34, known: tt.known, reach: ring.FromUint64s(0, tt.reach)}
			if got := w.cut(tt.items, tt.size); got != tt.want {
				t.Errorf("got %d items, want %d", got, tt.want)
			}
		})
	}
}

// The reach is what roots saw of late; what makes no sense changes nothing.
func TestProvideLearn(t *testing.T) {
	at := func(k uint64) ring.ID { return ring.FromUint64s(0, k) }
	last := func(k ring.ID) []byte { b := k.Bytes(); return b[:] }
	w := &provideWalk{}
	w.learn(at(5), []byte{1})
	if w.known {
		t.Error("learned from a malformed key")
	}
	var got []ring.ID
	for _, l := range [][]byte{last(at(105)), last(at(305)), nil, last(at(5).Sub(ring.FromUint64s(0, 1)))} {
		w.learn(at(5), l)
		got = append(got, w.reach)
	}
	want := []ring.ID{at(100), at(200), at(200), ring.FromUint64s(1<<63, 99)}
	if diff := cmp.Diff(got, want, cmp.Comparer(func(a, b ring.ID) bool { return a == b })); diff != "" {
		t.Errorf("reach (-got +want):\n%s", diff)
	}
}

// What is sent again stays before the rest, and in order.
func TestRejoin(t *testing.T) {
	items := itemsAt(1, 2, 3, 4, 5, 6)
	again := []provideItem{items[1], items[3]}
	var got []uint64
	for _, i := range rejoin(items, 4, again) {
		_, lo := i.key.Uint64s()
		got = append(got, lo)
	}
	if want := []uint64{2, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
