package pastry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ds "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	leveldb "github.com/ipfs/go-ds-leveldb"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
	"github.com/secondbit/pastry/ring"
)

func provideItems(t testing.TB, count int) []provideItem {
	t.Helper()
	var mhs []multihash.Multihash
	for i := range count {
		mhs = append(mhs, ContentCID(t, fmt.Sprint(i)).Hash())
	}
	items, err := newProvideItems(append(mhs, mhs...))
	if err != nil || len(items) != count {
		t.Fatalf("got %d items, %v, want %d", len(items), err, count)
	}
	return items
}

func openSet(t testing.TB, store ds.Batching) *provideSet {
	t.Helper()
	s, err := openProvideSet(t.Context(), store, ds.NewKey("/test/provided"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stores(t *testing.T) map[string]ds.Batching {
	disk, err := leveldb.NewDatastore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]ds.Batching{"map": dssync.MutexWrap(ds.NewMapDatastore()), "leveldb": disk}
}

// setModel is what a provideSet should hold: whether each content was announced.
type setModel map[string]bool

func (m setModel) check(t *testing.T, s *provideSet, arc records.Arc) {
	t.Helper()
	var got, want []string
	err := s.inArc(t.Context(), arc, func(items []provideItem) error {
		for _, i := range items {
			got = append(got, string(i.mh))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fresh := 0
	for mh, announced := range m {
		if arc.Contains(ring.FromKey([]byte(mh))) {
			want = append(want, mh)
		}
		if !announced {
			fresh++
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("contents in %v (-got +want):\n%s", arc, diff)
	}
	unannounced, err := s.unannounced(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(unannounced) != fresh || int(s.fresh.Load()) != fresh || int(s.keys.Load()) != len(m) {
		t.Errorf("got %d unannounced, counted %d of %d, want %d of %d", len(unannounced), s.fresh.Load(), s.keys.Load(), fresh, len(m))
	}
}

// The set holds what a map would, also after it was opened again.
func TestProvideSet(t *testing.T) {
	const seed = 1
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, seed))
			all := provideItems(t, 200)
			s, model := openSet(t, store), setModel{}
			for range 60 {
				rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				some := all[:rng.IntN(40)]
				var err error
				switch rng.IntN(5) {
				case 0, 1:
					force := rng.IntN(2) == 0
					err = s.add(t.Context(), force, some)
					for _, i := range some {
						if _, known := model[string(i.mh)]; !known || force {
							model[string(i.mh)] = false
						}
					}
				case 2:
					err = s.announced(t.Context(), some)
					for _, i := range some {
						if _, known := model[string(i.mh)]; known {
							model[string(i.mh)] = true
						}
					}
				case 3:
					err = s.remove(t.Context(), some)
					for _, i := range some {
						delete(model, string(i.mh))
					}
				case 4:
					s = openSet(t, store)
				}
				if err != nil {
					t.Fatal(err)
				}
				model.check(t, s, records.Arc{First: ring.Random(rng), Last: ring.Random(rng)})
			}
			model.check(t, s, records.WholeRing)
		})
	}
}

// Arcs within one 256th of the ring, around it, and over the top.
func TestProvideSetArcs(t *testing.T) {
	s, model := openSet(t, dssync.MutexWrap(ds.NewMapDatastore())), setModel{}
	items := provideItems(t, 500)
	if err := s.add(t.Context(), false, items); err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		model[string(i.mh)] = false
	}
	low, high := ring.FromUint64s(0x4040<<48, 0), ring.FromUint64s(0x4080<<48, 0)
	for _, arc := range []records.Arc{{First: low, Last: high}, {First: high, Last: low}, {First: low, Last: low},
		{First: ring.FromUint64s(0xff<<56, 0), Last: low}, {First: items[7].key, Last: items[7].key}} {
		model.check(t, s, arc)
	}
}

func TestProvideSetSwept(t *testing.T) {
	store := dssync.MutexWrap(ds.NewMapDatastore())
	s := openSet(t, store)
	if got, err := s.swept(t.Context()); err != nil || !got.IsZero() {
		t.Errorf("got %v, %v, want the zero time", got, err)
	}
	want := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	if err := s.setSwept(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got, err := openSet(t, store).swept(t.Context()); err != nil || !got.Equal(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// A write that is given up waits for nobody.
func TestProvideSetCancelled(t *testing.T) {
	s := openSet(t, dssync.MutexWrap(ds.NewMapDatastore()))
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.add(ctx, false, provideItems(t, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	unlock()
	if err := s.add(t.Context(), false, provideItems(t, 1)); err != nil {
		t.Error(err)
	}
}
