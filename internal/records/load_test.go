package records

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"
	leveldb "github.com/ipfs/go-ds-leveldb"
	"github.com/libp2p/go-libp2p/core/peer"
)

// rowsOf returns all that is in a datastore.
func rowsOf(t testing.TB, db ds.Batching) map[string][]byte {
	t.Helper()
	results, err := db.Query(context.Background(), query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	entries, err := results.Rest()
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]byte)
	for _, e := range entries {
		rows[e.Key] = e.Value
	}
	return rows
}

// datastores are of every kind that a store must do with.
func datastores(t *testing.T) map[string]ds.Batching {
	level, err := leveldb.NewDatastore(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := level.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]ds.Batching{
		"map":             memory(),
		"leveldb":         level,
		"namespace":       namespace.Wrap(memory(), ds.NewKey("/some/where")),
		"leveldb in part": namespace.Wrap(level, ds.NewKey("/some/where")),
	}
}

func TestReopen(t *testing.T) {
	a, b := newParty(1), newParty(2)
	for name, db := range datastores(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := openStore(t, db, Limits{})
			mustPut(t, s, []party{a, b},
				a.provides("x", 1, 10), b.provides("x", 1, 20), a.provides("x", 3, 15), b.provides("y", 1, -1+2),
				value("/v/x", "1", 10), value("/v/x", "2", 10), a.record(1, 10))
			if err := s.Drop(ctx, []Item{b.provides("y", 1, 1).item()}); err != nil {
				t.Fatal(err)
			}
			want, wantStats := contentsOf(t, s), s.Stats()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, db, Limits{})
			if diff := cmp.Diff(contentsOf(t, s), want); diff != "" {
				t.Errorf("records (-got +want):\n%s", diff)
			}
			got := s.Stats()
			if got.Bytes != wantStats.Bytes || got.Addressed != wantStats.Addressed || got.Unreadable != 0 {
				t.Errorf("got %+v, want %+v", got, wantStats)
			}
			as, err := s.Addresses(ctx, []peer.ID{a.id, b.id})
			if err != nil || len(as) != 2 {
				t.Errorf("got %d addresses, %v", len(as), err)
			}
			for _, r := range want {
				if err := s.Drop(ctx, []Item{r.item()}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func (r *Record) item() Item { return Item{r.ID(), r.Version} }

// A store opens whatever is in its datastore, and cleans up what it cannot use.
func TestOpenUnusable(t *testing.T) {
	a, b, c := newParty(1), newParty(2), newParty(3)
	good := a.provides("x", 1, 10)
	fill := func(t *testing.T) ds.Batching {
		db := memory()
		s := openStore(t, db, Limits{})
		mustPut(t, s, []party{a, b, c}, good, b.provides("x", 1, 10), c.provides("x", 1, 10), value("/v/x", "1", 10))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return db
	}
	victim := rowKey(b.provides("x", 1, 10).ID())
	ctx := context.Background()
	for _, test := range []struct {
		name       string
		damage     func(db ds.Batching) error
		held       int
		unreadable uint64
	}{
		{"nothing", func(ds.Batching) error { return nil }, 4, 0},
		{"one bit", func(db ds.Batching) error { return flip(db, victim) }, 3, 1},
		{"empty row", func(db ds.Batching) error { return db.Put(ctx, victim, nil) }, 3, 1},
		{"another's row", func(db ds.Batching) error {
			row, err := db.Get(ctx, rowKey(good.ID()))
			return errors.Join(err, db.Put(ctx, victim, row))
		}, 3, 1},
		{"strange key", func(db ds.Batching) error { return db.Put(ctx, ds.NewKey("/r/zz/1"), []byte("?")) }, 4, 1},
		{"strange address", func(db ds.Batching) error { return db.Put(ctx, ds.NewKey("/a/?"), []byte("?")) }, 4, 0},
		{"stray address", func(db ds.Batching) error {
			p := newParty(9)
			return db.Put(ctx, addressKey(p.id), newAddressRow(p.is(1, 1).Sealed))
		}, 4, 0},
		{"no address", func(db ds.Batching) error { return db.Delete(ctx, addressKey(b.id)) }, 3, 1},
		{"address of another", func(db ds.Batching) error {
			return db.Put(ctx, addressKey(b.id), newAddressRow(a.is(1, 1).Sealed))
		}, 3, 1},
		{"damaged address", func(db ds.Batching) error { return flip(db, addressKey(b.id)) }, 3, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := fill(t)
			if err := test.damage(db); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, db, Limits{})
			held := contentsOf(t, s)
			if got := s.Stats(); len(held) != test.held || got.Unreadable != test.unreadable {
				t.Errorf("got %d held and %d unreadable, want %d and %d", len(held), got.Unreadable, test.held, test.unreadable)
			}
			if got, want := len(rowsOf(t, db)), test.held+s.Stats().Addressed; got != want {
				t.Errorf("got %d rows left, want %d", got, want)
			}
		})
	}
}

func flip(db ds.Batching, key ds.Key) error {
	row, err := db.Get(context.Background(), key)
	if err != nil {
		return err
	}
	row = bytes.Clone(row)
	row[len(row)/2] ^= 4
	return db.Put(context.Background(), key, row)
}

// A record whose row is found missing or damaged is forgotten, so that it can be
// fetched from another member, and then put again.
func TestReadUnreadable(t *testing.T) {
	a := newParty(1)
	r := a.provides("x", 1, 10)
	for name, damage := range map[string]func(ds.Batching) error{
		"missing": func(db ds.Batching) error { return db.Delete(context.Background(), rowKey(r.ID())) },
		"damaged": func(db ds.Batching) error { return flip(db, rowKey(r.ID())) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			db := memory()
			s := openStore(t, db, Limits{})
			mustPut(t, s, []party{a}, r, a.provides("y", 1, 10))
			if err := damage(db); err != nil {
				t.Fatal(err)
			}
			if rs, err := s.Fetch(ctx, start, []ID{r.ID()}); len(rs) > 0 || err != nil {
				t.Errorf("got %v, %v, want none", rs, err)
			}
			mustPut(t, s, []party{a}, value("/v/x", "1", 10)) // waits for the writer
			if got := s.Stats(); got.Unreadable != 1 || len(contentsOf(t, s)) != 2 {
				t.Errorf("got %d unreadable and %d held, want 1 and 2", got.Unreadable, len(contentsOf(t, s)))
			}
			mustPut(t, s, []party{a}, r)
			if len(contentsOf(t, s)) != 3 {
				t.Error("want 3 records")
			}
		})
	}
}

// A record that was only thought to be lost stays.
func TestNotLost(t *testing.T) {
	s := openStore(t, memory(), Limits{})
	r := value("/v/x", "1", 10)
	mustPut(t, s, nil, r)
	s.lost(r.item())
	mustPut(t, s, nil, value("/v/y", "1", 10)) // waits for the writer
	if len(contentsOf(t, s)) != 2 {
		t.Error("want 2 records")
	}
}
