package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/secondbit/pastry/ring"
)

// Providers returns the records of who provides a content, those that expire
// last first, after passing over as many as offset says, and how many there are
// in all. A limit of 0 is none. Those that a write removes meanwhile are missing.
func (s *Store) Providers(ctx context.Context, now time.Time, mh multihash.Multihash, offset, limit int) (rs []*Record, total int, err error) {
	s.mu.RLock()
	found := s.providersOf(ring.FromMultihash(mh))
	s.mu.RUnlock()
	found = slices.DeleteFunc(found, func(e Entry) bool { return expired(e.Expires, now) })
	slices.SortFunc(found, compareExpiry)
	total = len(found)
	found = found[min(max(0, offset), total):]
	if limit > 0 && limit < len(found) {
		found = found[:limit]
	}
	rs, err = s.readAll(ctx, found)
	return rs, total, err
}

// Value returns the value of a key, nil if there is none that is still valid.
func (s *Store) Value(ctx context.Context, now time.Time, key string) (*Record, error) {
	r, err := s.one(ctx, now, NewID(TypeValue, []byte(key), ""))
	if r == nil || validate(s.validator, r.Name, r.Data) != nil {
		return nil, err
	}
	return r, nil
}

// Peer returns the record that says where a peer is, nil if there is none.
func (s *Store) Peer(ctx context.Context, now time.Time, p peer.ID) (*Record, error) {
	return s.one(ctx, now, NewID(TypePeer, []byte(p), ""))
}

// Fetch returns those of the records that are held, in the order of ids. Values
// are not validated again.
func (s *Store) Fetch(ctx context.Context, now time.Time, ids []ID) ([]*Record, error) {
	found := make([]Entry, 0, len(ids))
	s.mu.RLock()
	for _, id := range ids {
		if e, ok := s.index.Get(id); ok && !expired(e.Expires, now) {
			found = append(found, e)
		}
	}
	s.mu.RUnlock()
	return s.readAll(ctx, found)
}

// Addresses returns where peers are, as far as that is held: beside their
// provider records, or in a peer record of their own; the newer one of both.
func (s *Store) Addresses(ctx context.Context, ps []peer.ID) ([]*Addresses, error) {
	if err := s.closed(); err != nil {
		return nil, err
	}
	out := make([]*Addresses, 0, len(ps))
	for _, p := range ps {
		a, err := s.addresses(ctx, p)
		if err != nil {
			return nil, err
		}
		if a != nil {
			out = append(out, a)
		}
	}
	return out, nil
}

func (s *Store) addresses(ctx context.Context, p peer.ID) (*Addresses, error) {
	id := NewID(TypePeer, []byte(p), "")
	s.mu.RLock()
	o := s.owners.of(p)
	own, ok := s.index.Get(id)
	s.mu.RUnlock()
	if ok && (o.size == 0 || own.Version > o.seq) {
		rs, err := s.readAll(ctx, []Entry{own})
		if err != nil {
			return nil, err
		}
		if len(rs) > 0 {
			return readAddresses(rs[0].Data)
		}
	}
	if o.size == 0 {
		return nil, nil
	}
	value, err := s.row(ctx, addressKey(p))
	if err != nil {
		return nil, ignore(err, errUnreadable)
	}
	a, err := readAddressRow(p, value)
	return a, ignore(err, errUnreadable)
}

// one returns a record, nil if it is not held.
func (s *Store) one(ctx context.Context, now time.Time, id ID) (*Record, error) {
	rs, err := s.Fetch(ctx, now, []ID{id})
	if len(rs) == 0 {
		return nil, err
	}
	return rs[0], err
}

// readAll returns the records of entries. Those that the datastore has lost or
// damaged are left out and forgotten, so that other members' copies can take
// their place.
func (s *Store) readAll(ctx context.Context, entries []Entry) ([]*Record, error) {
	if err := s.closed(); err != nil {
		return nil, err
	}
	rs := make([]*Record, 0, len(entries))
	for _, e := range entries {
		r, err := s.read(ctx, e.ID)
		switch {
		case err == nil:
			rs = append(rs, r)
		case errors.Is(err, errUnreadable):
			s.forget(e)
		default:
			return nil, err
		}
	}
	return rs, nil
}

// forget drops a record that could not be read, unless a write has removed or
// replaced it meanwhile.
func (s *Store) forget(e Entry) {
	s.mu.RLock()
	now, ok := s.index.Get(e.ID)
	s.mu.RUnlock()
	if ok && now == e {
		s.lost(e.Item())
	}
}

// read returns the record of an ID from the datastore. The error wraps
// errUnreadable if its row is missing or damaged.
func (s *Store) read(ctx context.Context, id ID) (*Record, error) {
	value, err := s.row(ctx, rowKey(id))
	if err != nil {
		return nil, err
	}
	return readRow(id, value)
}

// row returns a row. The error wraps errUnreadable if it is missing.
func (s *Store) row(ctx context.Context, key ds.Key) ([]byte, error) {
	value, err := s.db.Get(ctx, key)
	switch {
	case errors.Is(err, ds.ErrNotFound):
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	case err != nil:
		return nil, fmt.Errorf("records: read the datastore: %w", err)
	}
	return value, nil
}

func (s *Store) closed() error {
	if s.queue.isClosed() {
		return ErrClosed
	}
	return nil
}

// ignore returns err unless it is what may happen.
func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}
