package records

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	ds "github.com/ipfs/go-datastore"
	record "github.com/libp2p/go-libp2p-record"

	"github.com/secondbit/pastry/ring"
)

// ErrClosed is wrapped by the errors of a closed store.
var ErrClosed = errors.New("records: the store is closed")

// StoreConfig is what a store needs.
type StoreConfig struct {
	// Datastore is the store's own. It need not be ordered, nor its batches
	// atomic, but it must be safe for concurrent use. The store does not close it.
	Datastore ds.Batching
	// Validator selects the better of two values, and looks at values again when
	// they are read. Without it no value replaces another, nor is one returned.
	Validator record.Validator
	Limits    Limits
}

// Store keeps records in a datastore, and an index of them in memory. What is
// indexed is on the datastore; what Put has acknowledged survives a crash at any
// moment. It is safe for concurrent use.
//
// One goroutine writes. What has come in while it was busy goes into its next
// batch, so that concurrent calls share the cost of reaching the disk.
type Store struct {
	db        ds.Batching
	validator record.Validator
	limits    Limits
	queue     queue
	ended     chan struct{} // closed when the writer has ended

	// suspects, which only the writer uses, are records in the index that may be
	// gone from the datastore: it failed to remove them.
	suspects map[ID]bool

	// mu guards what follows. The writer alone changes it, with mu held, and so
	// reads it without.
	mu     sync.RWMutex
	index  Index
	owners owners
	stats  Stats
}

// OpenStore returns a store of what the datastore holds, which it reads as a
// whole. Records that have expired by now, cannot be read, or lack the addresses
// they need are removed; the last two are counted as unreadable. Limits are for
// what comes in: they remove nothing.
func OpenStore(ctx context.Context, cfg StoreConfig, now time.Time) (*Store, error) {
	s := &Store{
		db: cfg.Datastore, validator: cfg.Validator, limits: cfg.Limits,
		queue: queue{wake: make(chan struct{}, 1)}, ended: make(chan struct{}),
		suspects: make(map[ID]bool), owners: newOwners(),
	}
	l := loader{s: s, now: now}
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("records: open the store: %w", err)
	}
	go s.write()
	return s, nil
}

// Close waits until what has been accepted is written. Later calls fail.
func (s *Store) Close() error {
	s.queue.close()
	<-s.ended
	return nil
}

// View calls f with the index, which f must neither change nor keep. Writes wait
// until f returns.
func (s *Store) View(f func(x *Index)) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	f(&s.index)
}

// Stats returns what the store holds and has done.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.stats
}

// providersOf returns the entries of the provider records of a key, in the order
// of their IDs. The caller holds mu or is the writer.
func (s *Store) providersOf(key ring.ID) []Entry {
	var found []Entry
	s.index.Ascend(Arc{key, key}, func(e Entry) bool {
		if tagType(e.Tag) == TypeProvider {
			found = append(found, e)
		}
		return true
	})
	return found
}

// insert indexes a record. The caller holds mu.
func (s *Store) insert(e Entry, r *Record) {
	slot := uint32(0)
	if r.Peer != "" {
		slot = s.owners.slot(r.Peer)
	}
	e.Tag = tag(slot, r.Type)
	old, replaced := s.index.Put(e)
	s.stats.Bytes += int64(e.Size) - int64(old.Size)
	if !replaced {
		s.owners.slots[slot].records++
		*s.stats.held(r.Type)++
	}
}

// delete takes a record out of the index, and forgets a peer of which it was the
// last one. The caller holds mu.
func (s *Store) delete(id ID) {
	e, ok := s.index.Get(id)
	if !ok {
		return
	}
	s.index.Delete(id)
	s.stats.Bytes -= int64(e.Size)
	*s.stats.held(tagType(e.Tag))--
	slot := tagSlot(e.Tag)
	o := &s.owners.slots[slot]
	if o.records--; o.records == 0 && slot != 0 {
		s.setAddresses(o, 0, 0)
		s.owners.release(slot)
	}
}

// setAddresses notes which addresses of a peer are held; size is that of their
// row, 0 if there is none. The caller holds mu.
func (s *Store) setAddresses(o *owner, seq uint64, size int64) {
	s.stats.Bytes += size - o.size
	if o.size > 0 {
		s.stats.Addressed--
	}
	if size > 0 {
		s.stats.Addressed++
	}
	o.seq, o.size = seq, size
}
