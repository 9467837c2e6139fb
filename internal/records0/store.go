package records0

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

// Limits bound a Store. Zero means unbounded.
type Limits struct {
	Keys   int // multihashes
	PerKey int // providers of one multihash, of which the newest stay
	Bytes  int // of all records, each with its overhead
}

// overhead is about what a record takes in memory beside its bytes.
const overhead = 256

// Record is a verified provider record as it is held.
type Record struct {
	Provider
	Sealed     []byte // as the provider signed it
	PeerRecord []byte // the provider's sealed peer record, empty if there is none
}

func (r *Record) size() int {
	return overhead + len(r.Multihash) + len(r.Sealed) + len(r.PeerRecord)
}

// Outcome tells what became of a record.
type Outcome uint8

// The outcomes of Add.
const (
	Added   Outcome = iota // it is new, or replaced an older one
	Stale                  // the same one, or a newer one, is held
	Expired                // it is no longer valid
	Full                   // there is no room for it
)

// Store holds provider records until they expire. It is not safe for concurrent
// use. Its methods take the present time, which should not go back; records are
// shared with the caller and must not be changed.
type Store struct {
	limits  Limits
	keys    map[string][]*entry // newest first, never empty
	due     dueHeap
	bytes   int
	dropped uint64
}

// entry is a record in its place in the heap.
type entry struct {
	Record
	place int
}

// NewStore returns an empty store.
func NewStore(limits Limits) *Store {
	return &Store{limits: limits, keys: make(map[string][]*entry)}
}

// Add takes in a record. Of one provider the record with the largest Seq is
// held; of one multihash as many records as the limits allow, those that expire
// last.
func (s *Store) Add(now time.Time, r Record) Outcome {
	s.Expire(now)
	if !r.Expires.After(now) {
		return Expired
	}
	old := s.find(string(r.Multihash), r.Peer)
	if old != nil {
		if r.Seq <= old.Seq {
			return Stale
		}
		s.remove(old)
	}
	if !s.makeRoom(&r) {
		if old != nil {
			s.insert(old)
		}
		s.dropped++
		return Full
	}
	s.insert(&entry{Record: r})
	return Added
}

// makeRoom reports whether there is room for r, after dropping the oldest
// provider of its multihash if there are too many.
func (s *Store) makeRoom(r *Record) bool {
	held := s.keys[string(r.Multihash)]
	if s.limits.Bytes > 0 && s.bytes+r.size() > s.limits.Bytes {
		return false
	}
	if len(held) == 0 && s.limits.Keys > 0 && len(s.keys) >= s.limits.Keys {
		return false
	}
	if s.limits.PerKey > 0 && len(held) >= s.limits.PerKey {
		oldest := held[len(held)-1]
		if compareAge(r, &oldest.Record) >= 0 {
			return false
		}
		s.remove(oldest)
		s.dropped++
	}
	return true
}

// Get returns up to limit records of mh, or all if limit is 0: the newest, that
// is those that expire last, first.
func (s *Store) Get(now time.Time, mh multihash.Multihash, limit int) []Record {
	s.Expire(now)
	held := s.keys[string(mh)]
	if limit > 0 && len(held) > limit {
		held = held[:limit]
	}
	out := make([]Record, len(held))
	for i, e := range held {
		out[i] = e.Record
	}
	return out
}

// Has reports whether there is a record of mh.
func (s *Store) Has(now time.Time, mh multihash.Multihash) bool {
	s.Expire(now)
	return len(s.keys[string(mh)]) > 0
}

// Expire forgets the records that are no longer valid.
func (s *Store) Expire(now time.Time) {
	for len(s.due) > 0 && !s.due[0].Expires.After(now) {
		s.remove(s.due[0])
	}
}

// Len returns the number of records.
func (s *Store) Len() int { return len(s.due) }

// Dropped returns how many valid records found no room, or lost theirs.
func (s *Store) Dropped() uint64 { return s.dropped }

func (s *Store) find(key string, p peer.ID) *entry {
	for _, e := range s.keys[key] {
		if e.Peer == p {
			return e
		}
	}
	return nil
}

func (s *Store) insert(e *entry) {
	key := string(e.Multihash)
	at, _ := slices.BinarySearchFunc(s.keys[key], e, compareEntries)
	s.keys[key] = slices.Insert(s.keys[key], at, e)
	s.bytes += e.size()
	heap.Push(&s.due, e)
}

func (s *Store) remove(e *entry) {
	key := string(e.Multihash)
	if at, ok := slices.BinarySearchFunc(s.keys[key], e, compareEntries); ok {
		s.keys[key] = slices.Delete(s.keys[key], at, at+1)
	}
	if len(s.keys[key]) == 0 {
		delete(s.keys, key)
	}
	s.bytes -= e.size()
	heap.Remove(&s.due, e.place)
}

// compareAge orders records of one multihash: what expires last comes first.
func compareAge(a, b *Record) int {
	if c := b.Expires.Compare(a.Expires); c != 0 {
		return c
	}
	return cmp.Compare(a.Peer, b.Peer)
}

func compareEntries(a, b *entry) int { return compareAge(&a.Record, &b.Record) }

// dueHeap has the record that expires first in front.
type dueHeap []*entry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].Expires.Before(h[j].Expires) }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

func (h *dueHeap) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
