package records

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Each limit bites and is counted; the last record of each case is the one that
// it is about.
func TestLimits(t *testing.T) {
	a, b, c := newParty(1), newParty(2), newParty(3)
	rowSize := func(r *Record) int64 {
		row, err := newRow(r)
		if err != nil {
			t.Fatal(err)
		}
		return int64(len(row.value))
	}
	where := int64(len(newAddressRow(a.is(0, 1).Sealed)))
	x := a.provides("x", 1, 10)
	long := value("/v/x", strings.Repeat("1", 100), 10)
	for _, test := range []struct {
		name    string
		limits  Limits
		put     []*Record
		addrs   int // of each provider, 0 stands for 1
		want    error
		held    int
		limited Limited
		spilled uint64
	}{
		{"records", Limits{Records: 2}, []*Record{x, value("/v/x", "1", 10), value("/v/y", "1", 10)}, 0, ErrFull, 2, Limited{Records: 1}, 0},
		{"records, one replaced", Limits{Records: 2}, []*Record{x, value("/v/x", "1", 10), value("/v/x", "2", 10)}, 0, nil, 2, Limited{}, 0},
		{"bytes", Limits{Bytes: rowSize(x) + where}, []*Record{x, value("/v/x", "1", 10)}, 0, ErrFull, 1, Limited{Bytes: 1}, 0},
		{"bytes of addresses", Limits{Bytes: rowSize(x) + where - 1}, []*Record{x}, 0, ErrFull, 0, Limited{Bytes: 1}, 0},
		{"bytes, one grows", Limits{Bytes: rowSize(long) - 1}, []*Record{value("/v/x", "0", 10), long}, 0, ErrFull, 1, Limited{Bytes: 1}, 0},
		{"bytes, one shrinks", Limits{Bytes: rowSize(long) + 1}, []*Record{long, value("/v/x", "2", 10), value("/v/y", "1", 10)}, 0, nil, 2, Limited{}, 0},
		{"per key, another goes", Limits{PerKey: 2}, []*Record{x, b.provides("x", 1, 20), c.provides("x", 1, 15)}, 0, nil, 2, Limited{PerKey: 1}, 1},
		{"per key, it goes itself", Limits{PerKey: 2}, []*Record{x, b.provides("x", 1, 20), c.provides("x", 1, 5)}, 0, nil, 2, Limited{PerKey: 1}, 0},
		{"per key, one replaced", Limits{PerKey: 2}, []*Record{x, b.provides("x", 1, 20), a.provides("x", 2, 5)}, 0, nil, 2, Limited{}, 0},
		{"per key, another key", Limits{PerKey: 2}, []*Record{x, b.provides("x", 1, 20), c.provides("y", 1, 5)}, 0, nil, 3, Limited{}, 0},
		{"per key and in all", Limits{PerKey: 2, Records: 2}, []*Record{x, b.provides("x", 1, 20), c.provides("x", 1, 15)}, 0, nil, 2, Limited{PerKey: 1}, 1},
		{"per peer", Limits{PerPeer: 2}, []*Record{x, a.record(1, 10), a.provides("y", 1, 10)}, 0, ErrFull, 2, Limited{PerPeer: 1}, 0},
		{"per peer, another", Limits{PerPeer: 2}, []*Record{x, a.record(1, 10), b.provides("y", 1, 10)}, 0, nil, 3, Limited{}, 0},
		{"per peer, one replaced", Limits{PerPeer: 1}, []*Record{x, a.provides("x", 2, 10)}, 0, nil, 1, Limited{}, 0},
		{"record", Limits{Record: 99}, []*Record{long}, 0, ErrTooLarge, 0, Limited{Record: 1}, 0},
		{"addresses", Limits{Addrs: 2}, []*Record{x}, 3, ErrTooLarge, 0, Limited{Addrs: 1}, 0},
		{"addresses, as many as allowed", Limits{Addrs: 2}, []*Record{x}, 2, nil, 1, Limited{}, 0},
	} {
		for name, together := range map[string]bool{"together": true, "alone": false} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				s := openStore(t, memory(), test.limits)
				n := max(1, test.addrs)
				peers := []*Addresses{a.is(0, n), b.is(0, n), c.is(0, n)}
				var errs []error
				if together {
					errs = s.Put(context.Background(), start, Batch{test.put, peers})
				} else {
					for _, r := range test.put {
						errs = append(errs, s.Put(context.Background(), start, Batch{[]*Record{r}, peers})...)
					}
				}
				last := len(errs) - 1
				if err := errors.Join(errs[:last]...); err != nil {
					t.Errorf("before: %v", err)
				}
				if !errors.Is(errs[last], test.want) {
					t.Errorf("got %v, want %v", errs[last], test.want)
				}
				if held := contentsOf(t, s); len(held) != test.held {
					t.Errorf("got %d records held, want %d", len(held), test.held)
				}
				got := s.Stats()
				if diff := cmp.Diff(got.Limited, test.limited); diff != "" {
					t.Errorf("counts (-got +want):\n%s", diff)
				}
				// A record put and spilled in one commit was never there.
				if !together && got.Spilled != test.spilled {
					t.Errorf("got %d spilled, want %d", got.Spilled, test.spilled)
				}
				refused := Refused{}
				refused.count(test.want)
				if diff := cmp.Diff(got.Refused, refused); diff != "" {
					t.Errorf("refusals (-got +want):\n%s", diff)
				}
			})
		}
	}
}

// What expires first goes, whatever the order in which records come.
func TestLimitPerKeyOrder(t *testing.T) {
	s := openStore(t, memory(), Limits{PerKey: 3})
	var ps []party
	for i := range 7 {
		ps = append(ps, newParty(i))
	}
	for _, i := range []int{3, 5, 0, 6, 2, 1, 4} {
		if err := putOne(s, ps[i], ps[i].provides("x", i, 10+i)); err != nil {
			t.Fatal(err)
		}
	}
	rs, _, err := s.Providers(context.Background(), start, content("x"), 0, 0)
	if got := names(rs, ps...); got != "g/6 f/5 e/4" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if got := s.Stats(); got.Addressed != 3 || got.Limited.PerKey != 4 {
		t.Errorf("got %d peers with addresses, %d counted", got.Addressed, got.Limited.PerKey)
	}
}
