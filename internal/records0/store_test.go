package records0

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"
)

var start = time.Unix(1_000_000, 0)

// rec returns the record of a provider of a content that expires the given
// number of minutes after start.
func rec(content, provider string, seq uint64, minutes int) Record {
	mh, err := multihash.Sum([]byte(content), multihash.SHA2_256, -1)
	if err != nil {
		panic(err)
	}
	return Record{
		Provider: Provider{Multihash: mh, Peer: peer.ID(provider), Seq: seq, Expires: start.Add(time.Duration(minutes) * time.Minute)},
		Sealed:   []byte(provider),
	}
}

// providersOf lists what is held of a content as provider/seq, as Get orders it.
func providersOf(s *Store, now time.Time, content string, limit int) []string {
	var out []string
	for _, r := range s.Get(now, rec(content, "", 0, 0).Multihash, limit) {
		out = append(out, fmt.Sprintf("%s/%d", string(r.Peer), r.Seq))
	}
	return out
}

func TestStoreAdd(t *testing.T) {
	small := rec("x", "a", 1, 10)
	for _, test := range []struct {
		name   string
		limits Limits
		add    []Record
		want   []Outcome
		held   []string // of x
		drops  uint64
	}{
		{
			name: "newest first",
			add:  []Record{rec("x", "a", 1, 10), rec("x", "b", 1, 30), rec("x", "c", 1, 20)},
			want: []Outcome{Added, Added, Added},
			held: []string{"b/1", "c/1", "a/1"},
		}, {
			name: "larger sequence replaces",
			add:  []Record{rec("x", "a", 1, 10), rec("x", "a", 2, 5)},
			want: []Outcome{Added, Added},
			held: []string{"a/2"},
		}, {
			name: "older does not replace newer",
			add:  []Record{rec("x", "a", 2, 10), rec("x", "a", 1, 20), rec("x", "a", 2, 20)},
			want: []Outcome{Added, Stale, Stale},
			held: []string{"a/2"},
		}, {
			name: "expired",
			add:  []Record{rec("x", "a", 1, 0), rec("x", "b", 1, -1)},
			want: []Outcome{Expired, Expired},
		}, {
			name:   "too many providers, the newest stay",
			limits: Limits{PerKey: 2},
			add:    []Record{rec("x", "a", 1, 10), rec("x", "b", 1, 20), rec("x", "c", 1, 30), rec("x", "d", 1, 5)},
			want:   []Outcome{Added, Added, Added, Full},
			held:   []string{"c/1", "b/1"},
			drops:  2,
		}, {
			name:   "too many keys",
			limits: Limits{Keys: 1},
			add:    []Record{rec("x", "a", 1, 10), rec("y", "a", 1, 10), rec("x", "b", 1, 9)},
			want:   []Outcome{Added, Full, Added},
			held:   []string{"a/1", "b/1"},
			drops:  1,
		}, {
			name:   "too many bytes",
			limits: Limits{Bytes: small.size()},
			add:    []Record{small, rec("x", "b", 1, 20), rec("x", "a", 2, 20)},
			want:   []Outcome{Added, Full, Added},
			held:   []string{"a/2"},
			drops:  1,
		}, {
			name:   "a replacement that does not fit leaves the record in place",
			limits: Limits{Bytes: small.size()},
			add: []Record{small, func() Record {
				r := rec("x", "a", 2, 20)
				r.PeerRecord = make([]byte, 100)
				return r
			}()},
			want:  []Outcome{Added, Full},
			held:  []string{"a/1"},
			drops: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewStore(test.limits)
			var got []Outcome
			for _, r := range test.add {
				got = append(got, s.Add(start, r))
			}
			if diff := cmp.Diff(got, test.want); diff != "" {
				t.Errorf("outcomes differ (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(providersOf(s, start, "x", 0), test.held); diff != "" {
				t.Errorf("records differ (-got +want):\n%s", diff)
			}
			if got := s.Dropped(); got != test.drops {
				t.Errorf("dropped %d, want %d", got, test.drops)
			}
		})
	}
}

func TestStoreGetLimit(t *testing.T) {
	s := NewStore(Limits{})
	for i, p := range []string{"a", "b", "c"} {
		s.Add(start, rec("x", p, 1, 10+i))
	}
	if diff := cmp.Diff(providersOf(s, start, "x", 2), []string{"c/1", "b/1"}); diff != "" {
		t.Errorf("records differ (-got +want):\n%s", diff)
	}
}

func TestStoreExpires(t *testing.T) {
	s := NewStore(Limits{})
	s.Add(start, rec("x", "a", 1, 10))
	s.Add(start, rec("x", "b", 1, 20))
	s.Add(start, rec("y", "a", 1, 10))
	at := start.Add(10 * time.Minute)
	if diff := cmp.Diff(providersOf(s, at, "x", 0), []string{"b/1"}); diff != "" {
		t.Errorf("records differ (-got +want):\n%s", diff)
	}
	if s.Has(at, rec("y", "", 0, 0).Multihash) {
		t.Error("has an expired record")
	}
	s.Expire(start.Add(time.Hour))
	if s.Len() != 0 || len(s.keys) != 0 || s.bytes != 0 {
		t.Errorf("got %d records, %d keys, %d bytes in the end, want none", s.Len(), len(s.keys), s.bytes)
	}
}

// TestStoreAgainstModel compares the store with a plain list under random
// operations.
func TestStoreAgainstModel(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	s := NewStore(Limits{})
	model := make(map[[2]string]Record)
	now := start
	for i := range 5000 {
		content, provider := fmt.Sprint(rng.IntN(8)), fmt.Sprint(rng.IntN(8))
		r := rec(content, provider, rng.Uint64N(50), 0)
		r.Expires = now.Add(time.Duration(rng.IntN(100)-2) * time.Minute)
		now = now.Add(time.Duration(rng.IntN(60)) * time.Second)
		for at, old := range model {
			if !old.Expires.After(now) {
				delete(model, at)
			}
		}
		s.Add(now, r)
		at := [2]string{content, provider}
		if old, ok := model[at]; r.Expires.After(now) && (!ok || r.Seq > old.Seq) {
			model[at] = r
		}
		if s.Len() != len(model) {
			t.Fatalf("seed %d, step %d: got %d records, want %d", seed, i, s.Len(), len(model))
		}
		content = fmt.Sprint(rng.IntN(8))
		got := s.Get(now, rec(content, "", 0, 0).Multihash, 0)
		if !slices.IsSortedFunc(got, func(a, b Record) int { return compareAge(&a, &b) }) {
			t.Fatalf("seed %d, step %d: records are not sorted", seed, i)
		}
		for _, r := range got {
			if want := model[[2]string{content, string(r.Peer)}]; want.Seq != r.Seq {
				t.Fatalf("seed %d, step %d: got sequence %d, want %d", seed, i, r.Seq, want.Seq)
			}
		}
	}
}

func BenchmarkStoreAdd(b *testing.B) {
	for _, size := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("N=%d", size), func(b *testing.B) {
			recs := make([]Record, size)
			for i := range recs {
				recs[i] = rec(fmt.Sprint(i), "p", 0, 1000+i%100)
			}
			s := NewStore(Limits{})
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				r := &recs[i%size]
				r.Seq++
				s.Add(start, *r)
				i++
			}
		})
	}
}
