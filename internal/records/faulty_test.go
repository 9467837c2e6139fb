package records

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	ds "github.com/ipfs/go-datastore"
)

// buffered is a datastore that writes nothing before it is synced.
type buffered struct {
	ds.Batching
	mu      sync.Mutex // guards waiting
	waiting []ds.Batch
}

func (b *buffered) Batch(ctx context.Context) (ds.Batch, error) {
	batch, err := b.Batching.Batch(ctx)
	return &bufferedBatch{batch, b}, err
}

func (b *buffered) Sync(ctx context.Context, _ ds.Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, batch := range b.waiting {
		if err := batch.Commit(ctx); err != nil {
			return err
		}
	}
	b.waiting = nil
	return nil
}

type bufferedBatch struct {
	ds.Batch
	b *buffered
}

func (b *bufferedBatch) Commit(context.Context) error {
	b.b.mu.Lock()
	defer b.b.mu.Unlock()
	b.b.waiting = append(b.b.waiting, b.Batch)
	return nil
}

// What is acknowledged has been synced.
func TestPutSyncs(t *testing.T) {
	a := newParty(1)
	db := &buffered{Batching: memory()}
	s := openStore(t, db, Limits{})
	mustPut(t, s, []party{a}, a.provides("x", 1, 10))
	if got := len(rowsOf(t, db)); got != 2 {
		t.Errorf("got %d rows, want 2", got)
	}
	if err := s.Drop(context.Background(), []Item{a.provides("x", 1, 10).item()}); err != nil {
		t.Fatal(err)
	}
	if got := len(rowsOf(t, db)); got != 0 {
		t.Errorf("got %d rows left", got)
	}
}

// When a write fails, what was refused for the sake of it was not refused for
// good; what was held before is held.
func TestFailedWrite(t *testing.T) {
	a := newParty(1)
	ctx := context.Background()
	db := &faulty{Batching: memory(), rng: rand.New(rand.NewPCG(1, 1))}
	s := openStore(t, db, Limits{})
	before := a.provides("before", 1, 10)
	mustPut(t, s, []party{a}, before)
	db.odds.Store(1)
	errs := s.Put(ctx, start, Batch{Records: []*Record{a.provides("x", 2, 10), a.provides("x", 1, 10), before}})
	for i, want := range []error{errDisk, errDisk, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("record %d: got %v, want %v", i, errs[i], want)
		}
	}
	if err := s.Drop(ctx, []Item{before.item()}); !errors.Is(err, errDisk) {
		t.Errorf("got %v from Drop, want %v", err, errDisk)
	}
	if got := contentsOf(t, s); len(got) != 1 || got[before.ID()] == nil {
		t.Errorf("got %d records held", len(got))
	}
	if got := s.Stats(); got.Failures != 2 || got.Stored != 1 {
		t.Errorf("got %d failures and %d stored, want 2 and 1", got.Failures, got.Stored)
	}
}

var errDisk = errors.New("disk trouble")

// faulty is a datastore that fails now and then. Its batches are not atomic: one
// that fails may have been written in part.
type faulty struct {
	ds.Batching
	rng  *rand.Rand   // of the store's writer
	odds atomic.Int64 // that an operation fails, one in so many; 0 never
}

func (f *faulty) trouble() error {
	if odds := f.odds.Load(); odds > 0 && f.rng.Int64N(odds) == 0 {
		return errDisk
	}
	return nil
}

func (f *faulty) Sync(context.Context, ds.Key) error { return f.trouble() }

func (f *faulty) Batch(context.Context) (ds.Batch, error) { return &faultyBatch{f: f}, f.trouble() }

type faultyBatch struct {
	f   *faulty
	ops []func(context.Context) error
}

func (b *faultyBatch) Put(_ context.Context, key ds.Key, value []byte) error {
	b.ops = append(b.ops, func(ctx context.Context) error { return b.f.Put(ctx, key, value) })
	return nil
}

func (b *faultyBatch) Delete(_ context.Context, key ds.Key) error {
	b.ops = append(b.ops, func(ctx context.Context) error { return b.f.Delete(ctx, key) })
	return nil
}

func (b *faultyBatch) Commit(ctx context.Context) error {
	b.f.rng.Shuffle(len(b.ops), func(i, j int) { b.ops[i], b.ops[j] = b.ops[j], b.ops[i] })
	for _, op := range b.ops {
		if err := errors.Join(b.f.trouble(), op(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// With a datastore that fails at any write, whatever was acknowledged is there
// in that version or a later one that was put, now and after a restart, unless
// it was to be dropped; and nothing is there that was never put.
func TestFaultyDatastore(t *testing.T) {
	var ps []party
	for i := range 4 {
		ps = append(ps, newParty(i))
	}
	var wheres []*Addresses
	for _, p := range ps {
		wheres = append(wheres, p.is(0, 1))
	}
	for seed := range uint64(30) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			db := &faulty{Batching: memory(), rng: rand.New(rand.NewPCG(seed, 1))}
			s := openStore(t, db, Limits{})
			acked, tried := make(map[ID]uint64), make(map[Item]bool)
			maybe := make(map[ID]bool) // a Drop failed
			check := func(held map[ID]*Record) {
				t.Helper()
				for id, version := range acked {
					if r := held[id]; !maybe[id] && (r == nil || r.Version < version) {
						t.Errorf("acknowledged %d of %s, held is %t", version-seqAt(start), id.Key, r != nil)
					}
				}
				for _, r := range held {
					if !tried[r.item()] {
						t.Errorf("%d of %x was never put", r.Version, r.ID().Key)
					}
				}
			}
			for step := range 60 {
				db.odds.Store([]int64{0, 12, 2}[step%3])
				var b Batch
				for range 1 + rng.IntN(6) {
					p := ps[rng.IntN(len(ps))]
					b.Records = append(b.Records, p.provides(fmt.Sprint(rng.IntN(5)), step/6*6+rng.IntN(2), 10))
					tried[b.Records[len(b.Records)-1].item()] = true
				}
				b.Peers = wheres
				for i, err := range s.Put(context.Background(), start, b) {
					id := b.Records[i].ID()
					switch {
					case err == nil:
						if maybe[id] {
							delete(maybe, id)
							delete(acked, id)
						}
						acked[id] = max(acked[id], b.Records[i].Version)
					case !errors.Is(err, errDisk) && !errors.Is(err, ErrStale):
						t.Fatal(err)
					}
				}
				if rng.IntN(3) == 0 {
					for id, r := range contentsWithout(t, s) {
						if rng.IntN(4) == 0 {
							if err := s.Drop(context.Background(), []Item{r.item()}); err != nil {
								maybe[id] = true
							} else {
								delete(acked, id)
							}
						}
					}
				}
				check(contentsWithout(t, s))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			db.odds.Store(0)
			s = openStore(t, db, Limits{})
			check(contentsWithout(t, s))
		})
	}
}

// contentsWithout lists what a store returns, in the order of its IDs.
func contentsWithout(t testing.TB, s *Store) map[ID]*Record {
	t.Helper()
	var ids []ID
	s.View(func(x *Index) {
		x.Ascend(WholeRing, func(e Entry) bool { ids = append(ids, e.ID); return true })
	})
	rs, err := s.Fetch(context.Background(), start, ids)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[ID]*Record)
	for _, r := range slices.Backward(rs) {
		out[r.ID()] = r
	}
	return out
}
