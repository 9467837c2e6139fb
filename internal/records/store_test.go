package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// names describes records in short: who provides, the value, or the peer, and
// how many nanoseconds after start a peer has signed.
func names(rs []*Record, ps ...party) string {
	var out []string
	for _, r := range rs {
		if r.Type == TypeValue {
			out = append(out, string(r.Data))
			continue
		}
		n := slices.IndexFunc(ps, func(p party) bool { return p.id == r.Peer })
		out = append(out, fmt.Sprintf("%c/%d", 'a'+n, r.Version-seqAt(start)))
	}
	return strings.Join(out, " ")
}

func TestStorePut(t *testing.T) {
	a, b, c := newParty(1), newParty(2), newParty(3)
	for _, test := range []struct {
		name string
		put  []*Record
		want []error
		held string
	}{
		{
			name: "those that expire last first",
			put:  []*Record{a.provides("x", 1, 10), b.provides("x", 1, 30), c.provides("x", 1, 20), c.provides("y", 1, 20)},
			want: []error{nil, nil, nil, nil}, held: "b/1 c/1 a/1",
		}, {
			name: "a larger sequence replaces",
			put:  []*Record{a.provides("x", 1, 10), a.provides("x", 2, 5)},
			want: []error{nil, nil}, held: "a/2",
		}, {
			name: "a smaller sequence is stale",
			put:  []*Record{a.provides("x", 2, 10), a.provides("x", 1, 20), a.provides("x", 2, 10)},
			want: []error{nil, ErrStale, nil}, held: "a/2",
		}, {
			name: "expired",
			put:  []*Record{a.provides("x", 1, 0), b.provides("x", 1, -1)},
			want: []error{ErrExpired, ErrExpired},
		}, {
			name: "a better value",
			put:  []*Record{value("/v/x", "1", 10), value("/v/x", "2", 5)},
			want: []error{nil, nil}, held: "2",
		}, {
			name: "a worse value",
			put:  []*Record{value("/v/x", "2", 5), value("/v/x", "1", 10), value("/v/x", "2", 5)},
			want: []error{nil, ErrStale, nil}, held: "2",
		}, {
			name: "the same value expires later",
			put:  []*Record{value("/v/x", "2", 5), value("/v/x", "2", 10), value("/v/x", "2", 7)},
			want: []error{nil, nil, nil}, held: "2",
		}, {
			name: "no preference", // the same one whatever came first, see the next case
			put:  []*Record{value("/v/x", "2 a", 5), value("/v/x", "2 b", 5)},
			want: []error{nil, nil}, held: "2 b",
		}, {
			name: "no preference the other way around",
			put:  []*Record{value("/v/x", "2 b", 5), value("/v/x", "2 a", 5)},
			want: []error{nil, ErrStale}, held: "2 b",
		}, {
			name: "a newer peer record",
			put:  []*Record{a.record(1, 10), a.record(2, 20), a.record(1, 10)},
			want: []error{nil, nil, ErrStale}, held: "a/2",
		},
	} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/together=%t", test.name, together), func(t *testing.T) {
				s := openStore(t, memory(), Limits{})
				ctx := context.Background()
				where := []*Addresses{a.is(0, 1), b.is(0, 1), c.is(0, 1)}
				var errs []error
				if together {
					errs = s.Put(ctx, start, Batch{test.put, where})
				} else {
					for _, r := range test.put {
						errs = append(errs, s.Put(ctx, start, Batch{[]*Record{r}, where})...)
					}
				}
				for i, err := range errs {
					if !errors.Is(err, test.want[i]) {
						t.Errorf("record %d: got %v, want %v", i, err, test.want[i])
					}
				}
				held, total, err := s.Providers(ctx, start, content("x"), 0, 0)
				if err != nil || total != len(held) {
					t.Errorf("got %d providers of %d, %v", len(held), total, err)
				}
				v, err := s.Value(ctx, start, "/v/x")
				if err != nil {
					t.Error(err)
				}
				p, err := s.Peer(ctx, start, a.id)
				if err != nil {
					t.Error(err)
				}
				held = append(held, v, p)
				held = slices.DeleteFunc(held, func(r *Record) bool { return r == nil })
				if got := names(held, a, b, c); got != test.held {
					t.Errorf("got %q held, want %q", got, test.held)
				}
				contentsOf(t, s)
			})
		}
	}
}

// What expires last is first, pages do not overlap, and what has expired is
// neither returned nor counted.
func TestStoreProviders(t *testing.T) {
	var ps []party
	var rs []*Record
	for i := range 6 {
		ps = append(ps, newParty(i))
		rs = append(rs, ps[i].provides("x", i, 10*(i+1)))
	}
	s := openStore(t, memory(), Limits{})
	mustPut(t, s, ps, rs...)
	for _, test := range []struct {
		name                 string
		now                  time.Time
		offset, limit, total int
		want                 string
	}{
		{"all", start, 0, 0, 6, "f/5 e/4 d/3 c/2 b/1 a/0"},
		{"first page", start, 0, 4, 6, "f/5 e/4 d/3 c/2"},
		{"second page", start, 4, 4, 6, "b/1 a/0"},
		{"beyond", start, 6, 4, 6, ""},
		{"far beyond", start, 60, 4, 6, ""},
		{"later", minute(30), 0, 0, 3, "f/5 e/4 d/3"},
		{"much later", minute(60), 0, 0, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			rs, total, err := s.Providers(context.Background(), test.now, content("x"), test.offset, test.limit)
			if got := names(rs, ps...); got != test.want || total != test.total || err != nil {
				t.Errorf("got %q of %d, %v, want %q of %d", got, total, err, test.want, test.total)
			}
		})
	}
}

// Provider records, a value and a peer record may have one key on the ring: the
// bytes of a peer ID are a multihash.
func TestStoreOneKey(t *testing.T) {
	a, b := newParty(1), newParty(2)
	pr := &Provider{Multihash: []byte(b.id), Peer: a.id, Seq: seqAt(start), Expires: minute(5)}
	sealed, err := pr.Seal(a.key)
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, memory(), Limits{PerKey: 1})
	mustPut(t, s, []party{a}, pr.record(sealed), b.record(1, 5), value(string(b.id), "1", 5))
	ctx := context.Background()
	rs, total, err := s.Providers(ctx, start, []byte(b.id), 0, 0)
	if got := names(rs, a, b); got != "a/0" || total != 1 || err != nil {
		t.Errorf("got providers %q of %d, %v", got, total, err)
	}
	if r, err := s.Peer(ctx, start, b.id); r == nil || err != nil {
		t.Errorf("got peer %v, %v", r, err)
	}
	if r, err := s.Value(ctx, start, string(b.id)); r == nil || err != nil {
		t.Errorf("got value %v, %v", r, err)
	}
	if len(contentsOf(t, s)) != 3 {
		t.Error("want 3 records")
	}
}

// A value that its validator no longer accepts is not returned, and is replaced
// by one that is worse but valid.
func TestStoreOutdatedValue(t *testing.T) {
	v := &rank{}
	s, err := OpenStore(context.Background(), StoreConfig{Datastore: memory(), Validator: v}, start)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	mustPut(t, s, nil, value("/v/x", "9", 10))
	v.outdated = "9"
	if r, err := s.Value(ctx, start, "/v/x"); r != nil || err != nil {
		t.Errorf("got %v, %v, want none", r, err)
	}
	mustPut(t, s, nil, value("/v/x", "1", 10))
	if r, err := s.Value(ctx, start, "/v/x"); r == nil || string(r.Data) != "1" || err != nil {
		t.Errorf("got %v, %v, want 1", r, err)
	}
}

func TestStoreAddresses(t *testing.T) {
	a := newParty(1)
	ctx := context.Background()
	s := openStore(t, memory(), Limits{})
	put := func(rs []*Record, where ...*Addresses) error {
		if errs := s.Put(ctx, start, Batch{rs, where}); len(errs) > 0 {
			return errs[0]
		}
		return nil
	}
	seq := func() string {
		t.Helper()
		as, err := s.Addresses(ctx, []peer.ID{newParty(2).id, a.id})
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, x := range as {
			if x.Peer != a.id || !a.id.MatchesPublicKey(x.Key) {
				t.Errorf("got the addresses of %s with key %v", x.Peer, x.Key)
			}
			out = append(out, fmt.Sprintf("%d:%d", x.Seq-seqAt(start), len(x.Addrs)))
		}
		return strings.Join(out, " ")
	}
	x := a.provides("x", 1, 10)
	for _, step := range []struct {
		name string
		do   func() error
		err  error
		want string
	}{
		{"none", func() error { return put([]*Record{x}) }, ErrUnaddressed, ""},
		{"of another", func() error { return put([]*Record{x}, newParty(2).is(1, 1)) }, ErrUnaddressed, ""},
		{"empty", func() error { return put([]*Record{x}, a.is(1, 0)) }, ErrUnaddressed, ""},
		{"of nobody's record", func() error { return put(nil, a.is(1, 1)) }, nil, ""},
		{"with it", func() error { return put([]*Record{x}, a.is(2, 1)) }, nil, "2:1"},
		{"from before", func() error { return put([]*Record{a.provides("y", 1, 10)}) }, nil, "2:1"},
		{"older", func() error { return put([]*Record{x}, a.is(1, 3)) }, nil, "2:1"},
		{"newer and empty", func() error { return put([]*Record{x}, a.is(9, 0)) }, nil, "2:1"},
		{"newer", func() error { return put([]*Record{x}, a.is(4, 2), a.is(3, 3)) }, nil, "4:2"},
		{"newer alone", func() error { return put(nil, a.is(5, 2)) }, nil, "5:2"},
		{"own record is older", func() error { return put([]*Record{a.record(1, 10)}) }, nil, "5:2"},
		{"own record is newer", func() error { return put([]*Record{a.record(6, 10)}) }, nil, "6:1"},
		{"one provided less", func() error {
			return s.Drop(ctx, []Item{{x.ID(), x.Version}, {a.record(6, 10).ID(), seqAt(start) + 6}})
		}, nil, "5:2"},
		{"another version stays", func() error { return s.Drop(ctx, []Item{{a.provides("y", 1, 10).ID(), 1}}) }, nil, "5:2"},
		{"nothing provided", func() error {
			y := a.provides("y", 1, 10)
			return s.Drop(ctx, []Item{{y.ID(), y.Version}})
		}, nil, ""},
	} {
		if err := step.do(); !errors.Is(err, step.err) {
			t.Errorf("%s: got %v, want %v", step.name, err, step.err)
		}
		if got := seq(); got != step.want {
			t.Errorf("%s: got addresses %q, want %q", step.name, got, step.want)
		}
		contentsOf(t, s)
	}
	if got := s.Stats(); got.Addressed != 0 || got.Bytes != 0 {
		t.Errorf("got %d addresses and %d bytes left, want none", got.Addressed, got.Bytes)
	}
}

func TestStoreExpire(t *testing.T) {
	ctx := context.Background()
	db := memory()
	s := openStore(t, db, Limits{})
	a, b := newParty(1), newParty(2)
	var rs []*Record
	for i := range 3 * maxGroup {
		rs = append(rs, value(fmt.Sprintf("/v/%d", i), "1", 1+i%2))
	}
	rs = append(rs, a.provides("x", 1, 1), b.provides("x", 1, 2))
	mustPut(t, s, []party{a, b}, rs...)
	for _, step := range []struct {
		now        time.Time
		want, left int
	}{
		{minute(1).Add(-time.Millisecond), 0, 3*maxGroup + 2},
		{minute(1), 3*maxGroup/2 + 1, 3*maxGroup/2 + 1},
		{minute(2), 3*maxGroup/2 + 1, 0},
	} {
		got, err := s.Expire(ctx, step.now)
		if left := len(contentsOf(t, s)); got != step.want || left != step.left || err != nil {
			t.Errorf("at %v: got %d forgotten and %d left, %v, want %d and %d", step.now, got, left, err, step.want, step.left)
		}
	}
	if got := s.Stats(); got.Expired != 3*maxGroup+2 || got.Addressed != 0 {
		t.Errorf("got %d counted and %d addresses", got.Expired, got.Addressed)
	}
	if rows := rowsOf(t, db); len(rows) != 0 {
		t.Errorf("got %d rows left", len(rows))
	}
}
