package records

import (
	"context"
	"fmt"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Batch is records to be stored, with the addresses of the peers that provide.
type Batch struct {
	Records []*Record
	Peers   []*Addresses
}

// Put stores verified records and returns an error for each, nil if it is held:
// now, from before, or in a better copy of the same data. A provider record that
// spills over, see [Limits], is not held and yet no error. Put returns when the
// records are on the datastore and synced. If the datastore fails, or ctx ends,
// the error says so; whether the record is held is then unknown until the write
// ends, and if it failed it is not.
//
// A provider record needs an address of its provider, from b.Peers or from
// before: without, the error is ErrUnaddressed. Newer addresses of peers with
// records held are taken in whatever becomes of the records of b.
func (s *Store) Put(ctx context.Context, now time.Time, b Batch) []error {
	errs := make([]error, len(b.Records))
	rows := make([]*row, len(b.Records))
	for i, r := range b.Records {
		var err error
		if rows[i], err = newRow(r); err != nil {
			setAll(errs, err)
			return errs
		}
	}
	var sent []*request
	for from := 0; from < len(rows) || from == 0 && len(b.Peers) > 0; from += maxGroup {
		some := rows[from:min(from+maxGroup, len(rows))]
		q := &request{now: now, rows: some, errs: make([]error, len(some)), peers: b.Peers, where: newest(b.Peers)}
		if !s.post(q) {
			setAll(errs[from:], ErrClosed)
			break
		}
		sent = append(sent, q)
	}
	for i, q := range sent {
		part := errs[i*maxGroup:][:len(q.rows)]
		if err := q.wait(ctx); err != nil {
			setAll(part, err)
			continue
		}
		copy(part, q.errs)
	}
	return errs
}

// Drop removes those of the records that are still of the version given. The
// error is the datastore's; some may then have been removed.
func (s *Store) Drop(ctx context.Context, items []Item) error {
	_, err := s.remove(ctx, time.Time{}, items, causeDrop)
	return err
}

// Expire removes the records that have expired by now, and the addresses of
// peers that have none left. It returns how many records.
func (s *Store) Expire(ctx context.Context, now time.Time) (int, error) {
	total := 0
	for {
		var due []Item
		s.mu.RLock()
		s.index.Expired(now.UnixMilli(), func(e Entry) bool {
			due = append(due, e.Item())
			return len(due) < maxGroup
		})
		s.mu.RUnlock()
		if len(due) == 0 {
			return total, nil
		}
		n, err := s.remove(ctx, now, due, causeExpiry)
		total += n
		if err != nil {
			return total, err
		}
	}
}

// remove has the writer remove records, a group at a time.
func (s *Store) remove(ctx context.Context, now time.Time, items []Item, why cause) (int, error) {
	total := 0
	for len(items) > 0 {
		n := min(len(items), maxGroup)
		q := &request{now: now, drop: items[:n], cause: why}
		if !s.post(q) {
			return total, ErrClosed
		}
		if err := q.wait(ctx); err != nil {
			return total, err
		}
		if q.err != nil {
			return total, q.err
		}
		total += q.dropped
		items = items[n:]
	}
	return total, nil
}

// lost has the writer forget a record whose row is missing or damaged, without
// waiting for it.
func (s *Store) lost(item Item) {
	s.post(&request{drop: []Item{item}, cause: causeLoss})
}

func (s *Store) post(q *request) bool {
	q.done = make(chan struct{})
	return s.queue.post(q)
}

// wait waits until the writer has dealt with q.
func (q *request) wait(ctx context.Context) error {
	select {
	case <-q.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("records: wait for a write: %w", context.Cause(ctx))
	}
}

// write is the writer. It ends when the queue is closed and empty.
func (s *Store) write() {
	defer close(s.ended)
	for {
		group, ok := s.queue.take()
		if !ok {
			return
		}
		s.commit(group)
		for _, q := range group {
			close(q.done)
		}
	}
}

// commit does what a group of requests ask for: first it stores, then it
// removes, so that a write that fails has removed nothing.
func (s *Store) commit(group []*request) {
	p := newPlan(s)
	for _, q := range group {
		p.add(q)
	}
	err := s.store(p)
	if err != nil {
		p.failPuts(group, err)
	} else {
		err = s.erase(p)
	}
	s.conclude(p, group, err)
}

// store writes and then indexes what a plan puts in. Like erase it serves
// several callers, so none of their contexts counts.
func (s *Store) store(p *plan) error {
	puts := p.puts()
	if len(puts) == 0 {
		return nil
	}
	if err := s.writeBatch(context.Background(), puts, nil); err != nil {
		return err
	}
	s.install(p)
	return nil
}

// erase removes what a plan removes. Addresses that cannot be removed are in
// nobody's way.
func (s *Store) erase(p *plan) error {
	records, addresses := p.deletes()
	if len(records) == 0 {
		return nil
	}
	if err := s.writeBatch(context.Background(), nil, records); err != nil {
		s.suspect(p)
		return err
	}
	s.uninstall(p)
	return s.writeBatch(context.Background(), nil, addresses)
}

// conclude counts, and tells those who wanted to remove something how it went.
func (s *Store) conclude(p *plan, group []*request, err error) {
	for _, q := range group {
		q.err = err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Refused.add(p.refused)
	s.stats.Limited.add(p.limited)
	if err != nil {
		s.stats.Failures++
	}
}

// put is a row to be written.
type put struct {
	key   ds.Key
	value []byte
}

// writeBatch changes the datastore, and returns when that is on the disk.
func (s *Store) writeBatch(ctx context.Context, puts []put, deletes []ds.Key) error {
	if len(puts)+len(deletes) == 0 {
		return nil
	}
	err := func() error {
		b, err := s.db.Batch(ctx)
		if err != nil {
			return err
		}
		for _, p := range puts {
			if err := b.Put(ctx, p.key, p.value); err != nil {
				return err
			}
		}
		for _, key := range deletes {
			if err := b.Delete(ctx, key); err != nil {
				return err
			}
		}
		if err := b.Commit(ctx); err != nil {
			return err
		}
		return s.db.Sync(ctx, ds.NewKey("/"))
	}()
	if err != nil {
		return fmt.Errorf("records: write to the datastore: %w", err)
	}
	return nil
}

// newest returns the newest addresses of each peer, leaving out those without any.
func newest(peers []*Addresses) map[peer.ID]*Addresses {
	where := make(map[peer.ID]*Addresses, len(peers))
	for _, a := range peers {
		if old := where[a.Peer]; len(a.Addrs) > 0 && (old == nil || old.Seq < a.Seq) {
			where[a.Peer] = a
		}
	}
	return where
}

func setAll(errs []error, err error) {
	for i := range errs {
		errs[i] = err
	}
}
