package pastry

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"sync/atomic"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/internal/records"
)

// provideSet is the set of contents that a node goes on providing. It is kept in a
// datastore, and in memory only as far as it is being read.
//
// A content has the key /k/<2>/<30>/<multihash>, all hexadecimal, where <2> and
// <30> are the digits of its ring ID: so a 256th of the ring is one query. While it
// has not been announced yet, it has the same key under /n too. /swept holds the
// time up to which all has been announced again, in nanoseconds since 1970, 8 bytes.
type provideSet struct {
	store ds.Batching
	edit  chan struct{} // a token for whoever adds or removes

	keys, fresh atomic.Int64 // contents, and those of them that were not announced yet
}

var (
	providedKey = ds.NewKey("k")
	freshKey    = ds.NewKey("n")
	sweptKey    = ds.NewKey("swept")
)

const (
	setCommit = 1 << 12 // contents in one write
	setRead   = 1 << 16 // contents in memory at once, and at most a 256th of all
)

// openProvideSet opens the set under a prefix, and counts it.
func openProvideSet(ctx context.Context, store ds.Batching, prefix ds.Key) (*provideSet, error) {
	s := &provideSet{store: namespace.Wrap(store, prefix), edit: make(chan struct{}, 1)}
	for _, c := range []struct {
		under ds.Key
		to    *atomic.Int64
	}{{providedKey, &s.keys}, {freshKey, &s.fresh}} {
		err := s.read(ctx, query.Query{Prefix: c.under.String()}, func(provideItem) error {
			c.to.Add(1)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("pastry: open the set of provided contents in the datastore: %w", err)
		}
	}
	return s, nil
}

// name returns the key of a content.
func (i provideItem) name(under ds.Key) ds.Key {
	id := i.key.String()
	return ds.RawKey(path.Join(under.String(), id[:2], id[2:], hex.EncodeToString(i.mh)))
}

// parseProvideItem returns the content with a key. It reports false if there is none.
func parseProvideItem(name string) (provideItem, bool) {
	mh, err := hex.DecodeString(path.Base(name))
	if err != nil || records.CheckMultihash(mh) != nil {
		return provideItem{}, false
	}
	return newProvideItem(multihash.Multihash(mh)), true
}

// read calls f for what a query finds.
func (s *provideSet) read(ctx context.Context, q query.Query, f func(provideItem) error) (err error) {
	q.KeysOnly = true
	found, err := s.store.Query(ctx, q)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for r, ok := found.NextSync(); ok; r, ok = found.NextSync() {
		if r.Error != nil {
			return r.Error
		}
		if item, ok := parseProvideItem(r.Key); ok {
			if err := f(item); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// lock waits until nobody else edits the set. Every edit is a look at what there
// is and a write that follows from it.
func (s *provideSet) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.edit <- struct{}{}:
		return func() { <-s.edit }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// add puts contents into the set, on disk when it returns. Those that were not in
// it are to be announced, all if force is set.
func (s *provideSet) add(ctx context.Context, force bool, items []provideItem) error {
	return s.change(ctx, items, func(item provideItem, e *setEdit) error {
		known, err := s.store.Has(ctx, item.name(providedKey))
		if err != nil || known && !force {
			return err
		}
		if err := e.put(ctx, item, freshKey, &s.fresh); err != nil || known {
			return err
		}
		return e.put(ctx, item, providedKey, &s.keys)
	})
}

// remove takes contents out of the set.
func (s *provideSet) remove(ctx context.Context, items []provideItem) error {
	return s.change(ctx, items, func(item provideItem, e *setEdit) error {
		return errors.Join(e.delete(ctx, item, freshKey, &s.fresh), e.delete(ctx, item, providedKey, &s.keys))
	})
}

// announced notes that contents have been announced.
func (s *provideSet) announced(ctx context.Context, items []provideItem) error {
	if s.fresh.Load() == 0 {
		return nil
	}
	return s.change(ctx, items, func(item provideItem, e *setEdit) error {
		return e.delete(ctx, item, freshKey, &s.fresh)
	})
}

// setEdit is one write to the set, and how it changes the counts.
type setEdit struct {
	s     *provideSet
	batch ds.Batch
	by    map[*atomic.Int64]int64
}

func (e *setEdit) put(ctx context.Context, item provideItem, under ds.Key, count *atomic.Int64) error {
	known, err := e.s.store.Has(ctx, item.name(under))
	if err != nil || known {
		return err
	}
	e.by[count]++
	return e.batch.Put(ctx, item.name(under), []byte{})
}

func (e *setEdit) delete(ctx context.Context, item provideItem, under ds.Key, count *atomic.Int64) error {
	known, err := e.s.store.Has(ctx, item.name(under))
	if err != nil || !known {
		return err
	}
	e.by[count]--
	return e.batch.Delete(ctx, item.name(under))
}

// change makes an edit for each of the items, each of which comes once.
func (s *provideSet) change(ctx context.Context, items []provideItem, edit func(provideItem, *setEdit) error) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	for len(items) > 0 {
		some := items[:min(len(items), setCommit)]
		items = items[len(some):]
		batch, err := s.store.Batch(ctx)
		if err != nil {
			return err
		}
		e := &setEdit{s: s, batch: batch, by: make(map[*atomic.Int64]int64)}
		for _, item := range some {
			if err := edit(item, e); err != nil {
				return err
			}
		}
		if err := batch.Commit(ctx); err != nil {
			return err
		}
		for count, by := range e.by {
			count.Add(by)
		}
	}
	return s.store.Sync(ctx, ds.NewKey("/"))
}

// unannounced returns contents that have not been announced yet, some if there are
// many.
func (s *provideSet) unannounced(ctx context.Context) (items []provideItem, err error) {
	err = s.read(ctx, query.Query{Prefix: freshKey.String(), Limit: setRead}, func(item provideItem) error {
		items = append(items, item)
		return nil
	})
	return items, err
}

// inArc calls f with the contents in an arc, in several parts if they are many.
func (s *provideSet) inArc(ctx context.Context, arc records.Arc, f func([]provideItem) error) error {
	var items []provideItem
	first, last := arc.First.Bytes()[0], arc.Last.Bytes()[0]
	count := int(last-first) + 1
	if first == last && arc.Last.Less(arc.First) {
		count = 256 // all the way round
	}
	for i := range count {
		bucket := providedKey.ChildString(hex.EncodeToString([]byte{first + byte(i)}))
		err := s.read(ctx, query.Query{Prefix: bucket.String()}, func(item provideItem) error {
			if arc.Contains(item.key) {
				items = append(items, item)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(items) >= setRead || i == count-1 && len(items) > 0 {
			if err := f(items); err != nil {
				return err
			}
			items = nil
		}
	}
	return nil
}

// swept returns the time up to which all has been announced again, the zero time
// if that was never.
func (s *provideSet) swept(ctx context.Context) (time.Time, error) {
	b, err := s.store.Get(ctx, sweptKey)
	if errors.Is(err, ds.ErrNotFound) || err == nil && len(b) != 8 {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("pastry: read the datastore: %w", err)
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), nil
}

func (s *provideSet) setSwept(ctx context.Context, t time.Time) error {
	return s.store.Put(ctx, sweptKey, binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())))
}
