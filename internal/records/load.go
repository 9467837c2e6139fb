package records

import (
	"context"
	"errors"
	"fmt"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// loader fills a store that nobody else knows yet from its datastore.
type loader struct {
	s       *Store
	now     time.Time
	useless []ds.Key // rows to remove
}

func (l *loader) load(ctx context.Context) error {
	if err := l.each(ctx, recordRows, l.record); err != nil {
		return err
	}
	if err := l.each(ctx, addressRows, l.addresses); err != nil {
		return err
	}
	l.unaddressed()
	for keys := l.useless; len(keys) > 0; {
		n := min(len(keys), maxGroup)
		if err := l.s.writeBatch(ctx, nil, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// each calls f for the rows below a prefix, and plans to remove those for which
// it returns false.
func (l *loader) each(ctx context.Context, prefix string, f func(key string, value []byte) bool) error {
	results, err := l.s.db.Query(ctx, query.Query{Prefix: prefix})
	if err != nil {
		return err
	}
	for {
		row, ok := results.NextSync()
		if !ok {
			return results.Close()
		}
		if row.Error != nil {
			return errors.Join(fmt.Errorf("read %s: %w", prefix, row.Error), results.Close())
		}
		if !f(row.Key, row.Value) {
			l.useless = append(l.useless, ds.NewKey(row.Key))
		}
	}
}

func (l *loader) record(key string, value []byte) bool {
	id, err := rowID(key)
	if err != nil {
		l.s.stats.Unreadable++
		return false
	}
	r, err := readRow(id, value)
	if err != nil {
		l.s.stats.Unreadable++
		return false
	}
	if !r.Expires.After(l.now) {
		l.s.stats.Expired++
		return false
	}
	row := row{id: id, record: r, value: value}
	l.s.insert(row.entry(), r)
	return true
}

func (l *loader) addresses(key string, value []byte) bool {
	id, err := addressPeer(key)
	if err != nil {
		return false
	}
	slot, ok := l.s.owners.at[id]
	if !ok {
		return false
	}
	a, err := readAddressRow(id, value)
	if err != nil {
		return false
	}
	l.s.setAddresses(&l.s.owners.slots[slot], a.Seq, int64(len(value)))
	return true
}

// unaddressed drops the provider records of peers without addresses: the rest of
// a batch that was cut short, or of damage.
func (l *loader) unaddressed() {
	var lacking []ID
	l.s.index.Ascend(WholeRing, func(e Entry) bool {
		if tagType(e.Tag) == TypeProvider && l.s.owners.slots[tagSlot(e.Tag)].size == 0 {
			lacking = append(lacking, e.ID)
		}
		return true
	})
	for _, id := range lacking {
		l.s.delete(id)
		l.s.stats.Unreadable++
		l.useless = append(l.useless, rowKey(id))
	}
}
